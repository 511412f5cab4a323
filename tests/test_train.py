"""The pretraining and the guided training, run as a user runs them: from pairs to a model that loads."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState, PartialState
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel
from maefuse_hf.inference.checkpoint import load_checkpoint
from training import pretrain_mae, train

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "training" / "configs"
LAUNCH = (sys.executable, "-m", "accelerate.commands.launch", "--config_file")
ONE_PROCESS = (*LAUNCH, str(CONFIGS / "accelerate" / "one_cpu.yaml"))
TWO_PROCESSES = (*LAUNCH, str(CONFIGS / "accelerate" / "two_processes_on_one_cpu.yaml"))
SEVERAL_MACHINES = (*LAUNCH, str(CONFIGS / "accelerate" / "several_machines.yaml"))
ENVIRONMENT = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def run(script, *arguments, launcher=ONE_PROCESS):
    """Run a training script from another folder, on the CPU; returns the finished process."""
    command = [*launcher, str(ROOT / "training" / script), *map(str, arguments)]
    finished = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=280)
    assert finished.returncode == 0, finished.stderr
    return finished


WATCHED = ("decoded_intensity", "decoded_gradient", "alignment", "contour_alignment", "block_effect")
"""Validation terms of every fusion stage under the loss of Eq. 4."""


def run_here(monkeypatch, *arguments, script=train):
    """Run a training script in this process, which spares a start; on one thread as `run`, since more add in another
    order."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, arguments)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        script.main()
    finally:
        torch.set_num_threads(threads)


