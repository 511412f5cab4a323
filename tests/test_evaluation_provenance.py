import hashlib

import pytest
from conftest import small_model
from PIL import Image

from maefuse_hf.evaluation.provenance import data_sha256, refuse_other_weights, weights_sha256
from maefuse_hf.evaluation.runner import read_datasets


def pairs(folder, suffix="png", levels=(1, 2)):
    for half, level in zip(("infrared", "visible"), levels):
        for name in "ab":
            (folder / half).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), level).save(folder / half / f"{name}.{suffix}", "png")
    return read_datasets([folder])[0]


class TestData:
    def test_by_hand(self, tmp_path):
        data = pairs(tmp_path)
        one, two = (
            hashlib.sha256((tmp_path / half / "a.png").read_bytes()).hexdigest() for half in ("infrared", "visible")
        )
        text = f"a {one} {two}\nb {one} {two}\n"
        assert data_sha256(data) == hashlib.sha256(text.encode()).hexdigest()

    def test_folder_and_suffix_do_not_matter_and_contents_do(self, tmp_path):
        first, moved = pairs(tmp_path / "one"), pairs(tmp_path / "two", "tif")
        assert data_sha256(first) == data_sha256(moved)
        assert data_sha256(first) != data_sha256(pairs(tmp_path / "three", levels=(2, 1)))

    def test_a_file_that_is_gone_counts_as_such(self, tmp_path):
        data = pairs(tmp_path)
        before = data_sha256(data)
        (tmp_path / "visible" / "a.png").unlink()
        assert data_sha256(data) != before


class TestWeights:
    def test_by_hand(self, tmp_path):
        (tmp_path / "model-2.safetensors").write_bytes(b"b")
        (tmp_path / "model-1.safetensors").write_bytes(b"a")
        (tmp_path / "optimizer.safetensors").write_bytes(b"c")
        expected = {f"model-{k}.safetensors": hashlib.sha256(text).hexdigest() for k, text in ((1, b"a"), (2, b"b"))}
        assert weights_sha256(tmp_path) == expected

    def test_none(self, tmp_path):
        with pytest.raises(OSError, match="holds no weights named like model"):
            weights_sha256(tmp_path)

    def test_shards_that_differ_are_named(self, tmp_path):
        small_model().save_pretrained(tmp_path, max_shard_size="60KB")
        here = weights_sha256(tmp_path)
        refuse_other_weights("metrics.json", here, tmp_path)
        first = min(here)
        message = f"metrics.json has the results of other weights than those of .*: {first}, model.safetensors differs"
        with pytest.raises(ValueError, match=message):
            refuse_other_weights("metrics.json", here | {first: "0", "model.safetensors": "0"}, tmp_path)
