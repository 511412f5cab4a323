import argparse
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from maefuse_hf.conversion.pth_file import read_tensors, renamed, require_exactly, tensor_shape


class Stranger:
    """A class that a checkpoint should not bring along."""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "checkpoint.pth"


TENSORS = {"a.weight": torch.arange(3.0), "b": torch.ones(2, dtype=torch.float16)}


class TestReading:
    @pytest.mark.parametrize(
        "wrap", [lambda tensors: {"model": tensors}, lambda t: {"state_dict": t, "epoch": 1}, dict]
    )
    def test_tensors_in_float32(self, file, wrap):
        torch.save(wrap(TENSORS), file)
        tensors = read_tensors(file)
        assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"a.weight": [0, 1, 2], "b": [1, 1]}
        assert all(tensor.dtype == torch.float32 for tensor in tensors.values())

    def test_what_training_leaves_beside_them(self, file):
        parameter = torch.nn.Parameter(torch.zeros(2))
        optimizer = torch.optim.AdamW([parameter])
        parameter.sum().backward()
        optimizer.step()
        content = {
            "model": TENSORS,
            "optimizer": optimizer.state_dict(),
            "epoch": 7,
            "scaler": {"scale": 65536.0, "_growth_tracker": 1},
            "best": np.float64(0.5),
            "step": np.int64(3),
            "args": argparse.Namespace(lr=1e-4, output_dir=Path("runs"), model="mae_vit_large_patch16", seed=None),
        }
        torch.save(content, file)
        assert read_tensors(file).keys() == TENSORS.keys()

    def test_the_format_before_zip(self, file):
        torch.save({"model": TENSORS}, file, _use_new_zipfile_serialization=False)
        assert read_tensors(file).keys() == TENSORS.keys()

    @pytest.mark.parametrize("name", ["module.a.weight", "a.module.weight", "_orig_mod.module.a.weight"])
    def test_wrappers_leave_no_trace(self, file, name):
        torch.save({"model": {name: torch.zeros(1)}}, file)
        assert list(read_tensors(file)) == ["a.weight"]


class TestRefusals:
    @pytest.mark.parametrize("content", [Stranger(), {"model": TENSORS, "extra": Stranger()}, torch.nn.Linear(1, 1)])
    def test_objects_that_could_run_code(self, file, content):
        torch.save(content, file)
        with pytest.raises(
            ValueError, match=r"more than tensors, which could run code .*(Stranger|Linear).* save the ten"
        ):
            read_tensors(file)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"model": {}}, "holds no named tensors, only nothing"),
            ({"epoch": 3, "lr": 0.1}, "holds no named tensors, only epoch, lr. Is it a checkpoint"),
            ([torch.zeros(1)], "holds no named tensors, a list"),
            (torch.zeros(1), "holds no named tensors, a Tensor"),
            ({"model": {"a": torch.zeros(1), "b": 1, "c": "x"}}, "entries among its tensors that are none: b, c"),
            ({"a": torch.zeros(1), "module.a": torch.zeros(1)}, "holds tensors twice"),
        ],
    )
    def test_no_checkpoint(self, file, content, message):
        torch.save(content, file)
        with pytest.raises(ValueError, match=message):
            read_tensors(file)

    def test_no_such_file(self, file):
        with pytest.raises(FileNotFoundError, match=r"checkpoint.pth: there is no such file"):
            read_tensors(file)
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            read_tensors(file.parent)

    @pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
    def test_files_that_are_cut_off(self, file, share):
        torch.save({"model": {"a": torch.zeros(1000)}}, file)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(OSError, match=r"cannot be read as a checkpoint .* again, whole"):
            read_tensors(file)

    @pytest.mark.parametrize(
        "content", [b"version https://git-lfs.github.com/spec/v1\n", b"<html>404</html>", b"\x80\x04K"]
    )
    def test_files_that_are_something_else(self, file, content):
        file.write_bytes(content)
        with pytest.raises(OSError, match="cannot be read as a checkpoint"):
            read_tensors(file)

    def test_plain_pickles(self, file):
        file.write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises((OSError, ValueError), match=r"checkpoint\.pth"):
            read_tensors(file)


