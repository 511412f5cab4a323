import io
import tarfile
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from conftest import ramp
from PIL import Image

from training import crops
from training.config import DataConfig
from training.crops import (
    DAMAGE_SEED,
    LARGEST_SEED,
    EpochDraws,
    FixedPairCrops,
    ImageCrops,
    PairCrops,
    StreamedPairCrops,
    WeightedDraws,
    augmented_crop,
    centre_crop,
    drawn_damage,
    pair_of_crops,
)
from training.damages import damaged_crop, damaged_image
from training.data import (
    Pairs,
    checked_pairs,
    decode_row,
    has_a_shard_for_each,
    load_table,
    row_name,
    share_of_stream,
    split_stream,
)

PLAIN = DataConfig(pairs="", crop_size=4, gamma_range=(1.0, 1.0))


def pairs_of(*images) -> Pairs:
    return Pairs([f"scene {number}" for number in range(len(images))], images.__getitem__)


class TestAugmentedCrop:
    def test_both_modalities_share_crop_and_flip(self):
        image = ramp(9, 11)
        seen = set()
        for seed in range(60):
            crop = augmented_crop(np.stack([image, 255 - image]), seed, PLAIN)
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
        crop = augmented_crop(np.stack([ramp(8, 8) * 5] * 2), 0, config)
        assert not torch.allclose(crop[0], crop[1])
        assert crop.min() >= 0 and crop.max() <= 1

    def test_a_fixed_gamma_and_gain_are_applied_in_this_order(self):
        config = DataConfig(pairs="", crop_size=4, gamma_range=(2.0, 2.0), gain_range=(0.5, 0.5))
        image = ramp(4, 4) * 20
        squared = (torch.from_numpy(image) / 255) ** 2
        expected = squared.mean() + 0.5 * (squared - squared.mean())
        crop = augmented_crop(image[None], 1, config)[0]
        assert torch.allclose(crop, expected, atol=1e-6) or torch.allclose(crop.flip(-1), expected, atol=1e-6)

    def test_a_scaled_crop_is_a_larger_one_shrunk(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(1.0, 1.0), scale_range=(0.5, 0.5))
        # blocks of two pixels, one grey value from row to row and two from column to column, five times
        image = np.repeat(np.repeat(ramp(8, 8) * 5, 2, 0), 2, 1)
        crop = augmented_crop(image[None], 3, config)[0] * 255
        # a ramp stays a ramp inside, whatever the flip
        inside = torch.from_numpy(ramp(8, 8) * 5).float()[1:-1, 1:-1]
        found = [torch.allclose(each[1:-1, 1:-1], inside, atol=1e-3) for each in (crop, crop.flip(-1))]
        assert any(found)

    def test_a_crop_is_never_larger_than_its_image(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(0.5, 2.0), scale_range=(0.1, 0.2))
        for seed in range(20):
            crop = augmented_crop(np.stack([ramp(10, 14)] * 2), seed, config)
            assert crop.shape == (2, 8, 8) and crop.isfinite().all()
            assert crop.min() >= 0 and crop.max() <= 1

    def test_scales_vary(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(1.0, 1.0), scale_range=(0.25, 1.0))
        crops = [augmented_crop(ramp(40, 40)[None], seed, config)[0] * 255 for seed in range(40)]
        steps = [(crop[5, 4] - crop[4, 4]).item() for crop in crops]
        # from row to row a ramp rises by one grey value, shrunk by four by four of them
        assert 0.99 < min(steps) < 1.2 and 3.2 < max(steps) < 4.1

    def test_black_hot_inverts_infrared_alone(self):
        config = DataConfig(pairs="", crop_size=8, gamma_range=(1.0, 1.0), black_hot_probability=0.5)
        inverted = 0
        for seed in range(200):
            infrared, visible = augmented_crop(np.stack([ramp(8, 8)] * 2), seed, config)
            assert torch.equal(infrared, visible) or torch.allclose(infrared, 1 - visible)
            inverted += not torch.equal(infrared, visible)
        assert inverted == pytest.approx(100, abs=25)

    def test_a_seed_repeats_its_crop(self):
        image = np.stack([ramp(9, 11)] * 2)
        first = augmented_crop(image, 3, PLAIN)
        assert torch.equal(augmented_crop(image, 3, PLAIN), first)
        assert not torch.equal(augmented_crop(image, 4, PLAIN), first)


