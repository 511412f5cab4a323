"""The paper's experiments by one command, in its tiny form as a user runs it, and what its figures are made of."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from maefuse_hf import MaeFuseModel
from maefuse_hf.inference import PairPaths
from training import reproduce
from training.config_file import build, read_yaml
from training.initialization import initialize_decoder_as_read_out
from training.reproduction import encoders, quantitative, runs, two_stage, variations
from training.reproduction.logs import late_change
from training.reproduction.measure import validation_crops
from training.reproduction.seeds import over_seeds
from training.reproduction.setting import Setting
from training.reproduction.study import Study, spread

ROOT = Path(__file__).parent.parent
METRICS = ("EN", "CC", "SCD")


def tiny(**fields) -> Setting:
    return replace(build(Setting, read_yaml(reproduce.SETTINGS / "tiny.yaml")), **fields)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """What `maefuse evaluate` leaves of one pair of TNO."""
    folder = tmp_path_factory.mktemp("evaluation")
    values = {name: {"mean": mean} for name, mean in zip(METRICS, (7.0, 0.6, 1.5))}
    lower = {name: {"mean": mean} for name, mean in zip(METRICS, (6.5, 0.7, 1.4))}
    systems = {"ours": values, "rule": lower, "average": lower, "maximum": lower}
    content = {"about": {"model": "ours"}, "datasets": {"TNO": {"pairs": 1, "systems": systems}}}
    (folder / "metrics.json").write_text(json.dumps(content))
    (folder / "metrics.csv").write_text("dataset,pair,system,CC\nTNO,a,visible alone,0.64\n")
    return folder


@pytest.fixture(scope="module")
def repeated(evaluation, tmp_path_factory):
    """The folder of the whole command, and what it printed."""
    folder = tmp_path_factory.mktemp("reproduction")
    finished = subprocess.run(
        [
            *(sys.executable, str(ROOT / "training" / "reproduce.py"), "--tiny"),
            *("--output_dir", str(folder), "--docs", str(folder / "docs"), "--evaluation", str(evaluation)),
        ],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stdout


class TestTheWholeCommand:
    def test_every_run_has_its_record(self, repeated):
        study = Study(tiny(), repeated[0])
        names = {run.name for experiment in reproduce.EXPERIMENTS.values() for run in experiment.runs(study)}
        assert names == {path.name for path in (study.folder / "runs").iterdir()}
        for name in names:
            record = runs.finished_record(study.run_folder(name))
            assert {"command", "seed", "commit", "device", "seconds", "cpu_seconds"} <= record.keys()
            assert record["starts"] == 1
            # no folder of this machine
            assert not any(part.startswith("/") for part in record["command"].split())

    def test_the_report_has_every_experiment_and_lacks_none(self, repeated):
        folder, printed = repeated
        document = (folder / "docs" / "reproduction.md").read_text()
        page = (folder / "reproduction.html").read_text()
        for experiment in reproduce.EXPERIMENTS.values():
            assert f"## {experiment.title}" in document
            assert f"{experiment.title}: " in printed
        assert "Not run yet" not in document
        assert page.count("<h2>") == document.count("\n## ")

    def test_its_images_are_there(self, repeated):
        folder = repeated[0] / "docs"
        named = re.findall(r"!\[[^]]*\]\((images/reproduction/[^)]+)\)", (folder / "reproduction.md").read_text())
        assert len(named) == len(set(named)) == len(list((folder / "images" / "reproduction").iterdir()))
        for name in named:
            with Image.open(folder / name) as image:
                assert len(image.convert("L").getcolors()) > 10, name

    def test_numbers_are_those_of_the_logs(self, repeated):
        study = Study(tiny(), repeated[0])
        section = two_stage.section(study)
        logs = [two_stage.read_log(study.run_folder(f"direct_{seed}")) for seed in study.setting.seeds]
        ends = [log.scalars["cfm_fuse/validation_decoded_gradient"][-1][1] for log in logs]
        (_, table), *_ = section.tables
        assert table.rows[0][2].text == str(over_seeds(ends))

    def test_no_path_of_this_machine_is_in_the_document_but_in_commands(self, repeated):
        document = (repeated[0] / "docs" / "reproduction.md").read_text()
        assert str(repeated[0]) not in re.sub(r"```bash.*?```", "", document, flags=re.DOTALL)

    def test_a_read_out_gives_the_pixels_of_the_right_places(self, repeated):
        study = Study(tiny(), repeated[0])
        model = MaeFuseModel.from_encoder_pretrained(
            study.folder / "encoders" / "shipped",
            decoder_hidden_size=192,
            decoder_num_attention_heads=3,
            decoder_position_embedding=False,
            position_embedding="native",
        )
        weight, bias = encoders.fit_read_out(model, study)
        initialize_decoder_as_read_out(model.decoder, weight, bias)
        _, visible = validation_crops(study)
        with torch.inference_mode():
            restored = model.reconstruct(visible)
        assert (restored - visible).square().mean() < 0.1 * visible.var()


class TestRuns:
    def test_what_is_there_is_not_run_again(self, tmp_path, monkeypatch):
        study = Study(tiny(), tmp_path)
        run = two_stage.direct_run(study, 0)
        trained = []
        monkeypatch.setattr(runs, "train", lambda config, folder: trained.append(folder))
        runs.ensure(run, study)
        runs.ensure(run, study)
        assert trained == [study.run_folder("direct_0")]

    def test_what_was_stopped_goes_on(self, tmp_path, monkeypatch):
        study = Study(tiny(), tmp_path)
        run = two_stage.direct_run(study, 0)

        def stop(config, folder):
            raise KeyboardInterrupt

        monkeypatch.setattr(runs, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            runs.ensure(run, study)
        assert runs.finished_record(study.run_folder("direct_0")) is None
        monkeypatch.setattr(runs, "train", lambda config, folder: None)
        runs.ensure(run, study)
        assert runs.finished_record(study.run_folder("direct_0"))["starts"] == 2

    def test_another_configuration_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(runs, "train", lambda config, folder: None)
        runs.ensure(two_stage.direct_run(Study(tiny(), tmp_path), 0), Study(tiny(), tmp_path))
        faster = Study(tiny(learning_rate=1.0), tmp_path)
        with pytest.raises(ValueError, match="holds a run of another configuration"):
            runs.ensure(two_stage.direct_run(faster, 0), faster)

    def test_direct_training_has_as_many_steps(self, tmp_path):
        study = Study(tiny(epochs=6, steps_per_epoch=5), tmp_path)
        two, direct = two_stage.two_stage_run(study, 1).config, two_stage.direct_run(study, 1).config
        assert (two.stages.cfm_align.steps, two.stages.cfm_fuse.steps, direct.stages.cfm_fuse.steps) == (15, 15, 30)
        assert two.seed == direct.seed == 1
        assert replace(two, stages=direct.stages) == direct


class TestVariations:
    def test_a_variation_changes_its_fields_and_nothing_else(self, tmp_path):
        study = Study(
            tiny(variations={"fast": {"learning_rate": 0.5, "training": {"data": {"crop_size": 16}}}}), tmp_path
        )
        fast = {run.name: run.config for run in variations.runs(study)}
        for way in ("two_stage", "direct"):
            for seed in study.setting.seeds:
                one, other = fast[f"{way}_{seed}"], fast[f"fast_{way}_{seed}"]
                assert other.stages.cfm_fuse.learning_rate == 0.5 != one.stages.cfm_fuse.learning_rate
                assert other.data.crop_size == 16
                assert replace(other, stages=one.stages, data=replace(other.data, crop_size=one.data.crop_size)) == one
        assert len(fast) == 8

    def test_seeds_may_be_others_too(self, tmp_path):
        study = Study(tiny(variations={"fast": {"learning_rate": 0.5, "seeds": [7]}}), tmp_path)
        names = [run.name for run in variations.runs(study)]
        assert names == ["two_stage_0", "direct_0", "two_stage_1", "direct_1", "fast_two_stage_7", "fast_direct_7"]

    def test_a_field_that_there_is_not_is_refused(self, tmp_path):
        study = Study(tiny(variations={"fast": {"rate": 0.5}}), tmp_path)
        with pytest.raises(ValueError, match="Setting has no field rate"):
            variations.runs(study)

    def test_numbers_are_those_of_the_logs(self, repeated):
        study = Study(tiny(), repeated[0])
        section = variations.section(study)
        ((_, table),) = section.tables
        assert [row[0].text for row in table.rows] == ["the setting as it is", "lower rate"]
        log = two_stage.read_log(study.run_folder("lower_rate_direct_0"))
        end = log.scalars["cfm_fuse/validation_decoded_gradient"][-1][1]
        assert table.rows[1][2].text == f"{end:.4f}"
        assert table.rows[1][0].note == "(learning_rate 0.0001, seeds [0])"


class TestReport:
    def test_what_is_missing_is_named(self, tmp_path, capsys):
        arguments = ["--tiny", "--output_dir", str(tmp_path / "out"), "--no-runs", "--docs", str(tmp_path / "docs")]
        two = {key: own for key, own in reproduce.EXPERIMENTS.items() if key in ("fig8", "table1")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reproduce, "EXPERIMENTS", two)
            patch.setattr(reproduce, "FIRST", ("fig8",))
            assert reproduce.main(arguments) == 0
        document = (tmp_path / "docs" / "reproduction.md").read_text()
        assert "Not run yet: two_stage_0, direct_0, two_stage_1, direct_1." in document
        assert "Not measured: give --evaluation FOLDER" in document
        assert "| direct_1 | not run |" in document

    def test_a_folder_of_another_setting_is_refused(self, tmp_path, capsys):
        study = Study(tiny(), tmp_path)
        study.prepare()
        with pytest.raises(ValueError, match="was made in another setting"):
            replace(study, setting=tiny(epochs=4)).prepare()

    def test_table_1_has_the_papers_rows_and_the_bound(self, evaluation, tmp_path):
        section = quantitative.section(Study(tiny(), tmp_path, evaluation))
        ((caption, table),) = section.tables
        assert caption == "TNO, 1 pairs"
        assert [cell.text for cell in table.rows[0]] == ["ours", "7.000", "0.600", "1.500", "0.800 (75 %)"]
        assert [cell.text for cell in table.rows[-1]] == ["MaeFuse (paper)", "6.978", "0.576", "1.730", "–"]
        assert "in TNO EN, TNO SCD of 3 columns" in section.finding


class TestNumbers:
    def test_intervals_are_students(self):
        seen = over_seeds([1.0, 2.0, 3.0])
        # t of two degrees of freedom, times the standard error 1 / sqrt(3)
        assert (seen.low, seen.mean, seen.high) == pytest.approx(
            (2 - 4.3027 / 3**0.5, 2.0, 2 + 4.3027 / 3**0.5), rel=1e-4
        )
        assert not seen.real
        assert over_seeds([1.0, 1.1, 1.2]).real
        assert not over_seeds([1.0]).real

    def test_late_change(self):
        assert late_change([(2, 9.0), (6, 5.0), (8, 4.0), (10, 3.0)]) == pytest.approx(0.25)

    def test_pairs_are_spread_evenly(self):
        pairs = [PairPaths(str(number), Path(), Path()) for number in range(10)]
        assert [pair.name for pair in spread(pairs, 2, "training_pairs")] == ["2", "7"]
        with pytest.raises(ValueError, match="training_pairs is 11, but there are 10"):
            spread(pairs, 11, "training_pairs")

    def test_an_odd_number_of_epochs_is_refused(self):
        with pytest.raises(ValueError, match="epochs is 3; it must be a positive even number"):
            tiny(epochs=3)
