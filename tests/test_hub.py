"""The way to the Hub and back, over HTTP to the server in hub_server.py, and the ways in which people load models.

What a process takes for the Hub is settled when it imports `huggingface_hub`: hub_owner.py and hub_stranger.py are
processes of their own.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml
from conftest import small_model
from hub_server import TOKEN, HubServer
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModel, pipeline

import maefuse_hf
from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel, cli
from maefuse_hf.evaluation.provenance import weights_sha256
from maefuse_hf.evaluation.runner import Row
from maefuse_hf.evaluation.summary import as_json, summarise
from maefuse_hf.example_scene.scene import render_example_pair

TESTS = Path(__file__).parent
BENCHMARKS = "benchmarks: [{dataset: TNO, metric: EN, hub: org/fusion-benchmark, task: entropy}]\n"
STREAM = {
    "data": {"pairs": "org/pairs", "streaming": True, "crop_size": 32, "validation_pairs": 2, "shuffle_buffer": 3},
    "start": {"model": "old"},
    "stages": {"mfm_fuse": {"steps": 2, "learning_rate": 0.001}},
    "batch_size": 2,
    "tracker": None,
}


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        yield server


def run(folder, hub, *command, token=None):
    """Run Python in a folder as somebody with an empty cache, who knows this Hub alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / f"home of {token}"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    environment |= {"ACCELERATE_USE_CPU": "true"} | ({"HF_TOKEN": token} if token else {})
    finished = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr
    return finished


@pytest.fixture(scope="module")
def world(hub, tmp_path_factory):
    """A folder with two checkpoints, pairs, and a Space, after its owner and a stranger have done what they do."""
    folder = tmp_path_factory.mktemp("world")
    for name, shift in (("old", 0.0), ("new", 0.2)):
        model = small_model()
        model.decoder.predict.bias.data += shift
        model.save_pretrained(folder / name)
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(folder / name)
    for number in range(5):
        for half, image in zip(("infrared", "visible"), render_example_pair(64, 72, seed=number)):
            (folder / "pairs" / half).mkdir(parents=True, exist_ok=True)
            image.save(folder / "pairs" / half / f"{number}.{'png' if number % 2 else 'webp'}")
    infrared, visible = render_example_pair(70, 90)
    infrared.save(folder / "thermal.png")
    visible.save(folder / "photo.png")
    (folder / "space" / "__pycache__").mkdir(parents=True)
    (folder / "space" / "__pycache__" / "app.pyc").touch()
    (folder / "space" / "README.md").write_text("---\nsdk: gradio\n---\nA stand-in.\n")
    (folder / "space" / "app.py").write_text("print('demo')\n")
    (folder / "stream.yaml").write_text(yaml.safe_dump(STREAM))
    rows = [Row("TNO", "one", system, {"EN": 6.5}) for system in ("old", "average", "visible alone")]
    for name in ("old", "new"):
        about = {"model": "old", "weights sha256": weights_sha256(folder / name), "definitions": {}}
        (folder / f"metrics_{name}.json").write_text(as_json(summarise(rows), about, []))
    (folder / "old" / "card.yaml").write_text(BENCHMARKS)

    run(folder, hub, TESTS / "hub_owner.py", token=TOKEN)
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    run(folder, hub, "-I", "-S", TESTS / "hub_stranger.py", *libraries)
    return folder


@pytest.fixture(scope="module")
def owner(world):
    return json.loads((world / "results.json").read_text())


@pytest.fixture(scope="module")
def stranger(world):
    return json.loads((world / "stranger.json").read_text())


def image(path):
    return np.asarray(Image.open(path), int)