def test_the_centre_crop():
    crop = centre_crop(ramp(6, 9)[None], 4)
    assert torch.equal((crop[0] * 255).round(), torch.from_numpy(ramp(6, 9)[1:5, 2:6]).float())


def test_single_images():
    crops = ImageCrops([ramp(9, 9)[None]], PLAIN)
    expected = augmented_crop(ramp(9, 9)[None], 5, PLAIN)
    assert len(crops) == 1 and all(torch.equal(crop, expected) for crop in crops[0, 5])
    with pytest.raises(ValueError, match="it is 3x9, smaller than the crop of 4; lower crop_size or leave it out"):
        ImageCrops([np.stack([ramp(9, 9)]), np.stack([ramp(3, 9)])], PLAIN)


def test_single_images_that_are_damaged_have_the_same_place_undamaged():
    image, seeds = ramp(40, 40)[None], range(20)
    plain = ImageCrops([image], DataConfig(pairs="", crop_size=16))
    damaged = ImageCrops([image], DataConfig(pairs="", crop_size=16, damage_probability=0.5))
    crops = [damaged[0, seed] for seed in seeds]
    assert all(torch.equal(clean, plain[0, seed][1]) for seed, (_, clean) in zip(seeds, crops))
    hit = [not torch.equal(seen, clean) for seen, clean in crops]
    assert 4 <= sum(hit) <= 16


class TestPairCrops:
    IMAGES = np.stack([ramp(9, 9), ramp(9, 9) + 3]), np.stack([ramp(9, 7), ramp(9, 7)])

    def test_items_are_both_images_and_their_scene(self):
        crops = PairCrops(pairs_of(*self.IMAGES), PLAIN)
        item = crops[1, 5]
        expected = augmented_crop(self.IMAGES[1], 5, PLAIN)
        assert item["scene"] == 1 and crops.name(1) == "scene 1" and len(crops) == 2
        assert torch.equal(torch.cat([item["infrared"], item["visible"]]), expected)

    def test_fixed_crops_are_the_same_whatever_the_draw(self):
        config = DataConfig(pairs="", crop_size=4, crops_per_pair=3)
        crops = FixedPairCrops(pairs_of(*self.IMAGES), config, seed=7)
        assert len(crops) == 6
        assert [crops[index, 0]["scene"] for index in range(6)] == [0, 0, 0, 1, 1, 1]
        for index in range(6):
            assert torch.equal(crops[index, 0]["infrared"], crops[index, 99]["infrared"])
        assert not torch.equal(crops[0, 0]["visible"], crops[1, 0]["visible"])
        other = FixedPairCrops(pairs_of(*self.IMAGES), config, seed=8)
        assert not torch.equal(crops[0, 0]["infrared"], other[0, 0]["infrared"])


