import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_model
from PIL import Image

from maefuse_hf import MaeFuseImageProcessor
from maefuse_hf.evaluation.baselines import BASELINES
from maefuse_hf.evaluation.processes import Processes
from maefuse_hf.evaluation.runner import (
    DECODER_PSNR,
    FolderSystem,
    Fused,
    ModelSystem,
    as_tensor,
    evaluate,
    images_of,
    measure_pair,
    read_datasets,
    read_source,
    read_sources,
)
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference.pairs import PairPaths
from maefuse_hf.metrics import fusion_metrics, hot_target_survival
from maefuse_hf.metrics.matched import matched_visual_information_fidelity

CPU = torch.device("cpu")


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)
    return path


def columns_and_rows(folder, name="0"):
    """Infrared 0 | 200 in columns, visible 0 | 100 in rows, 8×8: uncorrelated, so that values are easy by hand."""
    infrared = np.tile(np.repeat(np.uint8([0, 200]), 4), (8, 1))
    visible = np.tile(np.repeat(np.uint8([0, 100]), 4)[:, None], (1, 8))
    pair = save(folder / "infrared" / f"{name}.png", infrared), save(folder / "visible" / f"{name}.png", visible)
    return PairPaths(name, *pair)


class Given:
    """A system that gives the images it was given."""

    def __init__(self, name, **images):
        self.name, self.images = name, images

    def fuse(self, dataset, pair):
        if pair.name not in self.images:
            raise ValueError("no image")
        image = Image.fromarray(self.images[pair.name])
        return Fused(image, image, {"extra": 1.5})


def exact_luminance(image):
    """Y of BT.601 in whole thousandths, rounded with halves to even."""
    red, green, blue = np.asarray(image.convert("RGB"), dtype=int).transpose(2, 0, 1)
    whole, rest = np.divmod(299 * red + 587 * green + 114 * blue, 1000)
    return (whole + ((rest > 500) | ((rest == 500) & (whole % 2 == 1)))).astype(np.uint8)


def test_eight_bit_sources_are_measured_in_exact_luminance(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (64, 256, 3), np.uint8)
    source = read_source(save(tmp_path / "colour.png", colours), "visible")
    assert np.array_equal(np.asarray(source), colours)
    measured = as_tensor(source, CPU)
    assert measured.shape == (1, 1, 64, 256) and measured.dtype == torch.uint8
    assert np.array_equal(measured[0, 0].numpy(), exact_luminance(source))
    # never more than a level beside Pillow's
    assert abs(measured[0, 0].numpy() - np.asarray(source.convert("L"), dtype=int)).max() == 1


def test_halves_of_a_grey_level_are_rounded_to_even():
    # 0.587·12 + 0.114·4 = 7.5, one level more of each colour is 8.5, 0.299·12 + 0.114·8 = 4.5
    colours = Image.fromarray(np.uint8([[(0, 12, 4), (1, 13, 5), (12, 0, 8)]]))
    assert as_tensor(colours, CPU).flatten().tolist() == [8, 8, 4]


def test_grey_images_keep_their_levels(tmp_path):
    every_grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey = as_tensor(read_source(save(tmp_path / "grey.png", every_grey), "infrared"), CPU)
    assert np.array_equal(grey[0, 0].numpy(), every_grey)


def test_deep_sources_are_scaled_as_the_processor_does_and_not_clipped(tmp_path):
    ramp = np.linspace(7000, 9000, 64 * 64).reshape(64, 64).astype(np.uint16)
    path = save(tmp_path / "deep.png", ramp)
    measured = as_tensor(read_source(path, "infrared"), CPU)
    inputs = MaeFuseImageProcessor(size_divisor=1)(infrared=path, visible=path, return_tensors="pt")
    assert torch.equal(measured, (inputs["infrared"] * 255).round().to(torch.uint8))
    assert measured.min() == 0 and measured.max() == 255 and len(measured.unique()) == 256


