"""What publish.py writes; tests/test_hub.py sends it and loads it back."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import small_model
from huggingface_hub import ModelCard, SpaceCard, parse_eval_result_entries
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import httpx
from PIL import Image

from maefuse_hf import SHIPPED_CHECKPOINT, MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.evaluation.provenance import weights_sha256
from maefuse_hf.evaluation.runner import Row
from maefuse_hf.evaluation.summary import as_json, summarise
from maefuse_hf.example_scene.scene import render_example_pair
from maefuse_hf.inference import fuse_pair, load_checkpoint
from training import publish

ROOT = Path(__file__).parent.parent
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
PLACEHOLDERS = re.compile(r"\{\{|\{%|\{#|\[More|TODO|FIXME|XXX|\bNone\b|Undefined|<your|placeholder", re.IGNORECASE)
CONFIG = {
    "data": {"pairs": "org/pairs", "photos": None, "validation_pairs": 2, "crop_size": 32},
    "encoder": "somewhere/encoder",
    "stages": {
        "decoder": {"steps": 21, "learning_rate": 0.001},
        "cfm_fuse": {"steps": 0},
        "mfm_fuse": {"steps": 34, "learning_rate": 0.01},
    },
    "loss_weights": {"intensity": 1.0, "gradient": 2.5},
    "optimizer": {"schedule": "cosine", "warmup_steps": 5},
    "batch_size": 13,
    "gradient_accumulation_steps": 3,
    "mixed_precision": "bf16",
    "seed": 0,
}
DETAILS = """\
summary: A model for tests.
base_model: facebook/vit-mae-base
data:
  - {name: Kitchens, used_for: some of it, what: "kitchens", terms: free}
  - {name: all of my garden, used_for: some of it, what: plants, terms: free}
  - {name: Streets, used_for: all of it, what: rendered streets, terms: free, hub: org/streets}
benchmarks:
  - {dataset: TNO, metric: EN, hub: org/fusion-benchmark, task: entropy}