class TestDamagedPairs:
    CLEAN = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))

    def item(self, seed, probability):
        return pair_of_crops(self.CLEAN, seed, DataConfig(pairs="", damage_probability=probability), 3)

    def test_the_undamaged_pair_comes_along(self):
        for seed in range(20):
            item = self.item(seed, 1.0)
            assert torch.equal(torch.cat([item["clean_infrared"], item["clean_visible"]]), self.CLEAN)
            random = torch.Generator().manual_seed(seed ^ DAMAGE_SEED)
            torch.rand((), generator=random)
            assert torch.equal(torch.cat([item["infrared"], item["visible"]]), damaged_crop(self.CLEAN, random))
            assert item["scene"] == 3

    def test_none_are_damaged_by_default(self):
        for seed in range(20):
            item = self.item(seed, DataConfig(pairs="").damage_probability)
            assert torch.equal(torch.cat([item["infrared"], item["visible"]]), self.CLEAN)

    def test_kinds_are_drawn_by_their_weights(self):
        data = DataConfig(pairs="", crop_size=8, damage_probability=1.0, damage_weights={"partial": 1e9})
        image = (self.CLEAN[:1].numpy() * 255).astype(np.uint8)
        for seed in range(20):
            item = pair_of_crops(self.CLEAN, seed, data, 3)
            random = drawn_damage(seed, data)
            seen = torch.cat([item["infrared"], item["visible"]])
            assert torch.equal(seen, damaged_crop(self.CLEAN, random, data.damage_weights))
            single, clean = ImageCrops([image], data)[0, seed]
            assert torch.equal(single, damaged_image(clean, drawn_damage(seed, data), data.damage_weights))

    def test_the_share_is_the_probability(self):
        items = [self.item(seed, 0.25) for seed in range(400)]
        clean = [torch.equal(torch.cat([item["infrared"], item["visible"]]), self.CLEAN) for item in items]
        assert clean.count(False) == pytest.approx(100, abs=30)

    def test_place_flip_and_gamma_do_not_depend_on_damage(self):
        images = pairs_of(np.stack([ramp(40, 40), ramp(40, 40) + 3]))
        plain, damaged = (
            PairCrops(images, DataConfig(pairs="", crop_size=8, damage_probability=chance)) for chance in (0.0, 1.0)
        )
        for seed in range(5):
            assert torch.equal(damaged[0, seed]["clean_infrared"], plain[0, seed]["infrared"])
            assert torch.equal(damaged[0, seed]["clean_visible"], plain[0, seed]["visible"])


class TestStreamedPairCrops:
    @pytest.fixture
    def data(self, parquet_pairs):
        return DataConfig(pairs=parquet_pairs, streaming=True, crop_size=32, shuffle_buffer=4, validation_pairs=2)

    def test_every_pair_comes_once_an_epoch_in_another_order_and_none_of_the_held_out(self, data):
        stream, held_out = split_stream(data)
        assert held_out.names == ["row 0", "row 1"]
        crops = StreamedPairCrops(stream, data, draws=10, seed=0)
        scenes = [item["scene"] for item in crops]
        assert len(crops) == len(scenes) == 10
        assert sorted(scenes[:4]) == sorted(scenes[4:8]) == [2, 3, 4, 5]
        assert scenes[:4] != scenes[4:8]
        assert crops.name(3) == "row 3"

    def test_the_seed_alone_decides(self, data):
        stream, _ = split_stream(data)
        first, again, other = ([*StreamedPairCrops(stream, data, 5, seed)] for seed in (0, 0, 1))
        for one, two in zip(first, again):
            assert one["scene"] == two["scene"] and torch.equal(one["infrared"], two["infrared"])
        assert any(not torch.equal(one["infrared"], two["infrared"]) for one, two in zip(first, other))

    def test_crops_are_those_of_the_decoded_rows(self, data):
        stream, _ = split_stream(data)
        rows = list(load_table(data))
        random = torch.Generator().manual_seed(3)
        for item in StreamedPairCrops(stream, data, 6, seed=3):
            seed = int(torch.randint(LARGEST_SEED, (), generator=random))
            expected = augmented_crop(decode_row(rows[item["scene"]]), seed, data)
            assert torch.equal(torch.cat([item["infrared"], item["visible"]]), expected)

    def test_a_stream_that_holds_nothing_more(self, data):
        with pytest.raises(ValueError, match=r"streams 6 pairs, and 6 are validation pairs: nothing is left to train"):
            split_stream(replace(data, validation_pairs=6))

    def test_fewer_pairs_than_processes(self, data):
        stream, _ = split_stream(replace(data, validation_pairs=5))
        assert len([*StreamedPairCrops(stream, data, 3, 0, process=0, processes=2)]) == 3
        with pytest.raises(ValueError, match=r"streams no pair to process 1 of 2: it has fewer than processes, or"):
            next(iter(StreamedPairCrops(stream, data, 1, 0, process=1, processes=2)))

    def test_what_was_drawn_before_is_left_out_without_being_decoded(self, data, monkeypatch):
        stream, _ = split_stream(data)
        whole = [*StreamedPairCrops(stream, data, 7, seed=2)]
        decoded = []
        monkeypatch.setattr(crops, "decode_streamed", lambda row, size: decoded.append(row) or decode_row(row))
        rest = StreamedPairCrops(stream, data, 7, seed=2, skipped=5)
        assert len(rest) == 2
        for item, expected in zip([*rest], whole[5:], strict=True):
            assert item["scene"] == expected["scene"] and torch.equal(item["infrared"], expected["infrared"])
        assert len(decoded) == 2


