# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`maefuse convert`: a checkpoint of the paper's authors becomes a folder for `--model`."""

import argparse
from pathlib import Path
from typing import Any

from ..conversion.hub_checkpoint import download, find_checkpoint, is_hub_name
from ..conversion.maefuse import convert_checkpoint
from .options import make_folder


def add_convert(commands: Any) -> None:
    """Add `maefuse convert` to the subcommands."""
    parser = commands.add_parser(
        "convert",
        help="turn a checkpoint of the paper's authors into a folder that --model takes",
        description="Turn a checkpoint of the paper's authors into a folder that --model and "
        "MaeFuseModel.from_pretrained take. Sizes are read off the tensors, and every tensor is accounted for. Without "
        "--native the folder makes the authors' images, by their test procedure: stretched to the square of the "
        "checkpoint's positions, in 8 bits. A plain masked autoencoder needs no conversion; training takes its file as "
        "it is.",
    )
    parser.add_argument(
        "checkpoint",
        nargs="+",
        metavar="CHECKPOINT",
        help="the checkpoint, or the files of its parts: encoder with decoder, and fusion layer; or a name on the Hub, "
        "such as lijiayangCS/MaeFuse, where the paper's authors publish",
    )
    parser.add_argument("output", type=Path, metavar="OUT_DIR", help="folder to write to")
    parser.add_argument(
        "--file",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="which files of the repository on the Hub, where it holds more than one checkpoint",
    )
    parser.add_argument("--revision", help="branch, tag or commit on the Hub; default: the main branch")
    parser.add_argument(
        "--native",
        action="store_true",
        help="fuse images at their own size, sharp colours and no rounding in between, instead of the authors' way",
    )
    for part in ("encoder", "decoder"):
        parser.add_argument(
            f"--{part}-heads",
            type=int,
            metavar="N",
            help=f"attention heads of the {part}, which no tensor tells; default: those of the published model as wide",
        )
    parser.add_argument(
        "--fusion-attention",
        choices=("pointwise", "global"),
        default="pointwise",
        help="let fusion tokens see their own place alone, as the authors' code does, or all places, as the paper "
        "says; these weights were not trained for the latter",
    )
    parser.set_defaults(command=convert_files)


def convert_files(options: argparse.Namespace) -> int:
    """`maefuse convert`: nothing is written before all files have proved whole."""
    if (options.output / "config.json").exists():
        raise ValueError(f"{options.output} holds a model already; choose another folder.")
    model, processor = convert_checkpoint(
        *checkpoint_files(options),
        encoder_heads=options.encoder_heads,
        decoder_heads=options.decoder_heads,
        native=options.native,
        fusion_attention=options.fusion_attention,
    )
    make_folder(options.output)
    model.save_pretrained(options.output)
    processor.save_pretrained(options.output)
    config, encoder = model.config, model.config.encoder_config
    side = encoder.image_size
    images = "of any size at their own" if options.native else f"stretched to {side}×{side}, as the authors test"
    print(
        f"Encoder {encoder.hidden_size} wide, {encoder.num_hidden_layers} blocks, {encoder.num_attention_heads} heads, "
        f"patch {encoder.patch_size}; decoder {config.decoder_hidden_size} wide, {config.decoder_num_hidden_layers} "
        f"blocks, {config.decoder_num_attention_heads} heads; {model.num_parameters():,} parameters.\n"
        f"Images are fused {images}.\n"
        f"Use it: maefuse fuse INFRARED VISIBLE -o FUSED --model {options.output}"
    )
    return 0


def checkpoint_files(options: argparse.Namespace) -> list[Path]:
    """The files that shall be converted; what a repository on the Hub holds is said, then downloaded."""
    if len(options.checkpoint) > 1 or not is_hub_name(options.checkpoint[0]):
        if options.file or options.revision:
            raise ValueError("--file and --revision belong to a name on the Hub; give files by their paths alone.")
        return [Path(file) for file in options.checkpoint]
    found = find_checkpoint(options.checkpoint[0], options.revision, options.file)
    print(found, flush=True)
    return download(found)
