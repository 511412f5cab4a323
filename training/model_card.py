"""What a checkpoint's configuration, its runs and its measurements say, put into `model_card.md`."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from maefuse_hf import SHIPPED_CHECKPOINT, MaeFuseConfig, MaeFuseModel
from maefuse_hf.configuration_maefuse import VIT_MAE_LARGE
from maefuse_hf.evaluation import Summaries, Summary, as_markdown, facts, metrics_table, pairs_measured
from training.config_file import build
from training.recipe import Run, without_folders
from training.stages import STAGES

TEMPLATE = Path(__file__).parent.parent / "model_card.md"
README = Path(__file__).parent.parent / "README.md"
"""Has the table of checkpoints that benchmarks/model_zoo.py makes."""
DETAILS = "card.yaml"
"""What only people know, beside the weights: see `Details`."""

ENCODER_FIELDS = (*VIT_MAE_LARGE, "patch_size", "image_size", "num_channels")
HUB_TASK, HUB_TASK_NAME = "image-to-image", "Infrared and visible image fusion"
ONE_WORD = re.compile(r"[\w.-]+")
"""Names of data sets that the Hub's field `datasets` can hold."""
TAGS = ["image-fusion", "infrared", "thermal", "visible", "maefuse"]


@dataclass(frozen=True)
class DataSource:
    """Images that weights were trained on, and under which terms."""

    name: str
    used_for: str
    what: str
    terms: str
    hub: str | None = None
    """Its name on the Hub, if it is there."""


@dataclass(frozen=True)
class Benchmark:
    """A measured mean that the Hub shall show on the model's page and in the leaderboard of a benchmark's dataset."""

    dataset: str
    """Name of the data set in `metrics.json`."""
    metric: str
    """Name of the metric there."""
    hub: str
    """Name of the dataset on the Hub, which must be registered there as a benchmark."""
    task: str
    """The task's `id` in that dataset's `eval.yaml`."""


@dataclass(frozen=True)
class Details:
    """What neither configuration nor measurements can say; the fields of `card.yaml`."""

    summary: str | None = None
    """A sentence or two on what this checkpoint is."""
    license: str = "apache-2.0"
    """Licence of the weights, as the Hub names it."""
    base_model: str | None = None
    """Hub name of what the training started from; without it, where the encoder came from, if from the Hub."""
    data: tuple[DataSource, ...] = ()
    benchmarks: tuple[Benchmark, ...] = ()
    """Which means the Hub shall show as results of a benchmark."""
    limits: tuple[str, ...] = ()
    """What was seen to go wrong with these weights, a sentence each."""


@dataclass(frozen=True)
class Evaluation:
    """What `maefuse evaluate` wrote into `metrics.json`."""

    summaries: Summaries
    about: dict[str, Any]
    model: str
    """How the tables call the model."""
    problems: int

    @property
    def weights_sha256(self) -> dict[str, str]:
        """Digest of each weight file that was measured; empty where none was written down."""
        return self.about.get("weights sha256", {})


