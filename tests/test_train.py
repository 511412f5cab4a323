"""The pretraining and the guided training, run as a user runs them: from pairs to a model that loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from maefuse_hf import MaeFuseModel
from maefuse_hf.checkpoint import load_checkpoint

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "training" / "configs"


def run(script, *arguments, launcher=(sys.executable, "-m", "accelerate.commands.launch")):
    """Run a training script from another folder, on the processor; returns the finished process."""
    command = [*launcher, str(ROOT / "training" / script), *map(str, arguments)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    finished = run("render_pairs.py", folder, "--pairs", 8, launcher=[sys.executable])
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="module")
def pretrained(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    config = CONFIGS / "pretrain_tiny.yaml"
    finished = run("pretrain_mae.py", "--config", config, "--output_dir", folder, f"data.pairs={pairs}")
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stderr + finished.stdout


@pytest.fixture(scope="module")
def trained(pairs, pretrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["--config", CONFIGS / "tiny.yaml", "--output_dir", folder]
    arguments += [f"data.pairs={pairs}", f"encoder={pretrained[0] / 'encoder'}"]
    finished = run("train.py", *arguments)
    assert finished.returncode == 0, finished.stderr
    return folder, arguments


def test_pretraining_leaves_an_encoder_that_keeps_its_pixels(pretrained):
    folder, log = pretrained
    read_outs = [float(line.split("read-out")[1].split()[0]) for line in log.splitlines() if "read-out" in line]
    assert len(read_outs) == 2
    assert read_outs[1] > 20
    model = MaeFuseModel.from_encoder_pretrained(folder / "encoder")
    assert list(model.config.image_mean) == [0.45]
    assert model.config.encoder_config.num_channels == 1


def test_pretraining_goes_on_where_it_stopped(pairs, pretrained, tmp_path):
    arguments = ["--config", CONFIGS / "pretrain_tiny.yaml", "--output_dir", tmp_path, f"data.pairs={pairs}"]
    short = ["optimizer.schedule=constant", "optimizer.warmup_steps=0", "checkpoint_steps=4"]
    whole = run("pretrain_mae.py", *arguments, *short, "steps=8")
    assert whole.returncode == 0, whole.stderr
    expected = load_file(tmp_path / "encoder" / "model.safetensors")
    last = tmp_path / "checkpoints" / "checkpoint_1"
    last.rename(tmp_path / "set_aside")
    resumed = run("pretrain_mae.py", *arguments, *short, "steps=8")
    assert resumed.returncode == 0, resumed.stderr
    result = load_file(tmp_path / "encoder" / "model.safetensors")
    assert all(torch.equal(result[name], expected[name]) for name in expected)


def test_all_stages_run_and_the_model_loads(trained, pretrained):
    folder, _ = trained
    stages = ["cfm_align", "cfm_fuse", "decoder", "mfm_align", "mfm_fuse"]
    assert sorted(path.name for path in (folder / "stages").iterdir()) == stages
    assert (folder / "config.yaml").is_file()
    assert list((folder / "log").rglob("events*"))
    model, processor = load_checkpoint(folder / "final")
    assert processor.size_divisor == model.patch_size == 8
    encoder = MaeFuseModel.from_encoder_pretrained(pretrained[0] / "encoder").encoder.state_dict()
    assert all(torch.equal(weight, encoder[name]) for name, weight in model.encoder.state_dict().items())


def test_samples_show_both_inputs_and_the_result(trained):
    folder, _ = trained
    infrared_visible_fused = Image.open(folder / "samples" / "mfm_fuse_0.png")
    assert infrared_visible_fused.width == 3 * infrared_visible_fused.height
    both_inputs_and_both_restored = Image.open(folder / "samples" / "decoder_0.png")
    assert both_inputs_and_both_restored.width == 4 * both_inputs_and_both_restored.height


def test_training_goes_on_after_the_last_finished_stage(trained):
    folder, arguments = trained
    before = load_file(folder / "stages" / "cfm_fuse" / "model.safetensors")
    expected = load_file(folder / "stages" / "mfm_fuse" / "model.safetensors")
    for stage in ("mfm_align", "mfm_fuse"):
        (folder / "stages" / stage / "model.safetensors").unlink()
    finished = run("train.py", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "mfm_align" in finished.stderr and "cfm_fuse" not in finished.stderr
    result = load_file(folder / "stages" / "mfm_fuse" / "model.safetensors")
    assert all(torch.equal(result[name], expected[name]) for name in expected)
    changed = {name.split(".")[0] for name in before if not torch.equal(result[name], before[name])}
    assert changed == {"merging_fusion"}


def test_a_trained_model_can_be_trained_further(pairs, trained, tmp_path):
    folder, _ = trained
    (tmp_path / "further.yaml").write_text(
        f"data: {{pairs: {pairs}, crop_size: 32, validation_pairs: 2}}\n"
        f"start: {{model: {folder / 'final'}}}\n"
        "stages: {cfm_fuse: {steps: 2}}\n"
        "batch_size: 2\n"
    )
    finished = run("train.py", "--config", tmp_path / "further.yaml", "--output_dir", tmp_path / "further")
    assert finished.returncode == 0, finished.stderr
    before, after = (load_file(place / "final" / "model.safetensors") for place in (folder, tmp_path / "further"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"comparative_fusion"}


def test_a_wrong_configuration_is_named(tmp_path):
    finished = run("train.py", "--config", CONFIGS / "tiny.yaml", "--output_dir", tmp_path, "epochs=3")
    assert finished.returncode == 2 or finished.returncode == 1
    assert "TrainingConfig has no field epochs" in finished.stderr