def logged(folder):
    """Every scalar of a run: tag to list of (step, value)."""
    events = EventAccumulator(str(folder / "log"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def weights(folder):
    return load_file(folder / "final" / "model.safetensors")


def assert_same_run(folder, expected):
    """The same numbers at the same steps, and the same weights, bit for bit."""
    assert logged(folder) == logged(expected)
    ours, theirs = weights(folder), weights(expected)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def assert_close_run(folder, expected):
    """The same numbers at the same steps, but for the order of additions."""
    ours, theirs = logged(folder), logged(expected)
    assert ours.keys() == theirs.keys()
    for tag in theirs:
        assert [step for step, _ in ours[tag]] == [step for step, _ in theirs[tag]]
        np.testing.assert_allclose([v for _, v in ours[tag]], [v for _, v in theirs[tag]], rtol=1e-3)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    run("render_pairs.py", folder, "--pairs", 8, launcher=[sys.executable])
    return folder


@pytest.fixture(scope="module")
def pretrained(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    config = CONFIGS / "pretrain_tiny.yaml"
    finished = run("pretrain_mae.py", "--config", config, "--output_dir", folder, f"data.pairs={pairs}")
    return folder, finished.stderr + finished.stdout


@pytest.fixture(scope="module")
def arguments(pairs, pretrained):
    return ["--config", CONFIGS / "tiny.yaml", f"data.pairs={pairs}", f"encoder={pretrained[0] / 'encoder'}"]


@pytest.fixture(scope="module")
def trained(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    finished = run("train.py", *arguments, "--output_dir", folder)
    return folder, finished.stderr + finished.stdout


class TestPretraining:
    def test_it_leaves_an_encoder_that_keeps_its_pixels(self, pretrained):
        folder, log = pretrained
        read_outs = [float(line.split("read-out")[1].split()[0]) for line in log.splitlines() if "read-out" in line]
        assert len(read_outs) == 2
        assert read_outs[1] > 20
        model = MaeFuseModel.from_encoder_pretrained(folder / "encoder")
        assert list(model.config.image_mean) == [0.45]
        assert model.config.encoder_config.num_channels == 1

    def test_it_goes_on_where_it_stopped(self, pairs, tmp_path, monkeypatch):
        arguments = ["--config", CONFIGS / "pretrain_tiny.yaml", "--output_dir", tmp_path, f"data.pairs={pairs}"]
        short = ["optimizer.schedule=constant", "optimizer.warmup_steps=0", "checkpoint_steps=4", "steps=8"]
        run_here(monkeypatch, *arguments, *short, script=pretrain_mae)
        expected = load_file(tmp_path / "encoder" / "model.safetensors")
        shutil.rmtree(tmp_path / "checkpoints" / "checkpoint_1")
        run_here(monkeypatch, *arguments, *short, script=pretrain_mae)
        result = load_file(tmp_path / "encoder" / "model.safetensors")
        assert all(torch.equal(result[name], expected[name]) for name in expected)


class TestOneRun:
    def test_all_stages_run_and_the_model_loads(self, trained, pretrained):
        folder, _ = trained
        stages = ["cfm_align", "cfm_fuse", "decoder", "mfm_align", "mfm_fuse"]
        assert sorted(path.name for path in (folder / "stages").iterdir()) == stages
        assert (folder / "config.yaml").is_file()
        model, processor = load_checkpoint(folder / "final")
        assert processor.size_divisor == model.patch_size == 8
        encoder = MaeFuseModel.from_encoder_pretrained(pretrained[0] / "encoder").encoder.state_dict()
        assert all(torch.equal(weight, encoder[name]) for name, weight in model.encoder.state_dict().items())

    def test_each_stage_changed_its_part_alone(self, trained):
        folder, _ = trained
        parts = {"cfm_align": "comparative_fusion", "cfm_fuse": "comparative_fusion"}
        parts |= {"mfm_align": "merging_fusion", "mfm_fuse": "merging_fusion"}
        before = load_file(folder / "stages" / "decoder" / "model.safetensors")
        for stage, part in parts.items():
            after = load_file(folder / "stages" / stage / "model.safetensors")
            assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {part}
            before = after

    def test_every_loss_term_is_logged_and_falls(self, trained):
        values = logged(trained[0])
        terms = {"decoder": ["reconstruction"], "cfm_align": ["alignment"], "mfm_align": ["alignment"]}
        terms |= {stage: ["decoded_intensity", "decoded_gradient"] for stage in ("cfm_fuse", "mfm_fuse")}
        expected = {f"{stage}/{kind}{name}" for stage in terms for name in terms[stage] for kind in ("", "validation_")}
        # what is watched in validation beside the loss
        fusion_stages = [stage for stage in terms if stage != "decoder"]
        expected |= {f"{stage}/validation_{name}" for stage in fusion_stages for name in WATCHED}
        assert values.keys() == expected | {f"{stage}/learning_rate" for stage in terms}
        assert [step for step, _ in values["cfm_fuse/decoded_gradient"]] == list(range(31, 61))
        assert [step for step, _ in values["mfm_fuse/validation_decoded_gradient"]] == [100]
        for term in ("intensity", "gradient"):
            for stage in ("cfm_fuse", "mfm_fuse"):
                falling = [value for _, value in values[f"{stage}/decoded_{term}"]]
                assert np.mean(falling[-5:]) < np.mean(falling[:5])

    def test_progress_names_stage_epoch_terms_and_speed(self, trained):
        assert re.search(
            r"mfm_fuse: 100%.*image/s, epoch=40\.00, decoded_intensity=0\.\d+, decoded_gradient=0\.\d+", trained[1]
        )
        assert re.search(r"cfm_align, step 10: validation .*alignment [\d.e-]+", trained[1])

    def test_samples_show_both_inputs_and_the_result(self, trained):
        samples = trained[0] / "samples"
        infrared_visible_fused = Image.open(samples / "0000100_mfm_fuse_0.png")
        assert infrared_visible_fused.width == 3 * infrared_visible_fused.height
        assert len(list(samples.iterdir())) == 5 * 2

    def test_a_finished_run_started_again_stays_as_it_is(self, arguments, trained, tmp_path, monkeypatch):
        again = shutil.copytree(trained[0], tmp_path / "again")
        run_here(monkeypatch, *arguments, "--output_dir", again)
        assert_same_run(again, trained[0])


@pytest.mark.slow
class TestResume:
    def kill_in(self, command, folder, step):
        """Start a run and kill -9 it once a state from `step` on has been saved."""
        process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        states = folder / "checkpoints"
        deadline = time.monotonic() + 60
        while step not in map(steps_of_the_run, complete(states)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def test_killed_twice_it_ends_with_the_same_numbers(self, arguments, trained, tmp_path):
        command = [*ONE_PROCESS, ROOT / "training" / "train.py", *arguments, "--output_dir", tmp_path]
        command = [*map(str, command), "checkpoint_steps=3"]
        self.kill_in(command, tmp_path, 36)
        assert not (tmp_path / "final").exists()
        self.kill_in(command, tmp_path, 70)
        newest = max(complete(tmp_path / "checkpoints"), key=lambda path: int(path.parent.name.split("_")[1]))
        # as if it had been killed while it saved
        newest.rename(newest.with_suffix(".partial"))
        finished = run("train.py", *arguments, "--output_dir", tmp_path, "checkpoint_steps=3")
        assert "Going on from step" in finished.stdout
        assert "Changed since" not in finished.stdout
        assert_same_run(tmp_path, trained[0])

    def test_at_the_border_of_a_stage(self, arguments, trained, tmp_path, monkeypatch):
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path, *(f"stages.{s}.steps=0" for s in LATER_STAGES))
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path)
        assert_same_run(tmp_path, trained[0])

    def test_what_changed_is_told(self, arguments, tmp_path, monkeypatch, capsys):
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path, *short("decoder"))
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path, *short("decoder"), "batch_size=4")
        assert "Changed since the last start: batch_size: 8 → 4\n" in capsys.readouterr().out


LATER_STAGES = ("cfm_fuse", "mfm_align", "mfm_fuse")


def complete(states):
    """The position files of a run's complete states."""
    return list(states.glob("*/position.json"))


def steps_of_the_run(position):
    """Where a state was taken; nowhere if it has just made room for a newer one."""
    try:
        return json.loads(position.read_text())["steps_of_the_run"]
    except FileNotFoundError:
        return None


def short(*stages, steps=3):
    """Overrides that leave a few steps of some stages and none of the others."""
    names = ("decoder", "cfm_align", "cfm_fuse", "mfm_align", "mfm_fuse")
    return [f"stages.{name}.steps={steps if name in stages else 0}" for name in names]


GENTLE = [
    f"stages.{name}.learning_rate=5.0e-5" for name in ("decoder", "cfm_align", "cfm_fuse", "mfm_align", "mfm_fuse")
]
"""Rates at which rounding, which depends on how a batch is split, does not grow within a run: Eq. 4 has kinks."""


@pytest.mark.slow
class TestProcesses:
    @pytest.fixture(scope="class")
    def trained(self, arguments, tmp_path_factory):
        """A run of one process at gentle rates."""
        folder = tmp_path_factory.mktemp("gentle")
        run("train.py", *arguments, *GENTLE, "--output_dir", folder)
        return folder, ""

    def test_two_processes_equal_one_with_twice_the_batch(self, arguments, trained, tmp_path):
        split = [*GENTLE, "--output_dir", tmp_path, "batch_size=4"]
        finished = run("train.py", *arguments, *split, launcher=TWO_PROCESSES)
        assert "2 processes" in finished.stdout
        states = tmp_path / "checkpoints" / "checkpoint_4"
        # each process leaves its own random state
        assert sorted(path.name for path in states.glob("random_states_*")) == [
            "random_states_0.pkl",
            "random_states_1.pkl",
        ]
        assert_close_run(tmp_path, trained[0])

    def test_two_machines_with_a_shared_folder_equal_two_processes_of_one(self, arguments, tmp_path):
        """Each machine has a working folder and a launcher of its own; they meet at a port."""
        shared, alone = tmp_path / "shared", tmp_path / "alone"
        few = [*arguments, *short("decoder", "mfm_fuse"), "batch_size=4", "checkpoint_steps=2", "mixed_precision=no"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        meeting = ["--num_processes", 2, "--main_process_ip", "127.0.0.1", "--main_process_port", port]
        script = [ROOT / "training" / "train.py", *few, "--output_dir", shared]
        machines = []
        for rank in (0, 1):
            folder, log = tmp_path / f"machine_{rank}", tmp_path / f"log_{rank}"
            folder.mkdir()
            command = [*map(str, [*SEVERAL_MACHINES, *meeting, "--machine_rank", rank, *script])]
            with log.open("w") as written:
                machine = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=written, stderr=written)
            machines.append((machine, folder, log))
        try:
            for machine, _, log in machines:
                assert machine.wait(timeout=280) == 0, log.read_text()
        finally:
            for machine, _, _ in machines:
                machine.terminate()
                machine.wait()
        run("train.py", *few, "--output_dir", alone, launcher=TWO_PROCESSES)

        assert_same_run(shared, alone)
        # the first machine alone writes what is written once, and each process its own random state
        files = [sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) for folder in (shared, alone)]
        files = [[name for name in names if not name.startswith("log/")] for names in files]
        assert files[0] == files[1]
        assert files[0].count("final/model.safetensors") == 1
        assert "checkpoints/checkpoint_3/random_states_1.pkl" in files[0]
        assert len(list((shared / "log").iterdir())) == 1
        logs = [log.read_text() for _, _, log in machines]
        assert "decoder: 100%" in logs[0] and "decoder: 100%" not in logs[1]
        assert not any(list(folder.iterdir()) for _, folder, _ in machines)

    @pytest.mark.parametrize(("own", "expected"), [([], "bf16"), (["mixed_precision=no"], "no")])
    def test_autocast_is_the_launchers_unless_the_run_says_otherwise(
        self, arguments, tmp_path, monkeypatch, capsys, own, expected
    ):
        # what `accelerate launch --mixed_precision bf16` sets for the script
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
        run_here(monkeypatch, *arguments, *short("decoder"), *own, "--output_dir", tmp_path)
        assert f"{expected} autocast" in capsys.readouterr().out
        assert yaml.safe_load((tmp_path / "config.yaml").read_text())["mixed_precision"] == expected

    def test_accumulated_batches_equal_a_larger_one(self, arguments, trained, tmp_path, monkeypatch):
        accumulated = ["batch_size=4", "gradient_accumulation_steps=2"]
        run_here(monkeypatch, *arguments, *GENTLE, "--output_dir", tmp_path, *accumulated)
        assert_close_run(tmp_path, trained[0])

    def test_checkpointed_gradients_are_the_same(self, arguments, trained, tmp_path, monkeypatch):
        run_here(monkeypatch, *arguments, *GENTLE, "--output_dir", tmp_path, "gradient_checkpointing=true")
        assert_close_run(tmp_path, trained[0])


