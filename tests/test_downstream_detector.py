"""AP by hand, boxes from label images, tiles, and the detector's plumbing with a detector that is drawn."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.downstream import detect
from benchmarks.downstream.average_precision import PrecisionCurve, match, overlaps
from benchmarks.downstream.boxes import Truth, truths
from benchmarks.downstream.detector import Detections, anchors, decode_boxes, inside, suppress, tiles


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def objects(*rows: tuple[float, float, float, float], ignored: tuple[int, ...] = ()) -> Truth:
    return Truth(boxes(*rows), np.array([number in ignored for number in range(len(rows))], dtype=bool))


class TestOverlaps:
    def test_by_hand(self):
        # 5×10 shared of 10×10 and 10×10
        union, within = overlaps(boxes((0, 0, 10, 10)), boxes((5, 0, 15, 10), (20, 0, 30, 10)))
        assert union.tolist() == [[50 / 150, 0]] and within.tolist() == [[0.5, 0]]

    def test_a_box_without_area_overlaps_nothing(self):
        union, within = overlaps(boxes((5, 5, 5, 5)), boxes((0, 0, 10, 10)))
        assert union.tolist() == [[0]] and within.tolist() == [[0]]


class TestMatch:
    def test_a_second_detection_of_one_object_is_false(self):
        found = match(np.array([0.6, 0.9]), boxes((0, 0, 10, 10), (0, 0, 10, 9)), objects((0, 0, 10, 10)))
        assert found.scores.tolist() == [0.9, 0.6]
        assert found.found.tolist() == [True, False] and found.objects == 1

    def test_overlap_of_less_than_two_fifths_is_none(self):
        # 39 of 100, and 40 of 100
        truth = objects((0, 0, 10, 10))
        assert match(np.ones(1), boxes((0, 0, 10, 3.9)), truth).found.tolist() == [False]
        assert match(np.ones(1), boxes((0, 0, 10, 4)), truth).found.tolist() == [True]

    def test_detections_on_an_ignored_object_do_not_count(self):
        truth = objects((0, 0, 10, 10), (50, 50, 60, 60), ignored=(0,))
        # the ignored one's own box, a small one within it, and one beside
        found = match(np.array([0.9, 0.8, 0.7]), boxes((0, 0, 10, 10), (2, 2, 4, 4), (20, 0, 30, 10)), truth)
        assert found.scores.tolist() == [0.7] and found.found.tolist() == [False] and found.objects == 1

    def test_without_objects_or_detections(self):
        nothing = match(np.zeros(0), boxes(), objects((0, 0, 1, 1)))
        assert len(nothing.scores) == 0 and nothing.objects == 1
        assert match(np.ones(1), boxes((0, 0, 1, 1)), objects()).found.tolist() == [False]


class TestAveragePrecision:
    # two images: three objects; by falling score true, false, true, and one object is missed
    matches = [
        match(np.array([0.9, 0.8]), boxes((0, 0, 10, 10), (40, 0, 50, 10)), objects((0, 0, 10, 10))),
        match(np.array([0.7]), boxes((0, 0, 10, 10)), objects((0, 0, 10, 10), (80, 0, 90, 10))),
    ]

    def test_by_hand(self):
        # precision 1 at recall 1/3, 2/3 at recall 2/3: 1/3 · 1 + 1/3 · 2/3
        assert PrecisionCurve(self.matches).average_precision() == pytest.approx(5 / 9)

    def test_precision_is_made_monotone(self):
        # false, true, true: precision 0, 1/2, 2/3 → 2/3 for both
        matches = [
            match(
                np.array([0.9, 0.8, 0.7]),
                boxes((40, 0, 50, 10), (0, 0, 10, 10), (20, 0, 30, 10)),
                objects((0, 0, 10, 10), (20, 0, 30, 10)),
            )
        ]
        assert PrecisionCurve(matches).average_precision() == pytest.approx(2 / 3)

    @pytest.mark.parametrize(("times", "value"), [((1, 0), 1.0), ((0, 1), 0.5)])
    def test_images_that_do_not_count(self, times, value):
        assert PrecisionCurve(self.matches).average_precision(np.array(times, dtype=float)) == pytest.approx(value)

    def test_images_that_count_twice_are_as_two(self):
        twice = PrecisionCurve([self.matches[0], self.matches[1], self.matches[1]]).average_precision()
        assert PrecisionCurve(self.matches).average_precision(np.array([1.0, 2.0])) == pytest.approx(twice)

    def test_without_objects_there_is_none(self):
        assert math.isnan(PrecisionCurve(self.matches).average_precision(np.zeros(2)))


class TestTruths:
    def test_boxes_of_connected_areas(self):
        labels = np.zeros((200, 300), dtype=np.uint8)
        labels[50:100, 20:40] = 2  # a person
        labels[100:150, 40:60] = 2  # another whose corner touches: one area
        labels[20:50, 100:160] = 1  # a car
        labels[60:65, 200:220] = 1  # one too small
        labels[100:150, 290:300] = 2  # a person at the border
        found = truths(labels)
        assert found["person"].boxes.tolist() == [[20, 50, 60, 150], [290, 100, 300, 150]]
        assert found["person"].ignored.tolist() == [False, True]
        assert found["car"].boxes.tolist() == [[100, 20, 160, 50], [200, 60, 220, 65]]
        assert found["car"].ignored.tolist() == [False, True]

    def test_a_row_of_people_is_ignored(self):
        labels = np.zeros((200, 300), dtype=np.uint8)
        labels[50:100, 20:90] = 2
        assert truths(labels)["person"].ignored.tolist() == [True]

    def test_nothing_to_find(self):
        assert truths(np.zeros((20, 30), dtype=np.uint8))["car"].boxes.shape == (0, 4)


class TestSsd:
    def test_there_are_as_many_anchors_as_outputs(self):
        default_boxes = anchors()
        assert default_boxes.shape == (1917, 4)
        # the first cell of the first map: scale 0.1, and 0.2 with sides 2:1 and 1:2
        half = 0.2 / 2**0.5
        assert default_boxes[:3] == pytest.approx(
            np.array(
                [
                    [0.5 / 19, 0.5 / 19, 0.1, 0.1],
                    [0.5 / 19, 0.5 / 19, half, 2 * half],
                    [0.5 / 19] * 2 + [2 * half, half],
                ]
            )
        )
        # the last: the geometric mean of 0.95 and 1
        assert default_boxes[-1] == pytest.approx([0.5, 0.5, 0.95**0.5, 0.95**0.5])

    def test_decoding_by_hand(self):
        # down by 1/10 of the height, twice as wide
        encodings = np.array([[1.0, 0.0, 0.0, 5 * math.log(2)]])
        decoded = decode_boxes(encodings, np.array([[0.5, 0.5, 0.2, 0.2]]))
        assert decoded == pytest.approx(boxes((0.3, 0.42, 0.7, 0.62)))

    def test_tiles_cover_the_lower_part(self):
        covered = np.zeros((480, 640), dtype=bool)
        for left, top, right, bottom in tiles(480, 640):
            assert (right - left, bottom - top) == (240, 240)
            covered[top:bottom, left:right] = True
        assert covered[120:].all() and not covered[:120].any()

    def test_boxes_that_a_tile_cuts_are_left_to_its_neighbour(self):
        at_left = boxes((120, 200, 150, 250), (130, 200, 150, 250))
        assert inside(at_left, (120, 120, 360, 360), (640, 480)).tolist() == [False, True]
        # the image's own border cuts nothing that another tile could see
        assert inside(at_left - (120, 0, 120, 0), (0, 120, 240, 360), (640, 480)).tolist() == [True, True]

    def test_of_boxes_that_overlap_the_surest_stays(self):
        kept = suppress(np.array([0.5, 0.9, 0.4]), boxes((0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 10)))
        assert kept.scores.tolist() == [0.9, 0.4]


class BrightAreas:
    """A detector of the bounding box of white pixels, as a person."""

    identity = "bright areas"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray) -> dict[str, Detections]:
        self.calls += 1
        rows, columns = np.nonzero(image[..., 0] == 255)
        box = boxes((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)) if len(rows) else boxes()
        return {"person": Detections(np.full(len(box), 0.9), box), "car": Detections(np.zeros(0), boxes())}


@pytest.fixture
def labelled(tmp_path):
    """Four pairs, two by night, with a person each; images that show all of them, and some that show the first two."""
    names = ["a_1D", "a_2D", "a_3N", "a_4N"]
    folders = {name: tmp_path / name for name in ("labels", "all", "some")}
    for folder in folders.values():
        folder.mkdir()
    for number, name in enumerate(names):
        labels = np.zeros((100, 120), dtype=np.uint8)
        labels[20:70, 30 + 10 * number : 50 + 10 * number] = 2
        Image.fromarray(labels).save(folders["labels"] / f"{name}.png")
        Image.fromarray(np.where(labels == 2, 255, 40).astype(np.uint8)).save(folders["all"] / f"{name}.png")
        shown = labels == 2 if number < 2 else np.zeros_like(labels, dtype=bool)
        Image.fromarray(np.where(shown, 255, 40).astype(np.uint8)).save(folders["some"] / f"{name}.png")
    return names, folders


def test_detector_ap_by_day_and_night(labelled):
    names, folders = labelled
    values = detect.detector_ap(detect.ImageFolder(folders["some"]), names, folders["labels"], BrightAreas())
    assert {key: value for key, value in values.items() if key.startswith("person")} == {
        "person": 0.5,
        "person by day": 1.0,
        "person by night": 0.0,
    }
    assert math.isnan(values["car"])


def test_colour_arrays_are_taken_as_they_are(labelled):
    names, folders = labelled
    grey = detect.ImageFolder(folders["all"])
    coloured = {name: np.repeat(grey[name][..., None], 3, axis=2) for name in names}
    assert detect.detector_ap(coloured, names, folders["labels"], BrightAreas())["person"] == 1


def test_a_run_that_was_stopped_goes_on(labelled, tmp_path):
    names, folders = labelled
    images, cache, first, second = (
        detect.ImageFolder(folders["all"]),
        tmp_path / "c.jsonl",
        BrightAreas(),
        BrightAreas(),
    )
    before = detect.detector_ap(images, names[:3], folders["labels"], first, cache)
    with cache.open("a") as file:
        file.write('\n["cut sho')
    after = detect.detector_ap(images, names, folders["labels"], second, cache)
    detect.detector_ap(images, names, folders["labels"], second, cache)
    assert (first.calls, second.calls) == (3, 1)
    assert before["person"] == after["person"] == 1


def test_images_of_another_size_than_the_labels_are_refused(labelled):
    names, folders = labelled
    with pytest.raises(ValueError, match=r"a_1D is \(50, 60\), its labels are \(100, 120\)"):
        detect.detector_ap({names[0]: np.zeros((50, 60), np.uint8)}, names[:1], folders["labels"], BrightAreas())


def test_a_missing_image_is_named(labelled):
    _, folders = labelled
    with pytest.raises(KeyError, match="0 images of the name b"):
        detect.ImageFolder(folders["all"])["b"]


def test_the_command(labelled, tmp_path, monkeypatch, capsys):
    names, folders = labelled
    monkeypatch.setattr(detect, "TfliteDetector", lambda path: BrightAreas())
    split, output = tmp_path / "split.txt", tmp_path / "out.json"
    split.write_text("\n".join(names))
    arguments = ["--images", str(folders["all"]), f"few={folders['some']}", "--split", str(split)]
    arguments += ["--labels", str(folders["labels"]), "--detector", "any", "--cache", str(tmp_path / "cache.jsonl")]
    assert detect.main([*arguments, "--resamples", "20", "-o", str(output)]) == 0
    header, _, first, second = capsys.readouterr().out.splitlines()
    assert header.split(" | ")[4:] == ["person", "person by day", "person by night |"]
    assert first.startswith("| all ") and "100.0 (100.0–100.0)" in first
    # two of four people are missed in each resampling of the night
    assert second.startswith("| few ") and second.endswith("0.0* (0.0–0.0) |")
    difference = json.loads(output.read_text())["person by night"]["differences"]["few"]
    assert difference == {"value": -1, "low": -1, "high": -1, "real": True}
