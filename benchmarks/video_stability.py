"""How steady fused videos are: frame-mean jitter, jitter of a static background, warp error, and frames a second.

    python benchmarks/video_stability.py -o OUT [--write-docs docs/video.md]

Sequences are rendered by maefuse_hf.example_scene; nothing else is read. Needs OpenCV (opencv-python-headless) for its
DIS optical flow and matplotlib for the plot. The table goes to OUT/video_stability.md and, with --write-docs, into a
page between its marks; the plot goes beside it.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.marked_block import replace_block
from maefuse_hf.colour import luminance_8_bit
from maefuse_hf.evaluation.baselines import AVERAGE, BASELINES, RULE, VISIBLE_ALONE, Formula
from maefuse_hf.example_scene import render_example_pair
from maefuse_hf.inference import load_checkpoint
from maefuse_hf.video import FrameFuser, FramePair
from maefuse_hf.video.frames import Pixels

RATE = 25
MARGIN = 36
"""Pixels around the object that are not background: they may change with it."""

INFRARED_NOISE, VISIBLE_NOISE = 2.0, 3.0
"""Standard deviation of the sensors' noise in grey levels of 8 bits."""

DEEP_GAIN, DEEP_BLACK, DEEP_HOT = 4.0, 7000.0, 9000.0
"""Raw values of a grey level of infrared, of black, and of the object: nearly twice as hot as all else."""

COARSE_SIGMA = 4.0
"""Standard deviation in pixels of the Gaussian that takes most of the noise away, so that brightness is seen."""

CONSISTENT = 1.0
"""Pixels by which flow forth and back may disagree where both frames show the same."""

