import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from maefuse_hf.pairs import PairPaths
from training.config import DataConfig
from training.data import RandomCrops, SeededDraws, find_pairs, read_pair, split_pairs


def save_pair(folder, name, infrared, visible):
    for half, pixels in (("infrared", infrared), ("visible", visible)):
        (folder / half).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / half / f"{name}.png")


def ramp(height, width):
    return np.add.outer(np.arange(height), 2 * np.arange(width)).astype(np.uint8)


def test_pairs_of_two_folders_and_of_metadata(tmp_path):
    for name in ("b", "a"):
        save_pair(tmp_path, name, ramp(8, 8), ramp(8, 8))
    by_folder = find_pairs(tmp_path)
    assert [pair.name for pair in by_folder] == ["a", "b"]
    rows = [{f"{half}_file_name": f"{half}/{name}.png" for half in ("infrared", "visible")} for name in ("b", "a")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert find_pairs(tmp_path) == by_folder


def test_all_missing_files_are_listed(tmp_path):
    save_pair(tmp_path, "a", ramp(8, 8), ramp(8, 8))
    (tmp_path / "infrared" / "b.png").touch()
    (tmp_path / "visible" / "c.png").touch()
    with pytest.raises(ValueError, match=r"b\.png has no partner.*c\.png has no partner"):
        find_pairs(tmp_path)
    rows = [{"infrared_file_name": "infrared/x.png", "visible_file_name": "visible/y.png"}]
    (tmp_path / "metadata.jsonl").write_text(json.dumps(rows[0]))
    with pytest.raises(ValueError, match=r"x\.png does not exist; .*y\.png does not exist"):
        find_pairs(tmp_path)


def test_a_folder_without_pairs(tmp_path):
    (tmp_path / "infrared").mkdir()
    (tmp_path / "visible").mkdir()
    with pytest.raises(ValueError, match=r"holds no pairs: it needs metadata\.jsonl or two folders"):
        find_pairs(tmp_path)


def test_the_split_is_even_disjoint_and_complete():
    pairs = [PairPaths(str(number), None, None) for number in range(10)]
    training, validation = split_pairs(pairs, 2)
    assert [pair.name for pair in validation] == ["2", "7"]
    assert sorted(training + validation, key=lambda pair: int(pair.name)) == pairs
    assert split_pairs(pairs, 0) == (pairs, [])
    with pytest.raises(ValueError, match="10 validation pairs of 10 leave nothing to train on"):
        split_pairs(pairs, 10)


def test_a_pair_is_read_as_luminance_infrared_first_and_deep_pictures_are_scaled(tmp_path):
    colour = np.zeros((4, 5, 3), np.uint8)
    colour[..., 0] = 200
    colour[0, 0] = 255
    deep = (1000 * ramp(4, 5).astype(int)).astype(np.uint16)
    save_pair(tmp_path, "a", deep, colour)
    pair = read_pair(find_pairs(tmp_path)[0])
    assert pair.shape == (2, 4, 5) and pair.dtype == np.uint8
    assert pair[0].min() == 0 and pair[0].max() == 255 and len(np.unique(pair[0])) > 5
    assert pair[1, 1, 1] == round(0.299 * 200) and pair[1, 0, 0] == 255


def test_pairs_of_unequal_size_are_refused(tmp_path):
    save_pair(tmp_path, "a", ramp(4, 5), ramp(4, 6))
    with pytest.raises(ValueError, match=re.escape("(4, 5)")):
        read_pair(find_pairs(tmp_path)[0])


class TestRandomCrops:
    PLAIN = DataConfig(pairs="", crop_size=4, gamma_range=(1.0, 1.0))

    def test_both_modalities_share_crop_and_flip(self):
        picture = ramp(9, 11)
        crops = RandomCrops([np.stack([picture, 255 - picture])], self.PLAIN)
        seen = set()
        for seed in range(60):
            crop = crops[0, seed]
            assert crop.shape == (2, 4, 4)
            assert torch.allclose(crop[0] + crop[1], torch.ones(4, 4))
            pixels = (crop[0] * 255).round()
            step = (pixels[0, 1] - pixels[0, 0]).item()
            corner = pixels[0, 0 if step > 0 else -1].item()
            assert torch.equal(pixels if step > 0 else pixels.flip(-1), torch.tensor(corner) + torch.tensor(ramp(4, 4)))
            seen.add((step, corner))
        assert {step for step, _ in seen} == {2, -2}
        assert len(seen) > 20

    def test_gamma_and_gain_differ_by_modality_and_stay_in_range(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(0.5, 2.0), gain_range=(0.5, 1.5))
        crop = RandomCrops([np.stack([ramp(8, 8) * 5] * 2)], config)[0, 0]
        assert not torch.allclose(crop[0], crop[1])
        assert crop.min() >= 0 and crop.max() <= 1

    def test_a_fixed_gamma_and_gain_are_applied_in_this_order(self):
        config = DataConfig(pairs="", crop_size=4, gamma_range=(2.0, 2.0), gain_range=(0.5, 0.5))
        picture = ramp(4, 4) * 20
        squared = (torch.from_numpy(picture) / 255) ** 2
        expected = squared.mean() + 0.5 * (squared - squared.mean())
        crop = RandomCrops([picture[None]], config)[0, 1][0]
        assert torch.allclose(crop, expected, atol=1e-6) or torch.allclose(crop.flip(-1), expected, atol=1e-6)

    def test_black_hot_inverts_infrared_alone(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(1.0, 1.0), black_hot_probability=0.5)
        crops = RandomCrops([np.stack([ramp(8, 8)] * 2)], config)
        inverted = 0
        for seed in range(200):
            infrared, visible = crops[0, seed]
            assert torch.equal(infrared, visible) or torch.allclose(infrared, 1 - visible)
            inverted += not torch.equal(infrared, visible)
        assert inverted == pytest.approx(100, abs=25)

    def test_a_seed_repeats_its_crop(self):
        crops = RandomCrops([np.stack([ramp(9, 11)] * 2)], DataConfig(pairs="", crop_size=4))
        first = crops[0, 3]
        assert torch.equal(crops[0, 3], first)
        assert not torch.equal(crops[0, 4], first)

    def test_small_pictures_are_refused(self):
        with pytest.raises(ValueError, match=r"1 pictures are smaller than the crop of 4, the first one \(3, 9\)"):
            RandomCrops([np.stack([ramp(9, 9)]), np.stack([ramp(3, 9)])], self.PLAIN)


class TestSeededDraws:
    def test_draws_follow_the_weights_and_carry_their_own_seeds(self):
        draws = SeededDraws([1.0, 0.0, 3.0], 4000, seed=0)
        drawn = list(draws)
        assert len(draws) == len(drawn) == 4000
        scenes = [scene for scene, _ in drawn]
        assert scenes.count(1) == 0
        assert scenes.count(2) == pytest.approx(3000, abs=120)
        assert len({seed for _, seed in drawn}) == 4000

    def test_they_depend_on_the_seed_alone(self):
        first = list(SeededDraws([1.0, 1.0], 10, seed=5))
        torch.rand(7)
        assert list(SeededDraws([1.0, 1.0], 10, seed=5)) == first
        assert list(SeededDraws([1.0, 1.0], 10, seed=6)) != first
