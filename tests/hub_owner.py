"""What somebody with the package does on the Hub.

tests/test_hub.py runs it, in an environment that names its server, and reads what it found out from results.json.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import torch
from huggingface_hub import HfApi
from transformers import pipeline

from maefuse_hf import MaeFuseModel, cli
from maefuse_hf.evaluation import weights_sha256
from maefuse_hf.example_scene.scene import render_example_pair
from training import publish, push_pairs, train

PAIR = "thermal.png", "photo.png"


def error_of(call):
    """Kind and text of the error that a call raises."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def said(main, *arguments):
    """Exit status of a command and what it wrote to stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as text:
        status = main([str(argument) for argument in arguments])
    return [status, text.getvalue()]


def fused(image, **where):
    pipe = pipeline("image-fusion", model="org/fuse", device="cpu", **where)
    pipe(*PAIR).save(image)
    return type(pipe).__module__


def write_stand_in(checkpoint, folder):
    """In the place of an export, which takes minutes."""
    folder.mkdir()
    (folder / "model.onnx").write_text(f"graph of {checkpoint}")


def without_token(token, call):
    """The result of a call with another token, or none."""
    mine = os.environ.pop("HF_TOKEN")
    if token:
        os.environ["HF_TOKEN"] = token
    try:
        return call()
    finally:
        os.environ["HF_TOKEN"] = mine


def main():
    results = {}
    publish.SPACE = Path("space").resolve()
    publish.render_example_pair = lambda: render_example_pair(64, 80)
    publish.require_extra = lambda: None
    publish.write_onnx = write_stand_in

    to_fuse = ["--repo", "org/fuse", "--evaluation"]
    first = *to_fuse, "metrics_old.json", "--space", "org/demo", "--onnx"
    results["publish"] = said(publish.main, "--checkpoint", "old", *first)
    HfApi().create_tag("org/fuse", tag="v1")
    results["publish again"] = said(publish.main, "--checkpoint", "new", *to_fuse, "metrics_new.json")
    results["private"] = said(publish.main, "--checkpoint", "new", "--repo", "org/secret", "--private")
    results["push pairs"] = said(push_pairs.main, "pairs", "org/pairs")

    results["pipeline"] = fused("fused.png")
    results["pipeline without a task"] = type(pipeline(model="org/fuse", device="cpu")).__module__
    results["weights sha256"] = weights_sha256("org/fuse")
    fused("fused_v1.png", revision="v1")
    fused("fused_private.png")
    results["fuse"] = said(cli.main, "fuse", *PAIR, "-o", "fused_cli.png", "--model", "org/fuse", "--device", "cpu")
    for name, where in {"main": {}, "v1": {"revision": "v1"}, "cached": {"local_files_only": True}}.items():
        torch.save(MaeFuseModel.from_pretrained("org/fuse", **where).state_dict(), f"{name}.pt")
    results["no revision"] = error_of(lambda: MaeFuseModel.from_pretrained("org/fuse", revision="v9"))

    sys.argv = ["train.py", "--config", "stream.yaml", "--output_dir", "run"]
    train.main()

    results["nothing: model"] = error_of(lambda: MaeFuseModel.from_pretrained("org/nothing"))
    results["nothing: pipeline"] = error_of(lambda: pipeline("image-fusion", model="org/nothing"))
    results["nothing: fuse"] = said(cli.main, "fuse", *PAIR, "-o", "x.png", "--model", "org/nothing")
    sent = ["--checkpoint", "old", "--repo", "org/other"]
    results["no token: publish"] = without_token(None, lambda: said(publish.main, *sent))
    results["no token: pairs"] = without_token(None, lambda: said(push_pairs.main, "pairs", "org/other"))
    results["wrong token: publish"] = without_token("hf_wrong", lambda: said(publish.main, *sent))
    Path("results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