def test_sources_of_different_sizes_are_refused_with_both_sizes(tmp_path):
    pair = columns_and_rows(tmp_path)
    save(pair.infrared, np.arange(48, dtype=np.uint8).reshape(6, 8))
    with pytest.raises(ValueError, match="infrared is 8×6 px, visible is 8×8 px"):
        read_sources(pair)


def test_the_baselines_by_hand(tmp_path):
    rows, problems, images = measure_pair("set", columns_and_rows(tmp_path), [], "standard", CPU)
    assert problems == [] and list(images) == ["infrared", "visible"]
    assert [row.system for row in rows] == ["visible alone", "infrared alone", "average", "maximum", "rule"]
    assert {(row.dataset, row.pair) for row in rows} == {("set", "0")}
    visible, infrared, average, maximum, _ = (row.values for row in rows)
    # a quarter of the image each: average 0, 100, 50, 150; maximum 0, 200, 100, 200
    assert [values["EN"] for values in (visible, infrared, average, maximum)] == pytest.approx([1, 1, 2, 1.5])
    assert [values["SD"] for values in (visible, infrared, average)] == pytest.approx([50, 100, 3125**0.5])
    assert average["MSE"] == pytest.approx(3750 / 255**2)
    assert average["PSNR"] == pytest.approx(10 * math.log10(255**2 / 3750))
    assert visible["MSE"] == pytest.approx((0 + 40000 / 4 + 10000 / 4 + 10000 / 4) / 2 / 255**2)
    assert average["CC"] == pytest.approx((100 + 50) / 2 / (2 * 3125**0.5))
    assert average["SCD"] == pytest.approx((100 + 50) / 12500**0.5)
    assert visible["CC"] == pytest.approx(0.5) and math.isnan(visible["SCD"])
    assert visible["visible_gradient"] == 1 and average["visible_gradient"] == pytest.approx(0.5)
    assert all(math.isnan(values["VIF"]) for values in (visible, infrared, average, maximum))


def test_the_average_rounds_halves_to_even():
    infrared, visible = torch.tensor([[0, 2, 255]], dtype=torch.uint8), torch.tensor([[1, 1, 255]], dtype=torch.uint8)
    assert BASELINES["average"](infrared, visible).tolist() == [[0, 2, 255]]


def test_an_image_equal_to_a_source_has_the_row_of_that_source(tmp_path):
    pair = columns_and_rows(tmp_path)
    system = Given("copy", **{"0": np.asarray(Image.open(pair.visible))})
    rows, problems, images = measure_pair("set", pair, [system], "standard", CPU)
    assert problems == [] and list(images) == ["infrared", "visible", "copy"]
    copy, visible = (row.values for row in rows[:2])
    assert copy.pop("extra") == 1.5
    assert all(copy[name] == visible[name] or math.isnan(copy[name]) for name in visible)
    assert list(copy) == list(visible)


def test_definitions_are_handed_on(tmp_path):
    pair = columns_and_rows(tmp_path)
    standard, vifb = (
        measure_pair("set", pair, [], definition, CPU)[0][2].values for definition in ("standard", "vifb")
    )
    assert vifb["MI"] == pytest.approx(standard["MI"] * math.log(2))
    assert vifb["EN"] == standard["EN"]


def test_what_fails_for_one_system_leaves_the_others(tmp_path):
    pair = columns_and_rows(tmp_path)
    systems = [
        Given("small", **{"0": np.zeros((8, 6), np.uint8)}),
        Given("none"),
        Given("good", **{"0": np.eye(8) > 0}),
    ]
    rows, problems, images = measure_pair("set", pair, systems, "standard", CPU)
    assert [row.system for row in rows] == ["good", *BASELINES]
    assert list(images) == ["infrared", "visible", "good"]
    assert problems == [
        "set/0, small: the fused image is 6×8 px, the pair is 8×8 px; metrics compare pixel with pixel.",
        "set/0, none: no image",
    ]