SMOOTHED, PER_FRAME = "smoothed", "frame by frame"
COLUMNS = ("frame mean", "background", "coarse background", "worst frame", "warp error")
Flow = tuple[tuple[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RenderedVideo:
    """Frames of both cameras and where the object is, (h, w) bool."""

    name: str
    is_static: bool
    infrared: list[Pixels]
    visible: list[Pixels]
    objects: list[np.ndarray]

    def backgrounds(self) -> list[np.ndarray]:
        """For each two consecutive frames, what is far from the object in both."""
        far = [np.ones_like(mask) if not mask.any() else distance(mask) > MARGIN for mask in self.objects]
        return [before & after for before, after in pairwise(far)]


def distance(mask: np.ndarray) -> np.ndarray:
    """How many pixels each place is away from a mask."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)


def render(
    name: str, frames: int, height: int, width: int, noise: bool = False, deep: bool = False, pan: int = 0
) -> RenderedVideo:
    """A night street that a hot ellipse crosses from left to right.

    Args:
        noise: of both sensors.
        deep: infrared in raw values of 16 bits, in which the object is hotter than all else.
        pan: pixels that the cameras turn to the right with each frame.
    """
    rng = np.random.default_rng(0)
    scene = render_example_pair(height, width + pan * (frames - 1), seed=3)
    infrared, visible = np.asarray(scene[0].convert("L"), float), np.asarray(scene[1], float)
    sequence = RenderedVideo(name, pan == 0, [], [], [])
    for number in range(frames):
        centre = (1.2 * number / (frames - 1) - 0.1) * width
        down = (np.arange(height)[:, None] + 0.5 - 0.55 * height) / (height / 6)
        across = (np.arange(width)[None] + 0.5 - centre) / (height / 14)
        is_object = down**2 + across**2 <= 1
        view = np.s_[:, pan * number : pan * number + width]
        heat = np.where(is_object, 255.0, infrared[view])
        photo = np.where(is_object[..., None], 0.8, 1.0) * visible[view]
        if deep:
            heat = np.where(is_object, DEEP_HOT, DEEP_BLACK + DEEP_GAIN * heat)
        if noise:
            heat = heat + (DEEP_GAIN if deep else 1) * INFRARED_NOISE * rng.standard_normal(heat.shape)
            photo = photo + VISIBLE_NOISE * rng.standard_normal(photo.shape)
        kind = np.uint16 if deep else np.uint8
        sequence.infrared.append(np.rint(heat).clip(0, np.iinfo(kind).max).astype(kind))
        sequence.visible.append(np.rint(photo).clip(0, 255).astype(np.uint8))
        sequence.objects.append(is_object)
    return sequence


def fused_by_model(sequence: RenderedVideo, fuser: FrameFuser) -> tuple[list[np.ndarray], float]:
    """Luminance of the fused frames, and CPU seconds a frame."""
    frames, started = [], time.process_time()
    for number, pair in enumerate(zip(sequence.infrared, sequence.visible)):
        (fused,) = fuser.fuse([FramePair(str(number), number / RATE, *pair)])
        frames.append(luminance(np.asarray(fused.image)))
    return frames, (time.process_time() - started) / len(frames)


def fused_by_formula(sequence: RenderedVideo, formula: Formula) -> tuple[list[np.ndarray], float]:
    """The same of a formula of 8-bit luminance; deep infrared is scaled by each frame's own percentiles."""
    frames, started = [], time.process_time()
    for heat, photo in zip(sequence.infrared, sequence.visible):
        if heat.dtype != np.uint8:
            low, high = np.percentile(heat, (0.1, 99.9))
            heat = np.rint(255 * ((heat - low) / (high - low)).clip(0, 1)).astype(np.uint8)
        tensors = (torch.from_numpy(np.ascontiguousarray(image))[None, None] for image in (heat, luminance(photo)))
        frames.append(formula(*tensors)[0, 0].numpy())
    return frames, (time.process_time() - started) / len(frames)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """(h, w) uint8 of RGB."""
    return luminance_8_bit(Image.fromarray(rgb))


def stability(frames: Sequence[np.ndarray], sequence: RenderedVideo, flows: Sequence[Flow]) -> dict[str, float]:
    """`COLUMNS` of fused frames, in grey levels; of a video without static background the last one."""
    exact = [frame.astype(np.float64) for frame in frames]
    coarse = [cv2.GaussianBlur(frame, (0, 0), COARSE_SIGMA) for frame in exact]
    warped = [
        np.abs(after - cv2.remap(before, *places, cv2.INTER_LINEAR))[same].mean()
        for (before, after), (places, same) in zip(pairwise(exact), flows)
    ]
    values = {"warp error": float(np.mean(warped))}
    if sequence.is_static:
        changes, of_coarse = changes_of_background(exact, sequence), changes_of_background(coarse, sequence)
        values["frame mean"] = float(np.abs(np.diff([frame.mean() for frame in exact])).mean())
        values["background"] = float(np.mean(changes))
        values["coarse background"] = float(np.mean(of_coarse))
        values["worst frame"] = float(np.max(of_coarse))
    return values


def changes_of_background(frames: Sequence[np.ndarray], sequence: RenderedVideo) -> list[float]:
    """Mean absolute change of the background from each frame to the next."""
    return [
        float(np.abs(after - before)[far].mean())
        for (before, after), far in zip(pairwise(frames), sequence.backgrounds())
    ]


def optical_flows(sequence: RenderedVideo) -> list[Flow]:
    """For each frame but the first, where its pixels were in the frame before, and where that can be trusted.

    DIS flow of the mean of both sources, forth and back.
    """
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    seen, _ = fused_by_formula(sequence, BASELINES[AVERAGE])
    down, across = np.mgrid[: seen[0].shape[0], : seen[0].shape[1]].astype(np.float32)
    flows = []
    for before, after in pairwise(seen):
        back, forth = flow.calc(after, before, None), flow.calc(before, after, None)
        places = across + back[..., 0], down + back[..., 1]
        returned = cv2.remap(forth, *places, cv2.INTER_LINEAR, borderValue=(np.inf, np.inf))
        flows.append((places, np.linalg.norm(back + returned, axis=2) < CONSISTENT))
    return flows


def drift(frames: Sequence[np.ndarray], sequence: RenderedVideo) -> list[float]:
    """Mean brightness, beside that of the first frame, of what the object never comes near."""
    never_near = np.logical_and.reduce(sequence.backgrounds())
    means = [float(frame[never_near].mean()) for frame in frames]
    return [mean - means[0] for mean in means]


def at_the_object(frames: Sequence[np.ndarray], others: Sequence[np.ndarray], sequence: RenderedVideo) -> float:
    """Mean absolute difference of two videos where the object is, in grey levels."""
    differences = [
        np.abs(frame.astype(float) - other)[mask].mean()
        for frame, other, mask in zip(frames, others, sequence.objects)
        if mask.any()
    ]
    return float(np.mean(differences))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how steady fused videos are.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for table and plot")
    parser.add_argument("--model", help="folder or Hub name; default: the checkpoint that ships")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", default="320x240", help="width x height")
    parser.add_argument("--write-docs", type=Path, metavar="PAGE", help="write tables and plot into this page too")
    options = parser.parse_args()

    width, height = map(int, options.size.split("x"))
    shape = options.frames, height, width
    sequences = [
        render("8 bit, without noise", *shape),
        render("8 bit", *shape, noise=True),
        render("16 bit", *shape, noise=True, deep=True),
        render("8 bit, cameras turning", *shape, noise=True, pan=3),
    ]
    model, processor = load_checkpoint(options.model)
    text, drifts = [], {}
    seconds: dict[str, list[float]] = {}
    for sequence in tqdm(sequences, unit="sequence"):
        methods = {
            SMOOTHED: fused_by_model(sequence, FrameFuser(model, processor)),
            PER_FRAME: fused_by_model(sequence, FrameFuser(model, processor, smoothing=0)),
            RULE: fused_by_formula(sequence, BASELINES[RULE]),
            AVERAGE: fused_by_formula(sequence, BASELINES[AVERAGE]),
            VISIBLE_ALONE: fused_by_formula(sequence, BASELINES[VISIBLE_ALONE]),
        }
        flows = optical_flows(sequence)
        rows = {name: stability(frames, sequence, flows) for name, (frames, _) in methods.items()}
        columns = [column for column in COLUMNS if column in rows[SMOOTHED]]
        cells = [[name, *(f"{row[column]:.2f}" for column in columns)] for name, row in rows.items()]
        text += ["", f"**{sequence.name}**", "", *markdown(["", *columns], cells), ""]
        if sequence.is_static:
            changed = at_the_object(methods[SMOOTHED][0], methods[PER_FRAME][0], sequence)
            text.append(f"At the object itself smoothing changes {changed:.2f} grey levels.")
            drifts[sequence.name] = {name: drift(frames, sequence) for name, (frames, _) in methods.items()}
        for name, (_, taken) in methods.items():
            seconds.setdefault(name, []).append(taken)
    rates = ", ".join(f"{name} {1 / statistics.median(taken):.2f}" for name, taken in seconds.items())
    text += ["", f"Frames for each CPU second, {options.size}: {rates}."]
    options.output.mkdir(parents=True, exist_ok=True)
    table = "\n".join(text).strip()
    (options.output / "video_stability.md").write_text(f"{table}\n", encoding="utf-8")
    plot(drifts, options.output / "video_stability.png")
    if options.write_docs:
        write_docs(options.write_docs, table, options.output / "video_stability.png")
    print(table)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def plot(drifts: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> None:
    """Brightness of the background over time, a panel for each sequence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.0), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(drifts), sharey=True, squeeze=False)[0]
    for panel, (name, methods) in zip(panels, drifts.items()):
        for method, values in methods.items():
            panel.plot(range(len(values)), values, label=method, linewidth=2 if method == SMOOTHED else 1.2)
        panel.set_title(name)
        panel.set_xlabel("frame")
    panels[0].set_ylabel("background brightness,\ngrey levels beside the first frame")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path)


def write_docs(page: Path, table: str, image: Path) -> None:
    """Put the tables between the marks of a page, and the plot into its images."""
    replace_block(page, "stability", table)
    shutil.copy(image, page.parent / "images" / image.name)


if __name__ == "__main__":
    main()