class TestData:
    def test_workers_and_pairs_left_on_disk_change_nothing(self, arguments, trained, tmp_path, monkeypatch):
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path, "data.workers=1", "data.in_memory=false")
        assert_same_run(tmp_path, trained[0])

    @pytest.mark.slow
    def test_a_cache_of_features_changes_nothing(self, arguments, tmp_path, monkeypatch, capsys):
        fixed = [*arguments, "data.crops_per_pair=2", *short("decoder", "cfm_fuse", "mfm_fuse", steps=5)]
        run_here(monkeypatch, *fixed, "--output_dir", tmp_path / "plain")
        cache = [f"feature_cache.folder={tmp_path / 'cache'}", "feature_cache.dtype=float32"]
        run_here(monkeypatch, *fixed, *cache, "--output_dir", tmp_path / "cached")
        # six training pairs, two crops of each, two images of sixteen tokens of 64 numbers
        assert f"12 crops, {12 * 2 * 16 * 64 * 4 / 1000:.1f}kB" in capsys.readouterr().out
        assert_close_run(tmp_path / "cached", tmp_path / "plain")

    @pytest.mark.slow
    def test_a_stream_is_trained_on_and_resumed(self, arguments, parquet_pairs, tmp_path, monkeypatch):
        streamed = [*arguments, f"data.pairs={parquet_pairs}", "data.streaming=true", "data.shuffle_buffer=3"]
        streamed += short("decoder", "cfm_align", steps=6)
        run_here(monkeypatch, *streamed, "--output_dir", tmp_path / "whole", "checkpoint_steps=4")
        shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
        states = tmp_path / "resumed" / "checkpoints"
        for position in complete(states):
            if '"steps_of_the_run": 12' in position.read_text():
                shutil.rmtree(position.parent)
        (tmp_path / "resumed" / "final" / "model.safetensors").unlink()
        run_here(monkeypatch, *streamed, "--output_dir", tmp_path / "resumed", "checkpoint_steps=4")
        assert_same_run(tmp_path / "resumed", tmp_path / "whole")

    @pytest.mark.slow
    def test_two_processes_stream_shards_of_their_own_and_resume(self, arguments, parquet_shards, tmp_path):
        streamed = [*arguments, f"data.pairs={parquet_shards}", "data.streaming=true", "data.shuffle_buffer=3"]
        streamed += [*short("decoder", steps=6), "batch_size=2", "checkpoint_steps=4"]
        finished = run("train.py", *streamed, "--output_dir", tmp_path / "whole", launcher=TWO_PROCESSES)
        assert "shards for 2 processes" not in finished.stdout
        shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "checkpoint_1")
        shutil.rmtree(tmp_path / "resumed" / "final")
        again = run("train.py", *streamed, "--output_dir", tmp_path / "resumed", launcher=TWO_PROCESSES)
        assert "Going on from step 4" in again.stdout
        assert_same_run(tmp_path / "resumed", tmp_path / "whole")

    @pytest.mark.slow
    def test_one_shard_for_two_processes_is_told(self, arguments, parquet_pairs, tmp_path):
        streamed = [*arguments, f"data.pairs={parquet_pairs}", "data.streaming=true", "data.shuffle_buffer=3"]
        finished = run(
            "train.py", *streamed, *short("decoder"), "batch_size=2", "--output_dir", tmp_path, launcher=TWO_PROCESSES
        )
        assert re.search(r"parquet has 1 shards for 2 processes: each reads all of them", finished.stdout)
        assert (tmp_path / "final" / "model.safetensors").is_file()

    def test_all_bad_pairs_are_listed_before_anything_runs(self, arguments, pairs, tmp_path, monkeypatch):
        broken = shutil.copytree(pairs, tmp_path / "pairs")
        (broken / "visible" / "0003.png").unlink()
        (broken / "infrared" / "0005.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"2 problems[\s\S]*0003[\s\S]*0005"):
            run_here(monkeypatch, *arguments, f"data.pairs={broken}", "--output_dir", tmp_path / "run")
        assert not (tmp_path / "run" / "checkpoints").exists()


class TestFurther:
    def test_the_image_processor_of_the_model_is_kept(self, pairs, trained, tmp_path, monkeypatch):
        start = shutil.copytree(trained[0] / "final", tmp_path / "start")
        processor = MaeFuseImageProcessor(size_divisor=8, eight_bit=True, size={"height": 64, "width": 64})
        processor.save_pretrained(start)
        (tmp_path / "further.yaml").write_text(
            f"data: {{pairs: {pairs}, crop_size: 32, validation_pairs: 2}}\n"
            f"start: {{model: {start}}}\n"
            "stages: {cfm_fuse: {steps: 1}, mfm_fuse: {steps: 1}}\n"
            "batch_size: 2\n"
        )
        run_here(monkeypatch, "--config", tmp_path / "further.yaml", "--output_dir", tmp_path / "further")
        for folder in ("stages/cfm_fuse", "final"):
            kept = MaeFuseImageProcessor.from_pretrained(tmp_path / "further" / folder)
            assert kept.to_dict() == processor.to_dict()

    def test_a_trained_model_can_be_trained_further_and_parts_unlocked(self, pairs, trained, tmp_path, monkeypatch):
        (tmp_path / "further.yaml").write_text(
            f"data: {{pairs: {pairs}, crop_size: 32, validation_pairs: 2}}\n"
            f"start: {{model: {trained[0] / 'final'}}}\n"
            "stages: {mfm_fuse: {steps: 2, trains: [merging_fusion, decoder]}}\n"
            "loss_weights: {intensity: 0.0, gradient: 1.0, laplacian: 2.0}\n"
            "model: {tile_size: 2}\n"
            "batch_size: 2\n"
        )
        run_here(monkeypatch, "--config", tmp_path / "further.yaml", "--output_dir", tmp_path / "further")
        assert MaeFuseModel.from_pretrained(tmp_path / "further" / "final").config.tile_size == 2
        before, after = weights(trained[0]), weights(tmp_path / "further")
        changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert changed == {"merging_fusion", "decoder"}
        assert "mfm_fuse/decoded_laplacian" in logged(tmp_path / "further")

    def test_new_layers_learn_from_damaged_pairs_beside_the_decoder(self, pairs, trained, tmp_path, monkeypatch):
        (tmp_path / "validation.txt").write_text("0002\n0005\n")
        (tmp_path / "unused.txt").write_text("0004\n")
        (tmp_path / "further.yaml").write_text(
            f"data: {{pairs: {pairs}, crop_size: 32, validation_names: {tmp_path / 'validation.txt'}, "
            f"left_out: [{tmp_path / 'unused.txt'}], damage_probability: 0.8, scale_range: [0.5, 1.0]}}\n"
            f"start: {{model: {trained[0] / 'final'}, new_layers: true}}\n"
            "stages: {mfm_fuse: {steps: 3, trains: [merging_fusion, decoder]}}\n"
            "model: {merging_blocks: 1, source_detail_sigma: 1.5}\n"
            "loss_weights: {guide: 1.0, guide_edges: 0.5}\n"
            "batch_size: 5\n"
        )
        folders = tmp_path / "first", tmp_path / "again"
        for folder in folders:
            run_here(monkeypatch, "--config", tmp_path / "further.yaml", "--output_dir", folder)
        assert_same_run(*folders)
        config = MaeFuseModel.from_pretrained(folders[0] / "final").config
        assert (config.merging_blocks, config.source_detail_sigma) == (1, 1.5)
        assert config.loss_weights == {"guide": 1.0, "guide_edges": 0.5}
        terms = ["decoded_guide", "decoded_guide_edges", "fused_guide", "fused_guide_edges", "reconstruction"]
        kinds = ("validation_", "validation_damaged_")
        watched = ("alignment", "contour_alignment", "block_effect")
        expected = {f"mfm_fuse/{kind}{term}" for kind in kinds for term in (*terms, *watched)}
        expected |= {f"mfm_fuse/{term}" for term in terms}
        assert logged(folders[0]).keys() == expected | {"mfm_fuse/learning_rate"}

    def test_lone_photos_are_trained_on_too(self, pairs, trained, tmp_path, monkeypatch, capsys):
        photos = [Image.fromarray(np.full((40, 48), level, np.uint8)) for level in (40, 90, 140, 190)]
        datasets.Dataset.from_dict({"image": photos}).to_parquet(tmp_path / "photos.parquet")
        (tmp_path / "further.yaml").write_text(
            f"data: {{pairs: {pairs}, crop_size: 32, validation_pairs: 2, photos: {tmp_path / '*.parquet'}, "
            "lone_photos: 2}\n"
            f"start: {{model: {trained[0] / 'final'}}}\n"
            "stages: {mfm_fuse: {steps: 1}}\n"
            "batch_size: 6\n"
        )
        run_here(monkeypatch, "--config", tmp_path / "further.yaml", "--output_dir", tmp_path / "run")
        # 8 pairs of which 2 are validated on, and 2 photos
        assert "epoch=0.75" in capsys.readouterr().err


class TestMessages:
    def test_a_loss_that_is_not_finite_names_step_stage_and_pairs(self, arguments, tmp_path, monkeypatch):
        options = [*arguments, "--output_dir", tmp_path, *short("decoder", "cfm_fuse", steps=6), "checkpoint_steps=2"]
        with pytest.raises(ValueError) as raised:
            run_here(monkeypatch, *options, "batch_size=2", "stages.cfm_fuse.learning_rate=1.0e+30")
        message = str(raised.value)
        stopped = re.match(
            r"The loss is (nan|inf) in step (\d) of stage cfm_fuse, on the pairs (\d{4}), (\d{4})\.", message
        )
        assert stopped, message
        # the last good state is from before that step
        states = sorted(complete(tmp_path / "checkpoints"))
        assert f'"steps_of_the_run": {6 + (int(stopped[2]) - 1) // 2 * 2}' in states[-1].read_text()

    def test_a_tracker_that_is_not_installed(self, arguments, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match=r"'swanlab' is not installed here; there is .*tensorboard.*tracker=null"):
            run_here(monkeypatch, *arguments, "--output_dir", tmp_path, "tracker=swanlab")

    def test_without_a_tracker(self, arguments, tmp_path, monkeypatch):
        run_here(monkeypatch, *arguments, "--output_dir", tmp_path, "tracker=null", *short("decoder"))
        assert not (tmp_path / "log").exists() and (tmp_path / "final").exists()

    def test_an_unknown_loss_term(self, arguments, tmp_path, monkeypatch):
        with pytest.raises(ValueError, match="loss_weights names colour"):
            run_here(monkeypatch, *arguments, "--output_dir", tmp_path, "loss_weights.colour=1.0")

    def test_a_wrong_configuration_is_named(self, tmp_path):
        command = [sys.executable, ROOT / "training" / "train.py", "--config", CONFIGS / "tiny.yaml"]
        finished = subprocess.run(
            [*map(str, command), "--output_dir", str(tmp_path), "epochs=3"], capture_output=True, text=True
        )
        assert finished.returncode == 2
        assert "TrainingConfig has no field epochs" in finished.stderr
