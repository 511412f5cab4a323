"""Other methods' networks by path."""

import numpy as np
import pytest
import torch
from PIL import Image

from maefuse_hf.evaluation.runner import LiveSystem
from maefuse_hf.evaluation.torchscript import TorchScriptSystem
from maefuse_hf.inference.pairs import PairPaths

CPU = torch.device("cpu")


class Brighter(torch.nn.Module):
    def forward(self, infrared, visible):
        return infrared + visible / 2


class Halved(torch.nn.Module):
    def forward(self, infrared, visible):
        return infrared[:, :, ::2]


def saved(network, path):
    torch.jit.script(network).save(path)
    return path


def test_luminance_goes_in_and_comes_out_clipped(tmp_path):
    system = TorchScriptSystem("other", saved(Brighter(), tmp_path / "other.pt"), CPU)
    assert isinstance(system, LiveSystem)
    infrared, visible = np.uint8([[0, 100], [200, 255]]), np.uint8([[10, 20], [200, 0]])
    paths = [tmp_path / "i.png", tmp_path / "v.png"]
    for path, levels in zip(paths, (infrared, visible)):
        Image.fromarray(levels).save(path)
    fused = system.fuse("set", PairPaths("0", *paths))
    assert np.asarray(fused.measured).tolist() == [[5, 110], [255, 255]]


def test_another_shape_is_refused(tmp_path):
    system = TorchScriptSystem("other", saved(Halved(), tmp_path / "other.pt"), CPU)
    image = Image.fromarray(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"other gave a tensor \(1, 1, 2, 4\)"):
        system.fuse_images(image, image)


def test_files_that_are_none(tmp_path):
    with pytest.raises(OSError, match="no file"):
        TorchScriptSystem("other", tmp_path / "none.pt", CPU)
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(ValueError, match=r"text.pt is no TorchScript file"):
        TorchScriptSystem("other", tmp_path / "text.pt", CPU)
