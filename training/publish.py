"""Send a checkpoint to the Hub: model, image processor, their code, the pipeline, and a complete model card.

    python training/publish.py --checkpoint runs/mine/final --repo org/name --evaluation runs/evaluation/metrics.json
    python training/publish.py --checkpoint runs/mine/final --repo org/name --dry-run --output_dir runs/published

The card is made from `model_card.md`, the checkpoint's configuration, the runs that lie around it, the measurements,
and `card.yaml` beside the weights, where there is one. `--dry-run` writes the folder and sends nothing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from huggingface_hub import HfApi, SpaceCard, get_token
from huggingface_hub.utils import httpx
from transformers.utils import logging

import maefuse_hf
from maefuse_hf import MaeFuseImageProcessor, MaeFuseModel, MaeFusePipeline
from maefuse_hf.cli.export import require_extra
from maefuse_hf.evaluation import refuse_other_weights
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.image_files import write_image
from maefuse_hf.inference import SHIPPED_CHECKPOINTS, load_checkpoint
from maefuse_hf.pipeline_maefuse import TASK
from maefuse_hf.visualization import side_by_side
from training.model_card import DETAILS, benchmark_results, model_card, read_details, read_evaluation
from training.recipe import TRAINING_CONFIG, find_runs, write_runs

SPACE = Path(__file__).parent.parent / "space"
PACKAGE = Path(maefuse_hf.__file__).parent
SPACE_MODEL = "MAEFUSE_MODEL"
"""The variable by which the demo knows its model."""

EXAMPLE, JPEG_QUALITY = "example.jpg", 90
METRICS = "metrics.json"
BENCHMARKS = ".eval_results/maefuse.yaml"
"""What the Hub shows on the model's page, and in the leaderboards of benchmarks."""
WEIGHTS, INDEX = "*.safetensors", "*.safetensors.index.json"
ONNX = "onnx"
REPLACED = ["*.py", f"{ONNX}/*", WEIGHTS, INDEX, TRAINING_CONFIG, DETAILS, METRICS, BENCHMARKS]
"""What an earlier version may have left in a repository, under names that this one does not write again."""
NOT_SENT = ["__pycache__", ".*"]
SPACE_REPLACED = ["*.py", "examples/*"]
"""The same for a Space."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, or 1 if something is wrong, which is said."""
    options = parse(arguments)
    logging.disable_progress_bar()
    try:
        publish(options)
    except (OSError, ValueError, httpx.HTTPError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description="Send a checkpoint to the Hub, with its code and a complete card.")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="folder of model and processor")
    parser.add_argument("--repo", metavar="ORG/NAME", help="where it shall go")
    parser.add_argument("--evaluation", type=Path, metavar="JSON", help="metrics.json of `maefuse evaluate`")
    parser.add_argument("--run", type=Path, metavar="DIR", help="its training run, if the checkpoint lies elsewhere")
    parser.add_argument("--space", metavar="ORG/SPACE", help="send the demo in space/ there, to show this model")
    parser.add_argument("--onnx", action="store_true", help="send ONNX files as well; needs the extra maefuse-hf[onnx]")
    parser.add_argument("--private", action="store_true", help="make new repositories private")
    parser.add_argument("--dry-run", action="store_true", help="send nothing, write the folder to --output_dir")
    parser.add_argument("--output_dir", type=Path, metavar="DIR", help="where --dry-run writes; empty or new")
    return parser.parse_args(arguments)


