import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import ramp, small_model

from training.config import DataConfig, FeatureCacheConfig
from training.crops import FixedPairCrops
from training.data import Pairs
from training.feature_cache import cache_features, cache_key
from training.stages import STAGES, GuidedStep


def fixed_crops(seed=0, **fields):
    images = [np.stack([ramp(40, 40), ramp(40, 40) + number]) for number in range(3)]
    data = DataConfig(**{"pairs": "", "crop_size": 32, "crops_per_pair": 2, **fields})
    return FixedPairCrops(Pairs("abc", images.__getitem__), data, seed)


def encode_all(model, crops):
    images = torch.stack([torch.cat([crops[k, 0]["infrared"], crops[k, 0]["visible"]]) for k in range(len(crops))])
    return model.encode(images.flatten(0, 1)[:, None]).unflatten(0, (-1, 2))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float16", 2e-3)])
def test_a_cache_holds_what_the_encoder_makes_of_each_crop(tmp_path, capsys, dtype, tolerance):
    model, crops = small_model(), fixed_crops()
    config = FeatureCacheConfig(str(tmp_path), dtype)
    cached = cache_features(crops, model, config, batch_size=4, accelerator=Accelerator(cpu=True))
    expected = encode_all(model, crops)
    for index in range(len(crops)):
        item, plain = cached[index, 5], crops[index, 5]
        assert torch.equal(item["infrared"], plain["infrared"]) and item["scene"] == plain["scene"]
        assert item["infrared_features"].dtype == getattr(torch, dtype)
        assert torch.allclose(item["infrared_features"].float(), expected[index, 0], atol=tolerance)
        assert torch.allclose(item["visible_features"].float(), expected[index, 1], atol=tolerance)
    # six crops of two images of sixteen tokens of 32 numbers
    size = 6 * 2 * 16 * 32 * np.dtype(dtype).itemsize
    assert f"6 crops, {size / 1000:.1f}kB" in capsys.readouterr().out


def test_a_cache_is_made_once_and_a_broken_off_one_again(tmp_path, monkeypatch, capsys):
    model, crops, config = small_model(), fixed_crops(), FeatureCacheConfig(str(tmp_path), "float32")
    accelerator = Accelerator(cpu=True)
    key = cache_key(crops, model, config, "no")
    (tmp_path / f"{key}.partial").write_bytes(b"stopped here")
    first = cache_features(crops, model, config, 4, accelerator)
    assert [path.name for path in tmp_path.iterdir()] == [f"{key}.npy"]
    monkeypatch.setattr(model, "encode", lambda images: pytest.fail("the encoder ran again"))
    again = cache_features(crops, model, config, 4, accelerator)
    assert np.array_equal(first.features, again.features)
    assert "It is there already." in capsys.readouterr().out


def test_the_key_names_everything_that_the_features_depend_on():
    model, config = small_model(), FeatureCacheConfig("folder")
    other_weights = small_model()
    torch.nn.init.normal_(other_weights.encoder.layernorm.bias)
    other_images = fixed_crops()
    other_images.pairs = other_images.pairs.select([0, 2, 1])
    keys = [
        cache_key(fixed_crops(), model, config, "no"),
        cache_key(fixed_crops(), other_weights, config, "no"),
        cache_key(fixed_crops(), small_model(use_cls_token=False), config, "no"),
        cache_key(fixed_crops(seed=1), model, config, "no"),
        cache_key(fixed_crops(gamma_range=(0.5, 0.6)), model, config, "no"),
        cache_key(fixed_crops(scale_range=(0.5, 1.0)), model, config, "no"),
        cache_key(fixed_crops(damage_probability=0.5), model, config, "no"),
        cache_key(fixed_crops(damage_weights={"haze": 2.0}), model, config, "no"),
        cache_key(other_images, model, config, "no"),
        cache_key(fixed_crops(), model, FeatureCacheConfig("folder", "float32"), "no"),
        cache_key(fixed_crops(), model, config, "bf16"),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(fixed_crops(), model, FeatureCacheConfig("elsewhere"), "no") == keys[0]


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(free=1000))
    with pytest.raises(OSError, match=r"needs 12\.3kB, but .* has 1\.00kB free. Lower data\.crops_per_pair"):
        cache_features(fixed_crops(), small_model(), FeatureCacheConfig(str(tmp_path)), 4, Accelerator(cpu=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_the_same_loss_with_and_without(stage, tmp_path):
    model, crops = small_model(source_detail_sigma=2.0), fixed_crops(damage_probability=1.0)
    config = FeatureCacheConfig(str(tmp_path), "float32")
    cached = cache_features(crops, model, config, 4, Accelerator(cpu=True))
    step = GuidedStep(model, stage, {"intensity": 1.0, "gradient": 2.0})
    batches = [torch.utils.data.default_collate([data[index, 0] for index in (1, 4)]) for data in (crops, cached)]
    for batch in batches:
        batch.pop("scene")
    plain, from_disk = (step(**batch)[0] for batch in batches)
    assert torch.allclose(plain, from_disk, rtol=1e-5)