class TestModel:
    def test_all_of_it_is_there(self, hub, owner):
        assert owner["publish"][0] == owner["publish again"][0] == 0
        names = set(hub.files("org/fuse"))
        assert names >= {"README.md", "config.json", "model.safetensors", "preprocessor_config.json", "example.jpg"}
        assert {f"{part}_maefuse.py" for part in ("configuration", "modeling", "image_processing", "pipeline")} <= names

    def test_weights_are_those_that_were_measured(self, hub, owner, world):
        files = hub.files("org/fuse")
        (digest,) = json.loads(files["metrics.json"])["about"]["weights sha256"].values()
        assert hashlib.sha256(files["model.safetensors"]).hexdigest() == digest
        assert owner["weights sha256"] == {"model.safetensors": digest}

    def test_results_of_benchmarks_come_and_go_with_the_checkpoint(self, hub, owner):
        (entry,) = yaml.safe_load(hub.files("org/fuse", revision="v1")[".eval_results/maefuse.yaml"])
        assert entry["dataset"] == {"id": "org/fusion-benchmark", "task_id": "entropy"} and entry["value"] == 6.5
        assert ".eval_results/maefuse.yaml" not in hub.files("org/fuse")

    def test_onnx_files_come_and_go_with_the_checkpoint(self, hub, owner):
        assert hub.files("org/fuse", revision="v1")["onnx/model.onnx"] == b"graph of old"
        assert b"onnx/model.onnx" in hub.files("org/fuse", revision="v1")["README.md"]
        assert not [name for name in hub.files("org/fuse") if name.startswith("onnx/")]
        assert b"onnx" not in hub.files("org/fuse")["README.md"]

    def test_the_card_arrives_whole(self, hub, owner):
        card = ModelCard(hub.files("org/fuse")["README.md"].decode())
        (result,) = card.data.eval_results
        assert (result.dataset_name, result.metric_name, result.metric_value) == ("TNO", "EN", 6.5)
        assert 'pipeline("image-fusion", model="org/fuse", trust_remote_code=True)' in card.text

    def test_revisions(self, world):
        expected = {name: MaeFuseModel.from_pretrained(world / name).state_dict() for name in ("old", "new")}
        for found, checkpoint in (("main", "new"), ("cached", "new"), ("v1", "old")):
            weights = torch.load(world / f"{found}.pt", weights_only=True)
            assert all(torch.equal(weights[name], value) for name, value in expected[checkpoint].items())

    def test_with_the_package_no_trust_is_needed(self, world, owner):
        assert owner["pipeline"] == owner["pipeline without a task"] == "maefuse_hf.pipeline_maefuse"
        assert owner["fuse"] == [0, ""]
        assert abs(image(world / "fused.png") - image(world / "fused_cli.png")).max() <= 1
        assert abs(image(world / "fused.png") - image(world / "fused_v1.png")).max() > 5

    def test_private_repositories(self, hub, owner):
        assert owner["private"][0] == 0
        assert hub.repositories["model", "org/secret"].private
        assert not hub.repositories["model", "org/fuse"].private


class TestStranger:
    def test_the_first_lines_of_the_card_give_the_same_image(self, world, stranger):
        assert stranger["lines"] == 4
        assert np.array_equal(image(world / "stranger.png"), image(world / "fused.png"))
        assert np.array_equal(image(world / "stranger_no_task.png"), image(world / "fused.png"))

    def test_a_revision_does_too(self, world, stranger):
        assert np.array_equal(image(world / "stranger_v1.png"), image(world / "fused_v1.png"))

    def test_again_from_the_cache_without_a_network(self, world, stranger):
        assert abs(image(world / "stranger_cached.png") - image(world / "fused.png")).max() <= 1

    def test_the_package_was_not_there(self, stranger):
        assert not stranger["package loaded"]
        assert stranger["module"].startswith("transformers_modules.org.fuse.")

    def test_what_a_stranger_saves_has_its_code(self, world, stranger):
        config = json.loads((world / "saved_by_stranger" / "config.json").read_text())
        assert config["auto_map"]["AutoModel"].endswith("modeling_maefuse.MaeFuseModel")
        assert (world / "saved_by_stranger" / "modeling_maefuse.py").is_file()
        assert torch.equal(
            MaeFuseModel.from_pretrained(world / "saved_by_stranger").decoder.predict.bias,
            MaeFuseModel.from_pretrained(world / "old").decoder.predict.bias,
        )

    @pytest.mark.parametrize("what", ["model", "processor", "pipeline"])
    def test_without_trust_it_is_said_what_to_do(self, stranger, what):
        message = stranger[f"no trust: {what}"]
        assert message.startswith("ValueError: The repository org/fuse contains custom code")
        assert "trust_remote_code=True" in message

    def test_a_private_repository_without_a_token(self, stranger):
        assert "org/secret is not a local folder and is not a valid model identifier" in stranger["private"]
        assert "hf auth login" in stranger["private"]


class TestPairs:
    def test_files_arrive_byte_for_byte(self, hub, owner, world):
        assert owner["push pairs"][0] == 0
        files = hub.files("org/pairs", "dataset")
        (parquet,) = [data for path, data in files.items() if path.endswith(".parquet")]
        table = pyarrow.parquet.read_table(io.BytesIO(parquet))
        assert table.column_names == ["infrared", "visible"]
        rows = table.to_pylist()
        assert len(rows) == 5
        for number, row in enumerate(rows):
            for half, cell in row.items():
                name = f"{number}.{'png' if number % 2 else 'webp'}"
                assert cell["path"] == name
                assert cell["bytes"] == (world / "pairs" / half / name).read_bytes()

    def test_they_are_streamed_back_into_training(self, world, owner):
        before, after = (load_file(world / path / "model.safetensors") for path in ("old", "run/final"))
        changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert changed == {"merging_fusion"}


def test_the_space_is_sent_with_the_package_and_knows_its_model(hub, owner):
    settings = hub.repositories["space", "org/demo"].settings
    assert settings["sdk"] == "gradio" and settings["variables"] == {"MAEFUSE_MODEL": "org/fuse"}
    sent = hub.files("org/demo", "space")
    assert {path for path in sent if not path.startswith("maefuse_hf/")} == {"README.md", "app.py"}
    package = Path(maefuse_hf.__file__).parent
    assert {f"maefuse_hf/{path.relative_to(package)}" for path in package.rglob("*.py")} < set(sent)
    weights = "pretrained/maefuse-small/model.safetensors"
    assert sent[f"maefuse_hf/{weights}"] == (package / weights).read_bytes()
    assert not [path for path in sent if "__pycache__" in path or "/." in path]
    assert b"sdk: gradio" in sent["README.md"] and b"models:\n- org/fuse\n" in sent["README.md"]