def publish(options: argparse.Namespace) -> None:
    """Check everything that can be checked, write the folder, then send it.

    Raises:
        OSError: if a file is missing, or the Hub refuses.
        ValueError: if options, checkpoint, evaluation or `card.yaml` do not fit.
    """
    check_options(options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output_dir if options.dry_run else Path(temporary) / "model"
        write_repository(options, folder)
        announce("model", options.repo or "(no --repo)", folder)
        space = Path(temporary) / "space"
        if options.space:
            write_space(space, options.repo)
            announce("space", options.space, space)
        if options.dry_run:
            print(f"Nothing was sent. Look at {folder / 'README.md'}")
            return
        send(options, folder, space)


def send(options: argparse.Namespace, folder: Path, space: Path) -> None:
    """Send what was written, in one commit each."""
    api = HfApi()
    api.create_repo(options.repo, private=options.private, exist_ok=True)
    sent = api.upload_folder(
        repo_id=options.repo,
        folder_path=folder,
        delete_patterns=REPLACED,
        commit_message="Publish model, code and card",
    )
    print(f"Published {sent.commit_url}")
    if options.space:
        api.create_repo(options.space, repo_type="space", space_sdk="gradio", private=options.private, exist_ok=True)
        api.add_space_variable(options.space, SPACE_MODEL, options.repo)
        sent = api.upload_folder(
            repo_id=options.space,
            repo_type="space",
            folder_path=space,
            delete_patterns=SPACE_REPLACED,
            commit_message="Publish the demo",
        )
        print(f"Published {sent.commit_url}")
        if options.private:
            print(f"The model is private: give the Space a secret HF_TOKEN that may read {options.repo}.")


def check_options(options: argparse.Namespace) -> None:
    """Raise a `ValueError` or `OSError` for what would stop the work halfway."""
    if options.repo is None and not (options.dry_run and options.checkpoint.resolve() in SHIPPED_CHECKPOINTS.values()):
        raise ValueError("--repo is missing. Only a dry run of the checkpoint that ships with the package needs none.")
    for name in filter(None, (options.repo, options.space)):
        if name.count("/") != 1:
            raise ValueError(f"{name} is no name of a repository; write it as org/name.")
    if options.dry_run != (options.output_dir is not None):
        raise ValueError("--dry-run and --output_dir belong together: the one writes to the other.")
    if options.space and not (SPACE / "README.md").is_file():
        raise OSError(f"There is no Space to send: {SPACE} holds no README.md.")
    if not options.checkpoint.is_dir():
        raise OSError(f"{options.checkpoint} is no folder; name the one that holds config.json and the weights.")
    if options.onnx:
        require_extra()
    if options.run is not None and not find_runs(options.run):
        raise ValueError(f"{options.run} is no folder of a training run: no config.yaml lies there.")
    if options.dry_run:
        if options.output_dir.exists() and any(options.output_dir.iterdir()):
            raise ValueError(f"{options.output_dir} is not empty; name a new folder with --output_dir.")
    else:
        require_token()


def require_token() -> None:
    """Raise an `OSError` that says how to log in if this machine has no token for the Hub."""
    if get_token() is None:
        raise OSError(
            "No token for the Hub is set on this machine. Log in with `hf auth login`, or set the variable HF_TOKEN, "
            "with a token that may write."
        )


def write_repository(options: argparse.Namespace, folder: Path) -> None:
    """Write everything that the repository shall hold."""
    evaluation = read_evaluation(options.evaluation) if options.evaluation else None
    details = read_details(options.checkpoint)
    runs = find_runs(options.run or options.checkpoint)
    model = MaeFuseModel.from_pretrained(options.checkpoint, dtype="auto")
    processor = MaeFuseImageProcessor.from_pretrained(options.checkpoint)
    if evaluation is None:
        print("publish: no --evaluation; the card says that nothing was measured.", file=sys.stderr)
    else:
        refuse_other_weights(str(options.evaluation), evaluation.weights_sha256, options.checkpoint)
    if details is None or not details.data:
        print(
            f"publish: {options.checkpoint / DETAILS} does not say what the weights were trained on; the card says "
            "that the terms were not stated. docs/hub.md has an example.",
            file=sys.stderr,
        )

    pipeline = MaeFusePipeline(model=model, image_processor=processor, task=TASK, device=torch.device("cpu"))
    pipeline.save_pretrained(folder)
    keep_weight_files(options.checkpoint, folder)
    infrared, visible = render_example_pair()
    images = {"infrared": infrared, "visible": visible, "fused": pipeline(infrared, visible)}
    write_image(side_by_side(images), folder / EXAMPLE, quality=JPEG_QUALITY)
    if runs:
        write_runs(runs, folder / TRAINING_CONFIG)
    if details is not None:
        shutil.copyfile(options.checkpoint / DETAILS, folder / DETAILS)
    if evaluation is not None:
        shutil.copyfile(options.evaluation, folder / METRICS)
    if evaluation is not None and details is not None and details.benchmarks:
        results = benchmark_results(details.benchmarks, evaluation, options.repo)
        (folder / BENCHMARKS).parent.mkdir()
        (folder / BENCHMARKS).write_text(yaml.safe_dump(results, sort_keys=False), encoding="utf-8")
    if options.onnx:
        write_onnx(options.checkpoint, folder / ONNX)
    card = model_card(
        model,
        options.checkpoint,
        options.repo,
        sum(path.stat().st_size for path in folder.glob(WEIGHTS)),
        runs,
        evaluation,
        details,
        EXAMPLE,
        sorted(path.name for path in (folder / ONNX).glob("*")),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def write_onnx(checkpoint: Path, folder: Path) -> None:
    """Write the model as ONNX files."""
    from maefuse_hf.onnx_export import export_onnx

    folder.mkdir()
    export_onnx(*load_checkpoint(checkpoint, device="cpu"), folder)


def keep_weight_files(checkpoint: Path, folder: Path) -> None:
    """Put the checkpoint's own weight files in the place of those just saved, so that their digests stay true."""
    for pattern in (WEIGHTS, INDEX):
        for path in folder.glob(pattern):
            path.unlink()
        for path in checkpoint.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def write_space(folder: Path, repo: str | None) -> None:
    """Write what the Space shall hold: the demo, which names its model, and the package, which no index has."""
    shutil.copytree(SPACE, folder, ignore=shutil.ignore_patterns(*NOT_SENT))
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns(*NOT_SENT))
    readme = folder / "README.md"
    card = SpaceCard(readme.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    card.data["models"] = [repo] if repo else []
    readme.write_text(str(card), encoding="utf-8")


def announce(kind: str, name: str, folder: Path) -> None:
    """Print what goes where."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    print(f"{kind} {name} ({os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}):")
    for path in files:
        print(f"  {path.relative_to(folder)}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
