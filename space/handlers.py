"""What the page's events do: files and settings in, values for components out, problems as messages."""

import functools
import html
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import numpy as np
import torch
from aligning import align_files, described, overlay_of
from clips import CLIP_SUFFIXES, MOST_FRAMES, fuse_clip
from fusing import (
    NO_PALETTE,
    DemoFusion,
    Settings,
    as_grey_image,
    doubts,
    limited,
    open_image,
    open_pair,
    upright_photo,
    whole_photo,
)
from gradio.data_classes import ImageData
from insights import blend_weight_image, enlarged, feature_images, has_blend_weights, infrared_blend_weights
from measured import as_table, measure
from PIL import Image, ImageOps
from pydantic import ValidationError
from zero_gpu import on_gpu

from maefuse_hf import MaeFuseOutput
from maefuse_hf.image_files import write_image
from maefuse_hf.registration import Rig
from maefuse_hf.strategies import DEFAULT_CONTOUR, FUSION_STRATEGIES, Contour
from maefuse_hf.visualization import seen_infrared

Upload = dict[str, Any] | None
"""A file as Gradio hands it over, or nothing."""

Job = tuple[str, str, Rig | None, Settings]
"""What was fused last on a page: the two files, where infrared was found to lie, and the settings."""

EXAMPLES = Path(__file__).parent / "examples"
FUSED_NAME = "fused.png"
FUSED_CLIP_NAME = "fused.mp4"
PROGRESS = gr.Progress()
LONGEST_SHOWN = 1600
"""Side by side in the slider larger images are reduced to this; the download is not."""

LONGEST_LOOKED_INTO = 512
"""Size limit of the tabs that run the model again to look into it."""

PNG_MODES = ("L", "RGB", "RGBA", "I;16")
REMEMBERED_EXAMPLES = 64
REMEMBERED_ALIGNMENTS = 64
NOT_ALIGNED = "Tick “Align infrared to the photo” and fuse. This shows where infrared was found to lie."