SHARDS, ROWS = 5, 3


class TestShards:
    """A stream of several files, read by several processes."""

    @pytest.fixture
    def data(self, tmp_path):
        for shard in range(SHARDS):
            images = [ramp(6, 6) + np.uint8(ROWS * shard + row) for row in range(ROWS)]
            cells = [Image.fromarray(image) for image in images]
            table = datasets.Dataset.from_dict({"infrared": cells, "visible": cells})
            table.to_parquet(tmp_path / f"{shard}.parquet")
        return DataConfig(
            pairs=str(tmp_path / "*.parquet"), streaming=True, crop_size=4, shuffle_buffer=4, validation_pairs=4
        )

    def drawn(self, data, process, processes, draws, seed=0):
        crops = StreamedPairCrops(split_stream(data)[0], data, draws, seed, process, processes)
        return [crops.name(item["scene"]) for item in crops]

    def names(self, shards, held_out=()):
        names = [f"row {row}" + (f" of shard {shard}" if shard else "") for shard in shards for row in range(ROWS)]
        return [name for name in names if name not in held_out]

    def test_the_first_rows_are_held_out_across_shards(self, data):
        held_out = split_stream(data)[1]
        assert held_out.names == ["row 0", "row 1", "row 2", "row 0 of shard 1"]
        assert [pair[0, 0, 0] for pair in held_out] == [0, 1, 2, 3]

    def test_the_number_of_a_row_names_its_file(self, data):
        stream, _ = split_stream(data)
        for row in stream:
            place, _, shard = row_name(row["row"]).removeprefix("row ").partition(" of shard ")
            assert decode_row(row)[0, 0, 0] == ROWS * int(shard or 0) + int(place)

    def rows_of_an_epoch(self, stream, data, process, epoch, processes=2):
        """The names of what a process reads in an epoch."""
        shuffled = share_of_stream(stream, process, processes).shuffle(seed=0, buffer_size=data.shuffle_buffer)
        shuffled.set_epoch(epoch)
        return [row_name(row["row"]) for row in shuffled]

    def test_in_an_epoch_each_process_reads_shards_of_its_own(self, data):
        stream, _ = split_stream(replace(data, validation_pairs=0))
        dealt = set()
        for epoch in range(4):
            first, second = (self.rows_of_an_epoch(stream, data, process, epoch) for process in (0, 1))
            assert sorted([*first, *second]) == sorted(self.names(range(SHARDS)))
            # five shards for two: three and two, whole
            of_first, of_second = ({name.partition(" of ")[2] for name in names} for names in (first, second))
            assert sorted(map(len, (of_first, of_second))) == [2, 3] and not of_first & of_second
            dealt.add(frozenset(of_first))
        # dealt anew in each epoch, so that none comes more often for good
        assert len(dealt) > 1

    def test_a_process_draws_what_it_reads(self, data):
        stream, _ = split_stream(replace(data, validation_pairs=0))
        for process in (0, 1):
            expected = [
                *self.rows_of_an_epoch(stream, data, process, 0),
                *self.rows_of_an_epoch(stream, data, process, 1),
            ]
            crops = StreamedPairCrops(stream, data, len(expected), 0, process, 2)
            assert [crops.name(item["scene"]) for item in crops] == expected

    def test_the_files_of_other_processes_are_not_opened(self, data, tmp_path):
        stream, _ = split_stream(replace(data, validation_pairs=0))
        expected = self.rows_of_an_epoch(stream, data, 1, 0)
        own = {name.partition(" of shard ")[2] or "0" for name in expected}
        for file in tmp_path.glob("*.parquet"):
            if file.stem not in own:
                file.unlink()
        crops = StreamedPairCrops(stream, data, len(expected), 0, 1, 2)
        assert [crops.name(item["scene"]) for item in crops] == expected
        assert len(list(tmp_path.glob("*.parquet"))) < SHARDS

    def test_processes_draw_crops_of_their_own(self, data):
        stream, _ = split_stream(data)
        alone, first, second = (
            StreamedPairCrops(stream, replace(data, gamma_range=(0.5, 2.0)), 1, 0, *place)
            for place in ((0, 1), (0, 2), (1, 2))
        )
        values = [next(iter(crops))["infrared"].mean().item() for crops in (alone, first, second)]
        assert len(set(values)) == 3

    def test_a_shard_that_is_held_out_whole_is_dealt_to_no_process(self, data):
        for validation_pairs, left in ((2, SHARDS), (3, SHARDS - 1), (4, SHARDS - 1), (14, 1)):
            stream, held_out = split_stream(replace(data, validation_pairs=validation_pairs))
            assert stream.num_shards == left and len(held_out) == validation_pairs
            assert len({row["row"] for row in stream}) == SHARDS * ROWS - validation_pairs

    def test_too_few_shards_for_the_processes_are_read_by_all(self, data):
        stream, held_out = split_stream(data)
        assert has_a_shard_for_each(stream, SHARDS - 1) and not has_a_shard_for_each(stream, SHARDS)
        shares = [self.rows_of_an_epoch(stream, data, process, 0, SHARDS) for process in range(SHARDS)]
        assert sorted(name for share in shares for name in share) == sorted(self.names(range(SHARDS), held_out.names))
        assert all(shares)

    def test_webdataset(self, tmp_path):
        for shard in range(2):
            with tarfile.open(tmp_path / f"{shard}.tar", "w") as archive:
                for row in range(2):
                    for name, suffix in (("infrared", "png"), ("visible", "jpg")):
                        save_in(archive, f"{shard}{row}.{name}.{suffix}", ramp(6, 6) + 50 * shard + 10 * row)
        data = DataConfig(pairs=str(tmp_path / "*.tar"), streaming=True, crop_size=4, validation_pairs=1)
        held_out = split_stream(data)[1]
        assert np.array_equal(held_out[0][0], ramp(6, 6))
        assert [self.drawn(data, process, 2, 2) for process in (0, 1)].count(["row 1", "row 1"]) == 1
        checked = checked_pairs(replace(data, streaming=False))
        assert len(checked) == 4 and np.array_equal(checked[3][0], ramp(6, 6) + 60)


