import io
import math

import numpy as np
import pytest
from PIL import Image

from maefuse_hf.evaluation import plots
from maefuse_hf.evaluation.plots import COLOURS, plot_metric, require_matplotlib
from maefuse_hf.evaluation.runner import Row


def colours_in(png):
    """The opaque colours of a plot that no text has."""
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    pixels = np.asarray(image.convert("RGBA"))
    assert (pixels[0, 0, 3], pixels[-1, -1, 3]) == (0, 0), "the ground is not transparent"
    solid = pixels[pixels[..., 3] == 255][:, :3]
    return {"#" + bytes(colour).hex() for colour in solid} & set(COLOURS.values()), image


def rows_of(values, dataset="set", system="ours"):
    return [Row(dataset, str(number), system, {"EN": value}) for number, value in enumerate(values)]


def test_a_system_and_a_baseline_have_their_colours():
    shown, _ = colours_in(plot_metric(rows_of([1.0, 2.0, 4.0]), "EN"))
    assert shown == {COLOURS[False]}
    both, _ = colours_in(plot_metric([*rows_of([1.0, 2.0]), *rows_of([3.0, 4.0], system="average")], "EN"))
    assert both == set(COLOURS.values())


def test_each_data_set_has_a_panel_and_each_system_a_line():
    one = colours_in(plot_metric(rows_of([1.0, 2.0]), "EN"))[1]
    two = colours_in(plot_metric([*rows_of([1.0, 2.0]), *rows_of([1.0], "other")], "EN"))[1]
    more = colours_in(plot_metric([*rows_of([1.0, 2.0]), *rows_of([1.0], system="theirs")], "EN"))[1]
    assert one.width == two.width == more.width
    assert two.height == pytest.approx(2 * one.height, abs=2)
    assert one.height < more.height < two.height


@pytest.mark.parametrize("values", [[math.nan, math.inf], []])
def test_a_metric_without_values_says_so(values):
    assert colours_in(plot_metric(rows_of(values), "EN"))[0] == set()


def test_undefined_and_infinite_values_are_left_out():
    assert plot_metric(rows_of([1.0, math.nan, 2.0, math.inf]), "EN") == plot_metric(rows_of([1.0, 2.0]), "EN")


def test_matplotlib_is_asked_for_with_the_command_that_installs_it(monkeypatch):
    require_matplotlib()
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=r"need matplotlib.*pip install \"maefuse-hf\[evaluate\]\""):
        require_matplotlib()