NO_FILE = "An image must come as an uploaded file, or as handle_file(…) of gradio_client gives it."

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def said(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Turn the errors that are meant for people into messages on the page, without traceback or path.

    The page shows messages as HTML, so that whatever a message quotes is escaped.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            return function(*arguments, **options)
        except (OSError, ValueError) as error:
            message = error.strerror if isinstance(error, OSError) and error.filename else str(error)
            raise gr.Error(html.escape(f"{message}", quote=False), title="Not fused", print_exception=False) from error

    return wrapper


class UploadedFile(ImageData):
    """An uploaded image as Gradio checks it before any handler runs; whatever is none is answered with a sentence."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        """As in pydantic; a `gr.Error` in place of its own."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise gr.Error(NO_FILE, title="Not fused", print_exception=False) from error


class Handlers:
    """The functions of the page around one model.

    Args:
        fuser: the model and its processor.
        folder: where images to download are written, in Gradio's cache, which deletes them.
    """

    def __init__(self, fuser: DemoFusion, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.fuser, self.folder = fuser, folder
        self.fuse_files = on_gpu(self.fuse_files_here)
        self.numbers_of = on_gpu(self.numbers_here)
        self.insights_of = on_gpu(self.insights_here)
        self.strategies_of = on_gpu(self.strategies_here)
        self.clip_of = on_gpu(partial(fuse_clip, fuser))
        self.alignment_of = functools.lru_cache(REMEMBERED_ALIGNMENTS)(align_files)
        self.fuse_example = functools.lru_cache(REMEMBERED_EXAMPLES)(self.fuse_files)

    @said
    def fuse(
        self,
        infrared: Upload,
        visible: Upload,
        colour: bool = True,
        palette: str = NO_PALETTE,
        infrared_gamma: float = 1.0,
        contour: Contour = DEFAULT_CONTOUR,
        size_limit: int = 1024,
        resize_infrared: bool = False,
        align: bool = False,
    ) -> str:
        """Fuse an infrared (thermal) and a visible image of one scene into one image that shows both.

        Args:
            infrared: the thermal image, 8 or 16 bit, hot things bright; of the photo's view and size, or see
                resize_infrared and align. Or the radiometric JPEG of a thermal camera.
            visible: the photo of the same view, colour or grey; not needed if the camera's file holds it.
            colour: True keeps the photo's colours, False gives a grey image.
            palette: colours what is hot: none, ironbow, rainbow, arctic or red-hot.
            infrared_gamma: exponent applied to infrared before fusion, 0.2 to 3; below 1 brings out dark detail.
            contour: where contours come from: cfm (learned from both images), infrared or visible.
            size_limit: longest side in pixels at which the model works, 256 to 2048; the result has the photo's size.
            resize_infrared: stretch infrared to the photo's size if they differ though both show the same view.
            align: find where infrared lies in the photo (turned, scaled, shifted) and fuse it there; outside of it the
                photo stays as it is. A pair that cannot be aligned with certainty is refused.

        Returns:
            The fused image as a lossless PNG of the photo's size.
        """
        settings = Settings(colour, palette, infrared_gamma, contour, size_limit, resize_infrared, align)
        files = self.path_of(infrared), self.path_of(visible)
        place = self.place_of(*files, settings)
        run = self.fuse_example if all(map(is_example, files)) else self.fuse_files
        target = Path(tempfile.mkdtemp(dir=self.folder)) / FUSED_NAME
        write_image(run(*files, place, settings), target)
        for sentence in doubts(open_pair(*files)):
            gr.Warning(html.escape(sentence, quote=False), title="Fused, but")
        return str(target)

    @said
    def show(self, infrared: Upload, visible: Upload, fused: Upload, *settings: Any) -> tuple[Any, ...]:
        """After a fusion: both sliders, the file to download, and the job, for the tabs that look closer."""
        files, chosen = (self.path_of(infrared), self.path_of(visible)), Settings(*settings)
        place = self.place_of(*files, chosen)
        pair = open_pair(*files, place)
        before = shown(self.fuser.seen(pair, chosen)), shown(whole_photo(pair))
        path = self.path_of(fused)
        with open_image(path, "fused image") as image:
            after = shown(image)
        return (before[1], after), (before[0], after), path, (*files, place, chosen)

    def alignment(self, infrared: Upload, visible: Upload, align: bool) -> tuple[Image.Image | None, str]:
        """Before a fusion or a refusal: the overlay, and the score or the reason."""
        if not align:
            return None, NOT_ALIGNED
        try:
            files = self.path_of(infrared), self.path_of(visible)
            alignment = self.alignment_of(*files)
            found = alignment.registration
            return overlay_of(*files, found.rig) if found else None, described(alignment)
        except (OSError, ValueError):
            # the fusion says it
            return None, NOT_ALIGNED

    @said
    def numbers(self, job: Job | None) -> str:
        """The table of metrics."""
        return self.numbers_of(job) if job else ""

    @said
    def insights(self, job: Job | None) -> tuple[Image.Image | None, ...]:
        """Features of infrared, photo and contours, and where the merging looks; the last is None if not to be had."""
        return self.insights_of(job) if job else (None,) * 4

    @said
    def strategies(self, job: Job | None) -> tuple[Image.Image | None, ...]:
        """The same pair fused by each of `FUSION_STRATEGIES`."""
        return self.strategies_of(job) if job else (None,) * len(FUSION_STRATEGIES)

    @said
    def clip(self, infrared: Upload, visible: Upload, offset: float, progress: gr.Progress = PROGRESS) -> str:
        """The beginning of two videos, fused."""
        files = self.clip_path_of(infrared), self.clip_path_of(visible)
        target = Path(tempfile.mkdtemp(dir=self.folder)) / FUSED_CLIP_NAME
        done = 0

        def count(frames: int) -> None:
            nonlocal done
            done += frames
            progress((done, MOST_FRAMES), unit="frames")

        for sentence in self.clip_of(*files, offset, target, count):
            gr.Warning(html.escape(sentence, quote=False), title="Fused, but")
        return str(target)

    def clip_path_of(self, upload: Upload) -> str | None:
        """As `path_of`, of a video, which must have a suffix of one."""
        path = self.path_of(upload)
        if path is not None and Path(path).suffix.lower() not in CLIP_SUFFIXES:
            raise ValueError(f"A clip must be {', '.join(CLIP_SUFFIXES)}.")
        return path

    def for_browsers(self, upload: Upload) -> Any:
        """A TIFF, which browsers do not show, as a PNG of the same pixels; anything else stays as it is."""
        try:
            path = self.path_of(upload)
            with open_image(path, "image") as image:
                if image.format != "TIFF" or image.mode not in PNG_MODES:
                    return gr.skip()
                target = Path(tempfile.mkdtemp(dir=self.folder)) / f"{Path(path or '').stem}.png"
                write_image(ImageOps.exif_transpose(image), target)
        except (OSError, ValueError):
            # said when it is to be fused
            return gr.skip()
        return str(target)

    def path_of(self, upload: Upload) -> str | None:
        """Where an uploaded file lies, or None if there is none.

        Gradio checks only what a client marks as a file, so that it is checked here again.

        Raises:
            ValueError: if it is no file as Gradio hands it over, or its path is neither an upload nor an example.
        """
        if upload is None:
            return None
        if not isinstance(upload, dict) or not isinstance(upload.get("path"), (str, type(None))):
            raise ValueError(NO_FILE)
        if upload.get("path") is None:
            return None
        path = Path(upload["path"]).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in (self.folder, EXAMPLES)):
            raise ValueError("Only uploaded files are fused. Upload the image first.")
        return str(path)

    def place_of(self, infrared: str | None, visible: str | None, settings: Settings) -> Rig | None:
        """Where infrared lies, if it is to be aligned; a `ValueError` says why it is not trusted."""
        return self.alignment_of(infrared, visible).trusted_rig() if settings.align else None

    def fuse_files_here(
        self, infrared: str | None, visible: str | None, place: Rig | None, settings: Settings
    ) -> Image.Image:
        """Fuse two files."""
        return self.fuser.fuse(open_pair(infrared, visible, place), settings)

    def numbers_here(self, job: Job) -> str:
        """Measure the image as the model made it, without the palette, which would change its luminance."""
        infrared, visible, place, settings = job
        pair = open_pair(infrared, visible, place)
        inputs = self.fuser.prepare(pair, settings)
        outputs = self.fuser.run(inputs, settings.contour)
        fused = self.fuser.processor.post_process_image_fusion(outputs, inputs)[0]
        seen, photo = as_grey_image(seen_infrared(inputs)), upright_photo(pair)
        systems = {"fused": fused, "photo alone": photo, "infrared alone": seen}
        return as_table(list(systems), measure(systems, seen, photo))

    def insights_here(self, job: Job) -> tuple[Image.Image | None, ...]:
        """Run the model once more and look inside."""
        infrared, visible, place, settings = job
        inputs = self.fuser.prepare(open_pair(infrared, visible, place), limited(settings, LONGEST_LOOKED_INTO))
        weighs = has_blend_weights(self.fuser.model.config)
        outputs = self.fuser.run(inputs, settings.contour, attentions=weighs, features=True)
        fused = self.fuser.processor.post_process_image_fusion(outputs, inputs)[0]
        grid = self.fuser.model.patch_grid(inputs["infrared"])
        patch = self.fuser.model.patch_size
        sizes = inputs["resized_sizes" if "resized_sizes" in inputs else "original_sizes"]
        size = tuple(reversed(sizes[0].tolist()))
        features, empty = features_of(outputs), features_of(self.fuser.run_empty(inputs, settings.contour))
        images = [enlarged(tokens, patch, size) for tokens in feature_images(features, empty, grid).values()]
        if not weighs:
            return (*images, None)
        weights = Image.fromarray(infrared_blend_weights(outputs, grid))
        smooth = weights.resize((grid[1] * patch, grid[0] * patch), Image.Resampling.BILINEAR).crop((0, 0, *size))
        return (*images, blend_weight_image(np.asarray(smooth), fused.resize(size, Image.Resampling.LANCZOS)))

    def strategies_here(self, job: Job) -> tuple[Image.Image | None, ...]:
        """Fuse by each strategy, at a size that three runs can bear."""
        infrared, visible, place, settings = job
        pair = open_pair(infrared, visible, place)
        small = limited(settings, LONGEST_LOOKED_INTO)
        return tuple(shown(self.fuser.fuse(pair, small, strategy)) for strategy in FUSION_STRATEGIES)


def features_of(outputs: MaeFuseOutput) -> dict[str, torch.Tensor]:
    """Name to features (tokens, hidden) of the one pair."""
    return {name: outputs[f"{name}_features"][0] for name in ("infrared", "visible", "contour")}


def is_example(path: str | None) -> bool:
    """Whether this is one of the images that come with the page."""
    return path is not None and EXAMPLES in Path(path).parents


def shown(image: Image.Image) -> Image.Image:
    """A copy no longer than `LONGEST_SHOWN`."""
    copy = image.copy()
    copy.thumbnail((LONGEST_SHOWN, LONGEST_SHOWN), Image.Resampling.LANCZOS)
    return copy