def test_a_pair_that_cannot_be_read_or_measured_is_one_problem(tmp_path):
    broken = columns_and_rows(tmp_path, "broken")
    broken.visible.write_bytes(b"no image")
    line = columns_and_rows(tmp_path, "line")
    for path in (line.infrared, line.visible):
        save(path, np.arange(8, dtype=np.uint8)[None])
    messages = {broken: r"set/broken: visible \(.*\): cannot be read", line: "set/line: .* at least 2 px a side"}
    for pair, message in messages.items():
        rows, problems, _ = measure_pair("set", pair, [], "standard", CPU)
        assert rows == [] and len(problems) == 1
        assert re.match(message, problems[0])


def test_a_model_is_measured_on_its_own_luminance(tmp_path):
    infrared, visible = render_example_pair(68, 85)
    pair = PairPaths("0", save(tmp_path / "i.png", infrared), save(tmp_path / "v.png", visible))
    model, processor = small_model(), MaeFuseImageProcessor(size_divisor=8)
    system = ModelSystem("model", model, processor, "cfm")
    rows, problems, images = measure_pair("set", pair, [system], "standard", CPU)
    inputs = processor(infrared=infrared, visible=visible, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, fusion="cfm", output_features=True)
        restored = [
            model.decode(features, (9, 11)).clamp(0, 1)[..., :68, :85]
            for features in (outputs.infrared_features, outputs.visible_features)
        ]
    fused = (outputs.fused[..., :68, :85] * 255).round().to(torch.uint8)
    sources = [torch.from_numpy(exact_luminance(image))[None, None] for image in (infrared, visible)]
    expected = fusion_metrics(fused, *sources, allow_undefined=True)
    expected["VIF matched"] = matched_visual_information_fidelity(fused, *sources, allow_undefined=True)
    expected |= hot_target_survival(fused, *sources, allow_undefined=True)
    assert problems == []
    values = dict(rows[0].values)
    errors = [
        (own - inputs[name][..., :68, :85]).square().mean() for own, name in zip(restored, ("infrared", "visible"))
    ]
    assert values.pop(DECODER_PSNR) == pytest.approx(-5 * sum(error.log10().item() for error in errors), rel=1e-5)
    assert values == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-12, nan_ok=True)
    colour = processor.post_process_image_fusion(outputs, inputs)[0]
    assert np.array_equal(np.asarray(images["model"]), np.asarray(colour))
    assert list(images_of("set", pair, [system])) == ["infrared", "visible", "model"]


def test_a_model_that_resizes_is_measured_at_the_size_of_the_pair(tmp_path):
    infrared, visible = render_example_pair(96, 128)
    pair = PairPaths("0", save(tmp_path / "i.png", infrared), save(tmp_path / "v.png", visible))
    processor = MaeFuseImageProcessor(size_divisor=8, size={"height": 50, "width": 66})
    fused = ModelSystem("model", small_model(), processor).fuse("set", pair)
    assert fused.measured.size == fused.image.size == (128, 96)
    assert 0 < fused.values[DECODER_PSNR] < 30


def test_a_folder_gives_the_image_of_the_pairs_name(tmp_path):
    pair = columns_and_rows(tmp_path / "set")
    colours = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    save(tmp_path / "fused" / "0.bmp", colours)
    system = FolderSystem("other", {"set": tmp_path / "fused"})
    fused = system.fuse("set", pair)
    assert np.array_equal(np.asarray(fused.image), colours) and fused.values == {}
    (row, *_), _, _ = measure_pair("set", pair, [system], "standard", CPU)
    assert row.values["SD"] == pytest.approx(exact_luminance(fused.image).std(), rel=1e-12)


