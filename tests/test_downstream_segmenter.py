"""mIoU and the bootstrap by hand, the segmenter, its training and its resuming at toy size."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.downstream import segment
from benchmarks.downstream.bootstrap import interval, intervals, resamplings
from benchmarks.downstream.intersection_over_union import CLASSES, class_ious, confusion, mean_iou
from benchmarks.downstream.segment import Material, iou_of, material, segmenter_intervals, train_all
from benchmarks.downstream.segmentation import Recipe, augmented, train_and_test, weigh_classes
from benchmarks.downstream.segmenter import BLOCKS, Segmenter

TOY = Recipe(size=(32, 48), crop=(32, 32), epochs=30, batch_size=4, learning_rate=3e-3)


class TestIou:
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
    predicted = np.array([[0, 1, 1, 1], [0, 0, 2, 2]])

    def test_confusion_by_hand(self):
        assert confusion(self.labels, self.predicted, 3).tolist() == [[3, 1, 0], [0, 2, 1], [0, 0, 1]]

    def test_iou_by_hand(self):
        counts = confusion(self.labels, self.predicted, 4)
        assert class_ious(counts)[:3] == pytest.approx([3 / 4, 2 / 4, 1 / 2])
        # the fourth class is nowhere
        assert math.isnan(class_ious(counts)[3])
        assert mean_iou(counts) == pytest.approx((3 / 4 + 2 / 4 + 1 / 2) / 3)

    def test_a_class_that_is_missed_altogether_counts_as_0(self):
        assert class_ious(confusion(np.array([1, 1]), np.array([0, 0]), 2)).tolist() == [0, 0]


class TestIntervals:
    values = {"ours": np.array([1.0, 2.0, 3.0, 4.0]), "worse": np.array([0.5, 1.5, 2.5, 3.5])}

    def figure(self, name):
        return lambda times: float((times * self.values[name]).sum() / times.sum())

    def test_every_resampling_draws_as_many_images(self):
        drawn = np.array(list(resamplings(5, 200)))
        assert (drawn.sum(axis=1) == 5).all() and drawn.mean(axis=0) == pytest.approx(np.ones(5), abs=0.2)
        assert (drawn == np.array(list(resamplings(5, 200)))).all()

    def test_paired_differences_are_surer_than_values(self):
        values, differences = intervals({name: self.figure(name) for name in self.values}, 4, "ours", 300)
        assert values["ours"].value == 2.5 and values["ours"].low < 2 < 3 < values["ours"].high
        # the same images are drawn for both, so the difference is half in each resampling
        assert list(differences) == ["worse"] and differences["worse"] == (-0.5, -0.5, -0.5)
        assert differences["worse"].excludes_zero

    def test_a_difference_that_may_be_none(self):
        assert not interval(0.1, np.array([-0.1, 0.1, 0.2])).excludes_zero

    def test_resamplings_without_a_value_are_left_out(self):
        assert interval(1.0, np.array([1.0, np.nan, 1.0])) == (1.0, 1.0, 1.0)


def test_iou_is_the_mean_over_seeds_of_the_images_that_count():
    right, wrong = np.zeros((9, 9), int), np.zeros((9, 9), int)
    right[1, 1], wrong[1, 0] = 10, 10
    counts = [np.stack([right, wrong]), np.stack([right, right])]
    both = np.ones(2)
    assert iou_of(counts, "car", both, both) == pytest.approx((0.5 + 1) / 2)
    assert iou_of(counts, "car", np.array([0.0, 1.0]), both) == pytest.approx((0 + 1) / 2)
    assert iou_of(counts, "car", both, np.array([3.0, 1.0])) == pytest.approx((0.75 + 1) / 2)
    # nothing is never right: 0 of 10 in the first seed, nowhere in the second
    assert iou_of(counts, None, both, both) == pytest.approx(((0.5 + 0) / 2 + 1) / 2)
    columns = segmenter_intervals({"ours": counts, "same": counts}, ["aD", "bN"], "ours", 10)
    assert columns["IoU car"][0]["ours"].value == 0.75 and columns["IoU car"][1]["same"] == (0, 0, 0)


class TestSegmenter:
    @pytest.mark.parametrize("channels", [1, 2])
    def test_shapes(self, channels):
        assert Segmenter(channels, None)(torch.zeros(2, channels, 48, 64)).shape == (2, len(CLASSES), 48, 64)

    def test_it_has_about_a_million_parameters(self):
        assert 0.6e6 < sum(parameter.numel() for parameter in Segmenter(1, None).parameters()) < 1.2e6

    def test_pretrained_weights_are_all_used(self, tmp_path):
        path = tmp_path / "weights.pth"
        state, widths = {}, [32, *(block[-1] for block in BLOCKS)]
        torch.manual_seed(0)

        def add(convolution, norm, *shape):
            state[f"{convolution}.weight"] = torch.randn(shape)
            for key in ("weight", "bias", "running_mean", "running_var"):
                state[f"{norm}.{key}"] = torch.rand(shape[0])
            state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

        add("_conv_stem", "_bn0", 32, 3, 3, 3)
        for number, (kernel, _, expansion, channels) in enumerate(BLOCKS):
            name, wide = f"_blocks.{number}.", widths[number] * expansion
            if expansion > 1:
                add(f"{name}_expand_conv", f"{name}_bn0", wide, widths[number], 1, 1)
            add(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, kernel, kernel)
            add(f"{name}_project_conv", f"{name}_bn2", channels, wide, 1, 1)
        torch.save(state, path)
        model = Segmenter(2, path)
        # grey in both channels is grey in three colours
        stem = model.stem[0][1].weight
        assert torch.allclose(stem.sum(dim=1), state["_conv_stem.weight"].sum(dim=1), atol=1e-5)
        own = model.blocks.state_dict()
        given = [value for name, value in state.items() if name.startswith("_blocks.")]
        assert len(own) == len(given)
        for number, name in ((1, "_expand_conv"), (4, "_depthwise_conv"), (10, "_project_conv")):
            weight = state[f"_blocks.{number}.{name}.weight"]
            assert any(weight.shape == value.shape and torch.equal(weight, value) for value in own.values())


def toy_images(count, seed):
    """Squares of class 1 that are brighter than the ground, and of class 2 that are darker."""
    random = np.random.default_rng(seed)
    images, labels = np.full((count, 1, 32, 48), 100, np.uint8), np.zeros((count, 32, 48), np.uint8)
    for number in range(count):
        for kind, level in ((1, 220), (2, 10)):
            top, left = random.integers(0, 16), random.integers(0, 16) + 24 * (kind - 1)
            images[number, 0, top : top + 12, left : left + 8] = level
            labels[number, top : top + 12, left : left + 8] = kind
    return images, labels


def test_training_learns_what_can_be_seen_and_a_seed_gives_the_same_counts():
    torch.set_num_threads(1)
    training, test = toy_images(8, 0), toy_images(4, 1)
    counts = train_and_test(training, test, TOY, 0, None)
    assert counts.shape == (4, 9, 9) and counts.sum() == 4 * 32 * 48
    assert class_ious(counts.sum(axis=0))[:3].min() > 0.3
    short = Recipe(size=(32, 48), crop=(32, 32), epochs=1, batch_size=4)
    first, again, other = (train_and_test(training, test, short, seed, None) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_class_weights_by_hand():
    labels = torch.tensor([0] * 64 + [1] * 16 + [3] * 20)
    weights = weigh_classes(labels)
    # inverse roots of 0.64, 0.16 and 0.2, over their mean
    roots = torch.tensor([1 / 0.8, 1 / 0.4, 0.2**-0.5])
    assert torch.allclose(weights[[0, 1, 3]], roots / roots.mean()) and weights[2] == 0


def test_images_and_labels_are_cropped_and_mirrored_alike():
    torch.manual_seed(0)
    levels = torch.arange(6 * 8, dtype=torch.uint8).view(1, 6, 8).repeat(16, 1, 1)
    images, labels = augmented(levels[:, None], levels, (4, 5))
    assert images.shape == (16, 1, 4, 5) and torch.equal(images[:, 0], labels.float())
    steps = {int(label[0, 1]) - int(label[0, 0]) for label in labels}
    assert steps == {1, -1}


@pytest.fixture
def labels_dir(tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, labels in zip("abcd", toy_images(4, 3)[1]):
        Image.fromarray(labels.repeat(2, axis=0).repeat(2, axis=1)).save(folder / f"{name}.png")
    return folder


def test_material_is_at_the_recipes_size(labels_dir):
    images = {name: np.full((64, 96), 9, np.uint8) for name in "abcd"}
    own = material(images, "abc", "d", labels_dir, TOY)
    assert own.training[0].shape == (3, 1, 32, 48) and own.test[1].shape == (1, 32, 48)
    assert (own.test[1][0] == toy_images(4, 3)[1][3]).all() and (own.test[0] == 9).all()
    two = material({name: np.stack([image, image]) for name, image in images.items()}, "abc", "d", labels_dir, TOY)
    assert two.test[0].shape == (1, 2, 32, 48)


class InThisProcess:
    """Stands for the pool of processes, so that the test need not start any."""

    def __init__(self, *_):
        self.submitted = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def submit(self, function, *arguments):
        from concurrent.futures import Future

        future: Future = Future()
        future.set_result(function(*arguments))
        return future


def test_trainings_that_are_done_are_not_done_again(tmp_path, monkeypatch):
    calls = []

    def counted(training, test, recipe, seed, weights):
        calls.append(seed)
        return np.full((1, 9, 9), seed)

    monkeypatch.setattr(segment, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(segment, "train_and_test", counted)
    first, other = (Material(toy_images(2, seed), toy_images(1, seed)) for seed in (0, 1))
    train_all({"first": first}, TOY, (0,), None, tmp_path)
    counts = train_all({"first": first, "other": other}, TOY, (0, 1), None, tmp_path)
    assert calls == [0, 1, 0, 1]
    assert [own[0, 0, 0] for own in counts["other"]] == [0, 1]
    # another recipe is another training
    train_all({"first": first}, Recipe(epochs=1), (0,), None, tmp_path)
    assert len(calls) == 5 and not list(tmp_path.glob("*.part"))