class TestRenaming:
    SHAPES = {"q": torch.Size([2, 3]), "k": torch.Size([2, 3]), "v": torch.Size([2, 3])}
    STACKED = {"qkv": torch.arange(18.0).reshape(6, 3)}

    def test_a_tensor_is_shared_in_equal_parts(self):
        result = renamed("it", self.STACKED, {"qkv": ("q", None, "v")}, self.SHAPES)
        assert result.keys() == {"q", "v"}
        assert torch.equal(result["q"], self.STACKED["qkv"][:2]) and torch.equal(result["v"], self.STACKED["qkv"][4:])

    def test_known_tensors_may_stay_behind(self):
        assert renamed("it", self.STACKED, {"qkv": ()}, self.SHAPES) == {}

    def test_other_sizes(self):
        with pytest.raises(ValueError, match=r"it has tensors of sizes .*: qkv \(6, 3\) instead of \(4, 3\)\."):
            renamed("it", self.STACKED, {"qkv": ("q", "k")}, self.SHAPES)

    def test_missing_and_left_over_are_listed(self):
        require_exactly("it", self.STACKED, ["qkv"])
        with pytest.raises(ValueError) as error:
            require_exactly("it", self.STACKED, ["x", "a"], "Do this.")
        assert str(error.value).endswith("needed. missing: a, x; left over: qkv. Do this.")

    def test_number_of_dimensions(self):
        assert tensor_shape("it", self.STACKED, "qkv", 2) == (6, 3)
        with pytest.raises(ValueError, match=r"it: qkv has the shape \(6, 3\); 4 dimensions are needed"):
            tensor_shape("it", self.STACKED, "qkv", 4)


class Calls:
    """Names a function that whoever unpickles it without care calls with this argument."""

    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return self.function, (self.argument,)


def written(file, content, form, protocol=2):
    """A file of torch.save, as it is now or was before zip, or a plain pickle."""
    if form == "plain":
        file.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, file, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    return file


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("form", ["zip", "before zip", "plain"])
class TestFilesThatRunCode:
    def refusal(self, file):
        with pytest.raises(ValueError) as caught:
            read_tensors(file)
        assert "weights_only" not in str(caught.value) and "allowlist" not in str(caught.value)
        assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.mark.parametrize(("function", "named"), [(os.mkdir, "mkdir"), (eval, "eval"), (shutil.rmtree, "rmtree")])
    def test_attacks_are_called_malicious(self, file, form, protocol, function, named):
        evidence = file.parent / "was_here"
        message = self.refusal(written(file, {"model": {"weight": Calls(function, str(evidence))}}, form, protocol))
        assert "is malicious: it would run" in message and named in message and message.endswith("Delete it.")
        assert not evidence.exists()

    def test_other_functions_are_named(self, file, form, protocol):
        evidence = file.parent / "was_here"
        message = self.refusal(written(file, {"model": {"weight": Calls(Path.touch, evidence)}}, form, protocol))
        assert "holds more than tensors, which could run code" in message and "malicious" not in message
        assert not evidence.exists()


class TestMemory:
    """What would fill memory is refused before it does; every file here is small."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_strides_that_ask_for_64_gib(self, file, dtype):
        torch.save({"model": {"a": torch.zeros(1, dtype=dtype).expand(1 << 34)}}, file)
        with pytest.raises(ValueError, match=r"a has the shape \(17179869184,\) .* made to fill memory"):
            read_tensors(file)

    def test_one_storage_under_very_many_names(self, file):
        shared = torch.zeros(1 << 18)
        torch.save({"model": {f"a{number}": shared for number in range(9)}}, file)
        with pytest.raises(ValueError, match=r"would take 9437184 bytes, the file has 10\d+\. .* made to fill memory"):
            read_tensors(file)

    def test_one_storage_under_two_names_is_common(self, file):
        shared = torch.zeros(1 << 18, dtype=torch.float16)
        torch.save({"model": {"a": shared, "b": shared}}, file)
        assert read_tensors(file).keys() == {"a", "b"}

    def test_zip_bombs(self, file):
        torch.save({"model": {"a": torch.zeros(1 << 20)}}, file)
        bomb = file.with_name("bomb.pth")
        with zipfile.ZipFile(file) as honest, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in honest.namelist():
                archive.writestr(name, honest.read(name))
        assert bomb.stat().st_size < 10_000
        with pytest.raises(ValueError, match=r"bomb\.pth is no file of torch\.save: its \d+ bytes unpack to 41\d+,"):
            read_tensors(bomb)

    def test_memory_that_cannot_be_had(self, file):
        torch.save({"model": {"a": torch.zeros(1)}, "extra": Calls(bytearray, 1 << 62)}, file)
        with pytest.raises(OSError, match="cannot be read as a checkpoint"):
            read_tensors(file)

    @pytest.mark.parametrize(
        "tensor",
        [torch.zeros(2).to_sparse(), torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex64)],
        ids=["sparse", "meta", "complex"],
    )
    def test_tensors_without_real_numbers_for_all_places(self, file, tensor):
        torch.save({"model": {"a": tensor}}, file)
        with pytest.raises(ValueError, match="a is no dense tensor of real numbers"):
            read_tensors(file)