def test_a_folder_says_what_it_lacks(tmp_path):
    pair = columns_and_rows(tmp_path / "set")
    with pytest.raises(ValueError, match=r"other: .*nowhere is no folder of fused images"):
        FolderSystem("other", {"set": tmp_path / "nowhere"})

    def fuse():
        return FolderSystem("other", {"set": tmp_path / "fused"}).fuse("set", pair)

    (tmp_path / "fused").mkdir()
    with pytest.raises(ValueError, match=r"one image 0\.\* is needed in .*fused, there is none"):
        fuse()
    save(tmp_path / "fused" / "0.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(ValueError, match="holds uint16; fused images are measured as 8 bit"):
        fuse()
    save(tmp_path / "fused" / "0.bmp", np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"there is more than one: .*0\.bmp, .*0\.png"):
        fuse()
    (tmp_path / "fused" / "0.png").unlink()
    (tmp_path / "fused" / "0.bmp").write_bytes(b"no image")
    with pytest.raises(OSError, match="cannot be read"):
        fuse()


def test_data_sets_have_their_folders_names(tmp_path, monkeypatch):
    columns_and_rows(tmp_path / "one")
    columns_and_rows(tmp_path / "two")
    (tmp_path / "two" / "visible" / "1.png").touch()
    monkeypatch.chdir(tmp_path / "one")
    one, two = read_datasets([Path(), tmp_path / "two"])
    assert (one.name, [pair.name for pair in one.pairs], one.problems) == ("one", ["0"], [])
    assert (two.name, [pair.name for pair in two.pairs], len(two.problems)) == ("two", ["0"], 1)


def test_folders_that_are_no_data_sets(tmp_path):
    columns_and_rows(tmp_path / "a" / "set")
    columns_and_rows(tmp_path / "b" / "set")
    for half in ("infrared", "visible"):
        (tmp_path / "empty" / half).mkdir(parents=True)
    for folders, message in (
        (["a/set", "b/set"], "Two data sets are called set"),
        (["empty"], "holds no pairs"),
        (["a"], "holds neither"),
    ):
        with pytest.raises(ValueError, match=message):
            read_datasets([tmp_path / folder for folder in folders])


def test_of_two_pairs_with_one_name_the_first_is_measured(tmp_path):
    for folder in ("a", "b"):
        columns_and_rows(tmp_path / "set" / folder)
    lines = [
        f'{{"infrared_file_name": "{folder}/infrared/0.png", "visible_file_name": "{folder}/visible/0.png"}}'
        for folder in ("a", "b")
    ]
    (tmp_path / "set" / "metadata.jsonl").write_text("\n".join(lines))
    (dataset,) = read_datasets([tmp_path / "set"])
    assert [pair.infrared.parent.parent.name for pair in dataset.pairs] == ["a"]
    assert len(dataset.problems) == 1 and "0 is the name of two pairs" in dataset.problems[0]


def test_rows_and_problems_stand_in_order_however_the_work_is_shared(tmp_path):
    for name in "012":
        columns_and_rows(tmp_path / "set", name)
    (tmp_path / "set" / "visible" / "1.png").write_bytes(b"no image")
    (tmp_path / "set" / "visible" / "9.png").touch()
    datasets = read_datasets([tmp_path / "set"])
    (tmp_path / "out" / "set").mkdir(parents=True)
    together, done = evaluate(datasets, [], Processes(), "standard", CPU, tmp_path / "out"), []
    assert sorted(path.name for path in (tmp_path / "out" / "set").iterdir()) == ["0.png", "2.png"]
    # the first process keeps what it has, the second finds it as a gathering of both would
    evaluate(datasets, [], Processes(0, 2, gather=lambda items: done.extend(items) or items), "standard", CPU)
    shared = evaluate(datasets, [], Processes(1, 2, gather=lambda items: items + done), "standard", CPU)
    assert repr(shared) == repr(together)
    rows, problems = together
    assert [row.pair for row in rows] == ["0"] * len(BASELINES) + ["2"] * len(BASELINES)
    assert len(problems) == 2 and problems[0].startswith("set: ") and problems[1].startswith("set/1: visible")