def read_details(checkpoint: Path) -> Details | None:
    """The `card.yaml` of a checkpoint, if there is one; a `ValueError` names what is wrong with it."""
    path = checkpoint / DETAILS
    if not path.is_file():
        return None
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            values |= {
                name: tuple(build(kind, entry) for entry in values[name])
                for name, kind in (("data", DataSource), ("benchmarks", Benchmark))
                if values.get(name)
            }
        return build(Details, values)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_evaluation(path: Path) -> Evaluation:
    """Read a `metrics.json`.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is none, or no model was measured.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        summaries = {
            dataset: {
                system: {metric: read_summary(value) for metric, value in values.items()}
                for system, values in entry["systems"].items()
            }
            for dataset, entry in content["datasets"].items()
        }
        about, problems = dict(content["about"]), int(content["problems"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no metrics.json of `maefuse evaluate` ({error!r}).") from error
    model = about.get("model")
    if model is None or not any(model in systems for systems in summaries.values()):
        raise ValueError(f"{path} has no results of a model; run `maefuse evaluate` with --model.")
    return Evaluation(summaries, about, model, problems)


def read_summary(value: Mapping[str, Any]) -> Summary:
    """A mean with its interval, as `maefuse_hf.evaluation.summary.json_summary` wrote it."""
    mean, low, high = (math.nan if value[name] is None else float(value[name]) for name in ("mean", "low", "high"))
    return Summary(mean, low, high, int(value["pairs"]))


def model_card(
    model: MaeFuseModel,
    checkpoint: Path,
    repository: str | None,
    weights_bytes: int,
    runs: Sequence[Run],
    evaluation: Evaluation | None,
    details: Details | None,
    image: str,
    onnx: Sequence[str] = (),
) -> str:
    """The whole `README.md`.

    Args:
        model: the loaded checkpoint.
        checkpoint: its folder.
        repository: its name on the Hub; only a shipped checkpoint can do without.
        weights_bytes: size of its weight files.
        runs: what made it, first to last.
        evaluation: what it was measured to reach.
        details: its `card.yaml`.
        image: file name of the example image beside the card.
        onnx: names of the files in `onnx/` beside the card, where there are any.

    Raises:
        ValueError: if the configuration of a run is not whole.
    """
    known = details or Details()
    config = model.config
    base_model = known.base_model or hub_encoder(config)
    name = checkpoint.resolve().name if repository is None else repository.split("/")[-1]
    is_default = checkpoint.resolve() == SHIPPED_CHECKPOINT.resolve()
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    values = {
        "metadata": metadata(name, base_model, known, runs, evaluation),
        "name": name,
        "repository": repository,
        "is_default": is_default,
        "shipped": "SHIPPED_CHECKPOINT" if is_default else f'SHIPPED_CHECKPOINTS["{name}"]',
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "encoder_parameters": sum(parameter.numel() for parameter in model.encoder.parameters()),
        "weights_bytes": weights_bytes,
        "dtype": str(model.dtype).removeprefix("torch."),
        "config": config,
        "grid": config.encoder_config.image_size // config.encoder_config.patch_size,
        "base_model": base_model,
        "departures": departures(config),
        "runs": [described_run(run) for run in runs],
        "has_pretraining": any(run.is_pretraining for run in runs),
        "details": known,
        "tables": [] if evaluation is None else [table(evaluation, name, dataset) for dataset in evaluation.summaries],
        "protocol": {} if evaluation is None else facts({**evaluation.about, "model": name}),
        "problems": 0 if evaluation is None else evaluation.problems,
        "image": image,
        "onnx": onnx,
        "checkpoints": marked(README.read_text(encoding="utf-8"), "checkpoints"),
    }
    try:
        card = template.render(values)
    except jinja2.UndefinedError as error:
        raise ValueError(
            f"{checkpoint}: the configuration of a run lacks a field that the card needs ({error})."
        ) from error
    assert ModelCard(card).data.get("pipeline_tag") == HUB_TASK  # the Hub will read the head
    return card


def marked(text: str, name: str) -> str:
    """What stands between the marks `<!-- name -->` and `<!-- /name -->` of a document."""
    return text.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0].strip()


def hub_encoder(config: MaeFuseConfig) -> str | None:
    """The Hub name of the pretrained encoder, which a configuration keeps unless it came from a folder."""
    return config.encoder_config.name_or_path or None


def metadata(
    name: str, base_model: str | None, details: Details, runs: Sequence[Run], evaluation: Evaluation | None
) -> str:
    """The YAML head of the card."""
    measured = evaluation.summaries if evaluation is not None else {}
    results = [
        EvalResult(
            task_type=HUB_TASK,
            task_name=HUB_TASK_NAME,
            dataset_type=dataset.lower().replace(" ", "-"),
            dataset_name=dataset,
            metric_type=metric,
            metric_name=metric,
            metric_value=summary.mean,
        )
        for dataset, systems in measured.items()
        for metric, summary in systems.get(evaluation.model if evaluation else "", {}).items()
        if math.isfinite(summary.mean)
    ]
    streamed = [run.config["data"]["pairs"] for run in runs if is_hub_name(run.config.get("data", {}).get("pairs"))]
    named = [source.hub or source.name for source in details.data if source.hub or ONE_WORD.fullmatch(source.name)]
    return ModelCardData(
        license=details.license,
        library_name="transformers",
        pipeline_tag=HUB_TASK,
        tags=TAGS,
        base_model=base_model,
        datasets=list(dict.fromkeys([*named, *streamed])) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=name,
        eval_results=results or None,
    ).to_yaml()


def benchmark_results(
    benchmarks: Sequence[Benchmark], evaluation: Evaluation, repository: str | None
) -> list[dict[str, Any]]:
    """The content of a file in `.eval_results/`, as https://huggingface.co/docs/hub/eval-results has it.

    Raises:
        ValueError: if a benchmark names something that was not measured.
    """
    entries = []
    for benchmark in benchmarks:
        systems = evaluation.summaries.get(benchmark.dataset, {})
        summary = systems.get(evaluation.model, {}).get(benchmark.metric)
        if summary is None or not math.isfinite(summary.mean):
            raise ValueError(
                f"{DETAILS} names {benchmark.metric} on {benchmark.dataset} as a result of the benchmark "
                f"{benchmark.hub}, but the evaluation has no such mean of the model."
            )
        entries.append(
            EvalResultEntry(
                dataset_id=benchmark.hub,
                task_id=benchmark.task,
                value=summary.mean,
                source_url=f"https://huggingface.co/{repository}/blob/main/metrics.json",
                source_name="maefuse evaluate",
                notes=f"{benchmark.metric}, mean over {summary.pairs} pairs, interval [{summary.low:.4g}, "
                f"{summary.high:.4g}]",
            )
        )
    return eval_result_entries_to_yaml(entries)


def is_hub_name(pairs: Any) -> bool:
    """Whether `data.pairs` named a dataset on the Hub: `org/name`, and no folder or file of this machine."""
    return (
        isinstance(pairs, str)
        and pairs.count("/") == 1
        and not pairs.startswith(("/", "."))
        and not pairs.endswith(".parquet")
        and not Path(pairs).exists()
    )


def departures(config: MaeFuseConfig) -> list[tuple[str, Any, Any]]:
    """Every architectural field that differs from the paper's: name, value here, value of the paper."""
    paper = MaeFuseConfig()
    own = [item.name for item in fields(MaeFuseConfig) if item.name in MaeFuseConfig.__annotations__]
    pairs = [(f"encoder {name}", *values_of(name, config, paper, "encoder_config")) for name in ENCODER_FIELDS]
    pairs += [(name, *values_of(name, config, paper)) for name in own if name != "encoder_config"]
    return [(name, here, theirs) for name, here, theirs in pairs if here != theirs]