def save_in(archive, name, pixels):
    """Add an image to a tar file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG" if name.endswith("png") else "JPEG")
    entry = tarfile.TarInfo(name)
    entry.size = len(content.getvalue())
    archive.addfile(entry, io.BytesIO(content.getvalue()))


class TestWeightedDraws:
    def test_draws_follow_the_weights_and_carry_their_own_seeds(self):
        draws = WeightedDraws([1.0, 0.0, 3.0], 4000, seed=0)
        drawn = list(draws)
        assert len(draws) == len(drawn) == 4000
        scenes = [scene for scene, _ in drawn]
        assert scenes.count(1) == 0
        assert scenes.count(2) == pytest.approx(3000, abs=120)
        assert len({seed for _, seed in drawn}) == 4000

    def test_they_depend_on_the_seed_alone(self):
        first = list(WeightedDraws([1.0, 1.0], 10, seed=5))
        torch.rand(7)
        assert list(WeightedDraws([1.0, 1.0], 10, seed=5)) == first
        assert list(WeightedDraws([1.0, 1.0], 10, seed=6)) != first


class TestEpochDraws:
    def test_every_scene_once_an_epoch_in_another_order_with_other_seeds(self):
        draws = EpochDraws(5, 13, seed=0)
        drawn = list(draws)
        scenes = [scene for scene, _ in drawn]
        assert len(draws) == len(drawn) == 13
        assert sorted(scenes[:5]) == sorted(scenes[5:10]) == list(range(5))
        assert scenes[:5] != scenes[5:10]
        assert len(set(scenes[10:])) == 3
        assert len({seed for _, seed in drawn}) == 13

    def test_they_depend_on_the_seed_alone(self):
        first = list(EpochDraws(3, 10, seed=5))
        torch.rand(7)
        assert list(EpochDraws(3, 10, seed=5)) == first
        assert list(EpochDraws(3, 10, seed=6)) != first