limits: [It has never seen a cat.]
"""


@pytest.fixture(scope="module", autouse=True)
def small_example():
    """A small example image, which takes less time to fuse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "render_example_pair", lambda: render_example_pair(64, 80))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A model in the folder of its run, with all that can lie around it."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    model = small_model()
    model.save_pretrained(run / "final")
    MaeFuseImageProcessor(size_divisor=8).save_pretrained(run / "final")
    (run / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    (run / "final" / "card.yaml").write_text(DETAILS)
    return run / "final"


@pytest.fixture(scope="module")
def evaluation(checkpoint, tmp_path_factory):
    """Results on two data sets, with a value that is infinite and one that is missing."""
    rows = []
    for dataset in ("Road Scene", "TNO"):
        for pair in range(3):
            for k, system in enumerate(("final", "visible alone", "infrared alone", "average", "maximum")):
                values = {"EN": 6.25 + pair + k / 8, "PSNR": float("inf") if system == "final" else 10.0 + k}
                rows.append(Row(dataset, f"{pair}", system, {**values, "SCD": float("nan")}))
    path = tmp_path_factory.mktemp("evaluation") / "metrics.json"
    about = {"model": "final", "torch": "2.13.0", "definitions": {"AG": "standard"}}
    about["weights sha256"] = weights_sha256(checkpoint)
    path.write_text(as_json(summarise(rows), about, ["one pair is broken"]))
    return path


def run(*arguments):
    return publish.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def published(checkpoint, evaluation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "new"
    status = run(
        "--checkpoint",
        checkpoint,
        "--repo",
        "org/fuse",
        "--evaluation",
        evaluation,
        "--dry-run",
        "--output_dir",
        folder,
    )
    assert status == 0
    return folder


@pytest.fixture(scope="module")
def card(published):
    return ModelCard.load(published / "README.md")


class TestDryRun:
    def test_the_folder_is_a_whole_repository(self, published, checkpoint):
        names = {path.name for path in published.iterdir()}
        assert names >= {"README.md", "config.json", "preprocessor_config.json", "model.safetensors", "example.jpg"}
        assert names >= {"training_config.yaml", "card.yaml", "metrics.json"}
        assert names >= {f"{part}_maefuse.py" for part in ("configuration", "modeling", "image_processing", "pipeline")}
        assert "image-fusion" in json.loads((published / "config.json").read_text())["custom_pipelines"]
        expected = MaeFuseModel.from_pretrained(checkpoint).state_dict()
        result = MaeFuseModel.from_pretrained(published).state_dict()
        assert all((result[name] == weight).all() for name, weight in expected.items())

    def test_it_says_what_would_be_sent(self, checkpoint, tmp_path, capsys, monkeypatch):
        space = tmp_path / "space"
        space.mkdir()
        (space / "README.md").write_text("---\nsdk: gradio\n---\n")
        monkeypatch.setattr(publish, "SPACE", space)
        arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--space", "org/demo", "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 0
        output = capsys.readouterr()
        assert "model org/fuse" in output.out and "space org/demo" in output.out
        assert "  maefuse_hf/modeling_maefuse.py" in output.out and ".pyc" not in output.out
        assert re.search(r"  model.safetensors  [\d,]+ bytes\n", output.out)
        assert "Nothing was sent" in output.out
        assert "no --evaluation; the card says that nothing was measured" in output.err

    def test_published_again_from_what_it_wrote_it_is_the_same(self, published, tmp_path):
        again = ["--checkpoint", published, "--repo", "org/fuse", "--evaluation", published / "metrics.json"]
        assert run(*again, "--dry-run", "--output_dir", tmp_path / "again") == 0
        for path in filter(Path.is_file, published.rglob("*")):
            name = path.relative_to(published)
            assert (tmp_path / "again" / name).read_bytes() == path.read_bytes(), name


def test_the_space_as_it_is_sent_has_all_it_imports_and_names_its_model(tmp_path):
    publish.write_space(tmp_path / "space", "org/fuse")
    card = SpaceCard.load(tmp_path / "space" / "README.md")
    assert card.data.models == ["org/fuse"] and card.data.python_version == "3.12"
    assert "Give it a thermal image" in card.text
    code = "import app, maefuse_hf; print(maefuse_hf.__file__); print(maefuse_hf.SHIPPED_CHECKPOINT.is_dir())"
    environment = {**os.environ, "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "space", env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(tmp_path / "space" / "maefuse_hf" / "__init__.py"), "True"], done.stderr


class TestCard:
    def test_no_placeholder_is_left(self, card):
        assert PLACEHOLDERS.findall(card.content) == []

    def test_the_template_has_no_number_of_its_own(self):
        text = CODE.sub("", (ROOT / "model_card.md").read_text())
        prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", text, flags=re.DOTALL)
        assert re.findall(r".*\d.*", prose) == []

    def test_metadata(self, card):
        data = card.data
        assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "image-to-image")
        assert data.base_model == "facebook/vit-mae-base"
        assert data.datasets == ["Kitchens", "org/streets", "org/pairs"]
        assert data.metrics == ["EN"]
        assert "image-fusion" in data.tags

    def test_the_model_index_is_what_was_measured(self, card, evaluation):
        measured = json.loads(evaluation.read_text())["datasets"]
        results = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
        assert card.data.model_name == "fuse"
        # 6.25 + (0 + 1 + 2) / 3; what is infinite or missing has no place in the index
        assert results == {("Road Scene", "EN"): 7.25, ("TNO", "EN"): 7.25}
        assert measured["TNO"]["systems"]["final"]["EN"]["mean"] == 7.25

    def test_tables(self, card):
        assert (
            "### Road Scene (3 pairs)\n| metric | fuse | visible alone | infrared alone | average | maximum |"
            in card.text
        )
        assert "| EN | 7.250 [6.250, 8.250] | 7.375 | 7.500 | 7.625 | **7.750** |" in card.text
        assert "Pairs that could not be measured: 1." in card.text

    def test_architecture_and_recipe_are_those_of_the_configuration(self, card, checkpoint):
        parameters = sum(weight.numel() for weight in MaeFuseModel.from_pretrained(checkpoint).parameters())
        assert f"{parameters:,} parameters" in card.text
        assert "patches of 8×8 px, width 32, 2 layers, 4 heads, 3 input channels, pretraining grid 4×4" in card.text
        assert "| decoder_hidden_size | 24 | 512 |" in card.text
        assert "| decoder | decoder | 21 | 0.001 |" in card.text and "cfm_fuse" not in card.text
        assert "13 pairs a batch and process, 3 batches a step, crops of 32 px, mixed precision `bf16`" in card.text
        assert "1.0 × intensity + 2.5 × gradient" in card.text

    def test_data_terms_and_limits(self, card):
        assert (
            "[Streets](https://huggingface.co/datasets/org/streets) | all of it | rendered streets | free |"
            in card.text
        )
        assert "- It has never seen a cat." in card.text

    def test_the_image_shows_both_sources_and_the_result(self, card, published):
        (name,) = re.findall(r"!\[[^]]*\]\((.*?)\)", card.text)
        with Image.open(published / name) as image:
            assert image.width > 3 * image.height

    def test_python_in_it_compiles(self, card):
        blocks = re.findall(r"^```python\n(.*?)^```", card.text, re.DOTALL | re.MULTILINE)
        assert len(blocks) == 3
        for block in blocks:
            compile(block, "card", "exec")

    def test_of_a_checkpoint_that_nothing_is_known_of(self, tmp_path, capsys):
        small_model().save_pretrained(tmp_path / "bare")
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path / "bare")
        arguments = ["--checkpoint", tmp_path / "bare", "--repo", "org/bare", "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 0
        card = ModelCard.load(tmp_path / "out" / "README.md")
        assert PLACEHOLDERS.findall(card.content) == []
        assert card.data.eval_results is None and card.data.base_model is None
        assert "Not measured yet" in card.text and "stated no terms of that data" in card.text
        assert "No configuration of a training run" in card.text
        assert "does not say what the weights were trained on" in capsys.readouterr().err

    def test_of_the_shipped_checkpoint(self, tmp_path):
        assert run("--checkpoint", SHIPPED_CHECKPOINT, "--dry-run", "--output_dir", tmp_path / "out") == 0
        card = ModelCard.load(tmp_path / "out" / "README.md")
        assert PLACEHOLDERS.findall(card.content) == []
        assert 'fuse = pipeline("image-fusion")\n' in card.text and "SHIPPED_CHECKPOINT" in card.text
        assert "trust_remote_code" not in card.text


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"--repo": None}, "--repo is missing"),
            ({"--repo": "fuse"}, "fuse is no name of a repository; write it as org/name"),
            ({"--checkpoint": "nothing"}, "nothing is no folder"),
            ({"--evaluation": "nothing.json"}, "No such file or directory: 'nothing.json'"),
            ({"--run": "."}, "is no folder of a training run"),
            ({"--output_dir": None}, "--dry-run and --output_dir belong together"),
            ({"--space": "org/demo"}, r"There is no Space to send: .*space holds no README.md"),
            ({"--output_dir": "full"}, "full is not empty"),
        ],
    )
    def test_nothing_is_written(self, checkpoint, tmp_path, monkeypatch, capsys, changes, message):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(publish, "SPACE", tmp_path / "space")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        options = {"--checkpoint": checkpoint, "--repo": "org/fuse", "--output_dir": "out", **changes}
        given = [part for name, value in options.items() if value is not None for part in (name, value)]
        assert run(*given, "--dry-run") == 1
        assert re.search(message, capsys.readouterr().err)
        assert not (tmp_path / "out" / "README.md").exists()

    def test_without_a_token(self, checkpoint, capsys, monkeypatch):
        monkeypatch.setattr(publish, "get_token", lambda: None)
        assert run("--checkpoint", checkpoint, "--repo", "org/fuse") == 1
        error = capsys.readouterr().err
        assert "No token for the Hub" in error and "hf auth login" in error and "HF_TOKEN" in error

    @pytest.mark.parametrize("error", [httpx.ConnectError("Connection refused"), OfflineModeIsEnabled("offline")])
    def test_a_hub_that_cannot_be_reached(self, checkpoint, capsys, monkeypatch, error):
        def create_repo(*arguments, **options):
            raise error

        monkeypatch.setattr(publish, "get_token", lambda: "hf_dummy")
        monkeypatch.setattr(publish.HfApi, "create_repo", create_repo)
        assert run("--checkpoint", checkpoint, "--repo", "org/fuse") == 1
        assert f"publish: {error}\n" in capsys.readouterr().err

    def test_a_run_on_damaged_pairs_with_named_validation(self, checkpoint, tmp_path):
        data = {"validation_names": "splits/validation.txt", "left_out": ["splits/test.txt", "/home/jane/unused.txt"]}
        data = {**CONFIG["data"], **data, "damage_probability": 0.75, "black_hot_probability": 0.2}
        data["damage_weights"] = {"low_light": 3.0, "noise": 2.0}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "data": data, "guide_sees_damage": True}))
        arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--run", tmp_path, "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 0
        card = (tmp_path / "out" / "README.md").read_text()
        assert "validation pairs as in `splits/validation.txt`; left out: `splits/test.txt`, `unused.txt`\n" in card
        kinds = "low light 3.0 times as often as others, noise 2.0 times as often as others"
        assert f"- A share of 0.75 of the pairs damaged at random ({kinds}); losses are taken against the " in card
        assert "undamaged pair, the guide of which shows by one image what damage hides in the other\n" in card
        assert "- Infrared inverted in a share of 0.2 of the crops\n" in card
        assert "pairs kept out" not in card

    def test_a_run_that_is_not_whole(self, checkpoint, tmp_path, capsys):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "data": {"pairs": "x"}}))
        arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--run", tmp_path, "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 1
        assert "lacks a field that the card needs" in capsys.readouterr().err