class TestMessages:
    @pytest.mark.parametrize("what", ["model", "pipeline"])
    def test_no_such_repository(self, owner, what):
        message = owner[f"nothing: {what}"]
        assert message.startswith("OSError: org/nothing is not a local folder and is not a valid model identifier")

    def test_no_such_repository_on_the_command_line(self, owner):
        status, said = owner["nothing: fuse"]
        assert status == 1
        assert said.startswith("maefuse: org/nothing is not a local folder and is not a valid model identifier")
        assert "Traceback" not in said

    def test_no_such_revision(self, owner):
        assert owner["no revision"].startswith("OSError: v9 is not a valid git identifier")

    @pytest.mark.parametrize("what", ["publish", "pairs"])
    def test_no_token(self, hub, owner, what):
        status, said = owner[f"no token: {what}"]
        assert status == 1
        assert "`hf auth login`" in said
        assert not [name for _, name in hub.repositories if name == "org/other"]

    def test_a_token_that_does_not_count(self, owner):
        status, said = owner["wrong token: publish"]
        assert status == 1
        assert "401" in said and "Invalid username or password" in said and "Traceback" not in said

    def test_offline_with_nothing_in_the_cache(self, tmp_path, capsys):
        """This process is offline, see conftest.py."""
        needed = "couldn't find them in the cached files"
        with pytest.raises(OSError, match=needed):
            MaeFuseModel.from_pretrained("org/fuse", cache_dir=tmp_path)
        with pytest.raises(OSError, match=needed):
            pipeline("image-fusion", model="org/not-in-the-cache")
        infrared, visible = render_example_pair(64, 64)
        infrared.save(tmp_path / "a.png")
        visible.save(tmp_path / "b.png")
        pair = [str(tmp_path / name) for name in ("a.png", "b.png")]
        assert cli.main(["fuse", *pair, "-o", str(tmp_path / "c.png"), "--model", "org/not-in-the-cache"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("maefuse: ") and needed in error and "Traceback" not in error


@torch.inference_mode()
def luminance(model):
    """What a model makes of two pairs of noise."""
    infrared, visible = torch.rand(2, 2, 1, 40, 64, generator=torch.Generator().manual_seed(1)).to(model.device)
    return model(infrared, visible).fused.float().cpu()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint in several files."""
    folder = tmp_path_factory.mktemp("sharded")
    small_model().save_pretrained(folder, max_shard_size="60KB")
    return folder


@pytest.fixture(scope="module")
def expected():
    return luminance(small_model())


class TestLoading:
    """What docs/hub.md says of loading; precision, kernels and `torch.compile` are in test_modeling_maefuse.py too."""

    def test_shards(self, saved, expected):
        assert len(list(saved.glob("*.safetensors"))) > 2
        assert (saved / "model.safetensors.index.json").is_file()
        assert torch.equal(luminance(AutoModel.from_pretrained(saved)), expected)

    @pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.005), ("bfloat16", 0.05), ("float32", 0.0)])
    def test_dtype(self, saved, expected, dtype, tolerance):
        model = AutoModel.from_pretrained(saved, dtype=dtype)
        assert model.dtype == getattr(torch, dtype)
        assert abs(luminance(model) - expected).max() <= tolerance

    @pytest.mark.parametrize("kernel", ["eager", "sdpa"])
    def test_kernels(self, saved, expected, kernel):
        model = AutoModel.from_pretrained(saved, attn_implementation=kernel)
        assert model.config._attn_implementation == kernel
        assert torch.allclose(luminance(model), expected, atol=1e-5)

    def test_a_device_map(self, saved, expected):
        model = AutoModel.from_pretrained(saved, device_map="auto")
        assert model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
        on_cpu = AutoModel.from_pretrained(saved, device_map="cpu")
        assert on_cpu.device.type == "cpu"
        assert torch.equal(luminance(on_cpu), expected)
        assert torch.allclose(luminance(model), expected, atol=1e-3)

    def test_layers_that_do_not_fit_wait_on_the_disk(self, saved, expected, tmp_path):
        model = AutoModel.from_pretrained(saved, device_map="auto", max_memory={"cpu": 80_000}, offload_folder=tmp_path)
        assert set(map(str, model.hf_device_map.values())) == {"cpu", "disk"}
        assert torch.equal(luminance(model), expected)

    def test_torchao_int8_weights(self, saved, expected, tmp_path):
        pytest.importorskip("torchao", reason="needs torchao")
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import TorchAoConfig

        settings = TorchAoConfig(Int8WeightOnlyConfig())
        model = AutoModel.from_pretrained(saved, quantization_config=settings)
        assert type(model.decoder.embed.weight).__name__ == "Int8Tensor"
        fused = luminance(model)
        assert 0 < abs(fused - expected).max() < 0.02
        model.save_pretrained(tmp_path)
        assert torch.equal(luminance(AutoModel.from_pretrained(tmp_path)), fused)