def values_of(name: str, config: MaeFuseConfig, paper: MaeFuseConfig, part: str | None = None) -> tuple[Any, Any]:
    """A field of both configurations, tuples as lists."""
    both = (getattr(whole if part is None else getattr(whole, part), name) for whole in (config, paper))
    here, theirs = (list(value) if isinstance(value, tuple) else value for value in both)
    return here, theirs


def described_run(run: Run) -> dict[str, Any]:
    """A run as the template shows it: its configuration without this machine's folders, and its stages."""
    config = without_folders(run.config)
    planned = config.get("stages") or {}
    stages = [
        {
            "name": stage.name,
            "steps": planned[stage.name]["steps"],
            "learning_rate": planned[stage.name].get("learning_rate"),
            "trains": planned[stage.name].get("trains") or list(stage.trains),
        }
        for stage in STAGES
        if planned.get(stage.name, {}).get("steps")
    ]
    return {"name": run.name, "is_pretraining": run.is_pretraining, "config": config, "stages": stages}


def table(evaluation: Evaluation, name: str, dataset: str) -> dict[str, Any]:
    """One data set's means: a row for each metric, a column for each system, the model first and with its interval."""
    systems = evaluation.summaries[dataset]
    order = sorted(systems, key=lambda system: system != evaluation.model)
    named = {name if system == evaluation.model else system: systems[system] for system in order}
    shown = metrics_table(named, intervals_of=[name]).transposed("metric")
    return {"dataset": dataset, "pairs": pairs_measured(systems), "markdown": as_markdown(shown)}
