import math

import numpy as np
import pytest
from measured import LONGEST_SIDE, MEANINGS, as_table, luminance, measure
from PIL import Image

from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.metrics import fusion_metrics


def test_the_values_are_the_package_s():
    infrared, visible = render_example_pair(64, 96)
    fused = Image.blend(infrared.convert("RGB"), visible, 0.4)
    values = measure({"fused": fused, "photo alone": visible}, infrared, visible)
    assert list(values) == list(MEANINGS)
    for column, image in enumerate((fused, visible)):
        trio = [luminance(one) for one in (image, infrared, visible)]
        expected = fusion_metrics(*trio, allow_undefined=True)
        for name, row in values.items():
            np.testing.assert_equal(row[column], expected[name].item())
    assert math.isnan(values["SCD"][1]) and not math.isnan(values["SCD"][0])


def test_large_images_are_reduced():
    assert luminance(Image.new("RGB", (3 * LONGEST_SIDE, LONGEST_SIDE))).shape == (
        1,
        1,
        round(LONGEST_SIDE / 3),
        LONGEST_SIDE,
    )
    assert luminance(Image.new("RGB", (30, 20))).shape == (1, 1, 20, 30)


@pytest.mark.parametrize("pair", [(1.234, 0.5), (0.5, math.nan), (math.nan, math.nan)])
def test_the_table_marks_the_best_and_says_what_each_means(pair):
    table = as_table(["fused", "photo alone"], {"EN": list(pair)})
    assert "<th>fused</th><th>photo alone</th>" in table and MEANINGS["EN"] in table
    cells = {
        (1.234, 0.5): '<td class="best">1.23</td><td>0.50</td>',
        (0.5, math.nan): '<td class="best">0.50</td><td>–</td>',
    }.get(pair, "<td>–</td><td>–</td>")
    assert cells in table
