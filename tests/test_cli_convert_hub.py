"""`maefuse convert` of a name on the Hub, in a process of its own (hub_convert.py) that knows the server alone."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import foreign_checkpoints as foreign
import pytest
import torch
from hub_server import HubServer, Repository
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx
from safetensors.torch import save

from maefuse_hf import MaeFuseModel
from maefuse_hf.cli import main
from maefuse_hf.conversion.hub_checkpoint import is_hub_name
from maefuse_hf.conversion.maefuse import convert_checkpoint

HEADS = ["--encoder-heads", "6", "--decoder-heads", "3"]
COMMANDS = {
    "whole": ["org/whole", "whole", *HEADS],
    "halves": ["org/halves", "halves", *HEADS],
    "safetensors": ["org/safetensors", "safetensors", *HEADS],
    "old revision": ["org/several", "old", "--revision", "v1", *HEADS],
    "named file": ["org/several", "named", "--file", "weights/second.pth", *HEADS],
    "several": ["org/several", "x", *HEADS],
    "several halves": ["org/several-halves", "x", *HEADS],
    "half": ["org/half", "x", *HEADS],
    "nothing": ["org/nothing", "x"],
    "empty": ["org/empty", "x"],
    "broken": ["org/broken", "x"],
    "gated": ["org/gated", "x"],
    "typo": ["org/hwole", "x"],
    "no revision": ["org/whole", "x", "--revision", "v9"],
    "no file": ["org/whole", "x", "--file", "last.pth"],
    "ours": ["org/ours", "x"],
    "masked autoencoder": ["org/mae", "x"],
}


def pth(tensors, **beside):
    file = io.BytesIO()
    torch.save({"model": tensors, **beside}, file)
    return file.getvalue()


def legacy(tensors):
    file = io.BytesIO()
    torch.save({"model": tensors}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.fixture(scope="module")
def official():
    return foreign.official()


@pytest.fixture(scope="module")
def hub(official):
    encoder, fusion = pth(foreign.autoencoder()), pth(foreign.fusion_layer())
    plain = pth(foreign.autoencoder(cls_token=True))
    wrapped = {f"module.{name}": tensor for name, tensor in official.items()}
    card = {"README.md": b"# MaeFuse"}
    repositories = {
        "whole": card | {"final_new_60.pth": pth(wrapped, epoch=60, optimizer={"lr": 1.0}), "mae.pth": plain},
        "halves": card | {"encoder_decoder.pt": encoder, "fusion.bin": fusion, "mae.pth": plain},
        "safetensors": {"model.safetensors": save(official), "config.json": b"not json"},
        "several": {"first.pth": pth(official)},
        "several-halves": {"a.pth": encoder, "b.pth": encoder, "fusion.pth": fusion},
        "half": {"fusion.pth": fusion},
        "nothing": card | {"mae.pth": plain, "other.bin": pth({"weight": torch.zeros(3)}), "old.pth": legacy(official)},
        "empty": {},
        "broken": {"cut.pth": pth(official)[:5000], "cut.safetensors": save(official)[:50], "none.ckpt": b""},
        "gated": {"final.pth": pth(official)},
        "ours": {"config.json": b'{"model_type": "maefuse"}', "model.safetensors": save({"a": torch.zeros(1)})},
        "mae": {"config.json": b'{"model_type": "vit_mae"}', "pytorch_model.bin": plain},
    }
    with HubServer() as server:
        for name, files in repositories.items():
            repository = server.repositories["model", f"org/{name}"] = Repository(False, gated=name == "gated")
            repository.commit("main", files)
        several = server.repositories["model", "org/several"]
        several.names["v1"] = several.names["main"]
        second = {name: tensor + 1 if name == "model2.ln.bias" else tensor for name, tensor in official.items()}
        several.commit("main", {"first.pth": pth(official), "weights/second.pth": pth(second)})
        yield server


def run(folder, endpoint, commands):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
    script = Path(__file__).parent / "hub_convert.py"
    root = str(script.parent.parent)
    subprocess.run(
        [sys.executable, script, json.dumps(commands)],
        cwd=folder,
        env=environment | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=280,
    )
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("somebody")


@pytest.fixture(scope="module")
def results(hub, folder):
    return dict(zip(COMMANDS, run(folder, hub.url, list(COMMANDS.values()))))


@pytest.fixture(scope="module")
def expected(official, tmp_path_factory):
    path = tmp_path_factory.mktemp("local") / "whole.pth"
    path.write_bytes(pth(official))
    return convert_checkpoint(path, encoder_heads=6, decoder_heads=3)[0].state_dict()


class TestFound:
    @pytest.mark.parametrize("name", ["whole", "halves", "safetensors", "old revision", "named file"])
    def test_the_weights_are_those_of_the_file(self, folder, results, expected, name):
        status, _, error = results[name]
        assert (status, "Traceback" in error) == (0, False), error
        tensors = MaeFuseModel.from_pretrained(folder / COMMANDS[name][1]).state_dict()
        different = {key for key in expected if not torch.equal(tensors[key], expected[key])}
        assert different == ({"merging_fusion.norm.bias"} if name == "named file" else set())

    def test_it_is_said_what_is_there(self, hub, results):
        commit = hub.repositories["model", "org/whole"].names["main"]
        first, chosen, other = results["whole"][1].splitlines()[:3]
        assert first == f"org/whole at commit {commit} holds"
        assert chosen == "  final_new_60.pth (0.5 MB): encoder and decoder, fusion layer"
        assert other.startswith("  mae.pth (0.") and other.endswith(" MB): something else; not used")

    def test_parts(self, results):
        said = results["halves"][1]
        assert "encoder_decoder.pt (0.4 MB): encoder and decoder\n" in said
        assert "fusion.bin (0.1 MB): fusion layer\n" in said

    def test_what_is_not_used_is_not_downloaded(self, folder, results):
        kept = {path.name for path in (folder / "home" / "hub").rglob("snapshots/*/*")}
        assert {"final_new_60.pth", "encoder_decoder.pt", "fusion.bin"} <= kept
        assert "mae.pth" not in kept


class TestMessages:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("several", "org/several holds more than one checkpoint: first.pth (0.5 MB): encoder and decoder, fus"),
            ("several", "; weights/second.pth (0.5 MB): encoder and decoder, fusion layer. Name the one to convert"),
            ("several halves", "a.pth (0.4 MB): encoder and decoder; b.pth (0.4 MB): encoder and decoder; fusion.pth"),
            ("half", "org/half has no whole checkpoint of MaeFuse that can be converted. It holds fusion.pth (0.1 MB)"),
            ("nothing", "It holds mae.pth (0.4 MB): something else; old.pth (0.5 MB): something else; other.bin (0."),
            ("nothing", "If the file is an old one, without a table of contents, download it and give its path."),
            ("empty", "org/empty has no whole checkpoint of MaeFuse that can be converted. It holds only nothing."),
            (
                "broken",
                "It holds cut.pth (0.0 MB): something else; cut.safetensors (0.0 MB): something else; none.ckpt",
            ),
            ("gated", "org/gated is gated: ask for access at http://127.0.0.1:"),
            ("typo", "org/hwole is neither a file here nor a repository that you can see on the Hub. Check the spell"),
            ("no revision", "org/whole has no revision v9. See http://127.0.0.1:"),
            ("no file", "org/whole has no file last.pth; there is README.md, final_new_60.pth, mae.pth."),
            ("ours", "org/ours is a model of this package already and needs no conversion: --model takes it."),
            ("masked autoencoder", "org/mae is a plain masked autoencoder and needs no conversion"),
        ],
    )
    def test_one_line_and_nothing_written(self, folder, results, name, message):
        status, said, error = results[name]
        assert status == 1 and said == ""
        assert error.startswith("maefuse: ") and message in error
        assert error.count("\n") == 1
        assert not (folder / "x").exists()

    def test_no_network(self, tmp_path, monkeypatch, capsys):
        def unreachable(*arguments, **options):
            raise httpx.ConnectError("[Errno 111] Connection refused")

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(HfApi, "model_info", unreachable)
        assert main(["convert", "org/whole", "x"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("maefuse: The Hub cannot be reached for org/whole ([Errno 111] Connection refused).")
        assert "give its path" in error

    def test_offline(self, tmp_path, monkeypatch, capsys):
        """This process is offline, see conftest.py."""
        monkeypatch.chdir(tmp_path)
        assert main(["convert", "org/whole", "x"]) == 1
        assert "the variable HF_HUB_OFFLINE forbids to look on the Hub" in capsys.readouterr().err

    def test_options_of_the_hub_with_a_file(self, tmp_path, capsys):
        assert main(["convert", str(tmp_path / "a.pth"), str(tmp_path / "out"), "--revision", "v1"]) == 1
        assert "--file and --revision belong to a name on the Hub" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("lijiayangCS/MaeFuse", True),
        ("org/name-1.5", True),
        ("nothing.pth", False),
        ("weights/nothing.PTH", False),
        ("name", False),
        ("/work/name", False),
        ("./name", False),
        ("a/b/c", False),
        ("org/na me", False),
    ],
)
def test_what_is_a_name_on_the_hub(tmp_path, monkeypatch, text, is_name):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(text) == is_name


def test_a_folder_here_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert not is_hub_name("org/name")