class TestProvenance:
    def changed(self, evaluation, path, **about):
        content = json.loads(evaluation.read_text())
        content["about"] |= about
        path.write_text(json.dumps(content))
        return path

    def test_results_of_other_weights_are_refused(self, checkpoint, evaluation, tmp_path, capsys):
        other = small_model()
        other.decoder.predict.bias.data[0] += 1
        other.save_pretrained(tmp_path / "final")
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path / "final")
        arguments = ["--checkpoint", tmp_path / "final", "--repo", "org/fuse", "--evaluation", evaluation, "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 1
        error = capsys.readouterr().err
        assert "has the results of other weights than those of" in error and "model.safetensors differs" in error
        assert not (tmp_path / "out" / "README.md").exists()

    def test_results_that_do_not_say_of_which_weights_are_refused(self, checkpoint, evaluation, tmp_path, capsys):
        old = self.changed(evaluation, tmp_path / "metrics.json", **{"weights sha256": {}})
        arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--evaluation", old, "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 1
        assert "does not say which weights it measured. Measure" in capsys.readouterr().err

    def test_the_name_of_the_model_does_not_matter(self, checkpoint, evaluation, tmp_path):
        content = evaluation.read_text().replace('"final"', '"org/else"')
        (tmp_path / "metrics.json").write_text(content)
        arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--evaluation", tmp_path / "metrics.json"]
        assert run(*arguments, "--dry-run", "--output_dir", tmp_path / "out") == 0

    def test_weight_files_are_published_as_they_are(self, checkpoint, tmp_path):
        sharded = tmp_path / "sharded"
        MaeFuseModel.from_pretrained(checkpoint).save_pretrained(sharded, max_shard_size="60KB")
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(sharded)
        arguments = ["--checkpoint", sharded, "--repo", "org/fuse", "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 0
        files = {path.name for path in sharded.glob("model*")}
        assert len(files) > 2 and {path.name for path in (tmp_path / "out").glob("model*")} == {
            *files,
            "modeling_maefuse.py",
        }
        assert all((tmp_path / "out" / name).read_bytes() == (sharded / name).read_bytes() for name in files)

    def test_the_card_says_which_weights_were_measured(self, card, published):
        (digest,) = weights_sha256(published).values()
        assert f"- weights sha256: model.safetensors {digest}\n" in card.text


class TestBenchmarks:
    def test_the_file_is_what_the_hub_shows(self, published, evaluation):
        content = yaml.safe_load((published / ".eval_results" / "maefuse.yaml").read_text())
        (entry,) = parse_eval_result_entries(content)
        assert (entry.dataset_id, entry.task_id, entry.value) == ("org/fusion-benchmark", "entropy", 7.25)
        assert entry.source_url == "https://huggingface.co/org/fuse/blob/main/metrics.json"
        assert entry.notes == "EN, mean over 3 pairs, interval [6.25, 8.25]"

    def test_without_any_there_is_no_file(self, evaluation, checkpoint, tmp_path):
        small_model().save_pretrained(tmp_path / "bare")
        MaeFuseImageProcessor(size_divisor=8).save_pretrained(tmp_path / "bare")
        arguments = ["--checkpoint", tmp_path / "bare", "--repo", "org/bare", "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 0
        assert not (tmp_path / "out" / ".eval_results").exists()

    def test_what_was_not_measured_is_named(self, checkpoint, evaluation, tmp_path, capsys):
        folder = tmp_path / "final"
        shutil.copytree(checkpoint, folder)
        (folder / "card.yaml").write_text(DETAILS.replace("metric: EN", "metric: SCD"))
        arguments = ["--checkpoint", folder, "--repo", "org/fuse", "--evaluation", evaluation, "--dry-run"]
        assert run(*arguments, "--output_dir", tmp_path / "out") == 1
        assert "names SCD on TNO as a result of the benchmark org/fusion-benchmark, but" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra maefuse-hf[onnx]")
def test_the_cards_lines_for_onnxruntime_fuse(exported, tmp_path, monkeypatch):
    _, onnx = exported
    monkeypatch.setattr(publish, "write_onnx", lambda checkpoint, folder: shutil.copytree(onnx, folder))
    checkpoint, out = onnx.parent / "model", tmp_path / "out"
    arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--onnx", "--dry-run", "--output_dir", out]
    assert run(*arguments) == 0
    card = (out / "README.md").read_text()
    assert all(f"`{path.name}`" in card for path in onnx.iterdir())
    lines = next(block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "onnxruntime" in block)

    pair = render_example_pair(70, 90)
    for image, name in zip(pair, ("thermal.png", "photo.png")):
        image.save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, file: out / file)
    said: dict = {}
    exec(lines, said)
    expected = fuse_pair(*load_checkpoint(checkpoint, "cpu"), *pair).image
    difference = abs(np.asarray(said["image"], int) - np.asarray(expected, int))
    # colours in eight bits are rounded there and back
    assert difference.mean() < 1 and difference.max() <= 3


def test_onnx_files_go_along(checkpoint, tmp_path, monkeypatch):
    onnx_export = pytest.importorskip("maefuse_hf.onnx_export", reason="needs the extra maefuse-hf[onnx]")

    def write(model, processor, folder):
        assert isinstance(model, MaeFuseModel) and isinstance(processor, MaeFuseImageProcessor)
        (folder / "model.onnx").write_bytes(b"graph")

    monkeypatch.setattr(onnx_export, "export_onnx", write)  # tests/test_onnx_export.py has the real one
    arguments = ["--checkpoint", checkpoint, "--repo", "org/fuse", "--dry-run", "--output_dir", tmp_path / "out"]
    assert run(*arguments, "--onnx") == 0
    assert [path.name for path in (tmp_path / "out" / "onnx").iterdir()] == ["model.onnx"]
