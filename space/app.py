"""The demo: two images in, one out. `python space/app.py`, or a Space on the Hub as it is.

Host and port come from GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, the model from MAEFUSE_MODEL (a folder or a name on
the Hub); without it, the checkpoint that ships with the package is used and no network is needed.
"""

# ruff: noqa: E402

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from upkeep import choose_cache, keep_deleting, leave_on_sigterm

CACHE = choose_cache()

import gradio as gr
from aligning import SEARCH
from clips import BOUNDS, CLIP_SUFFIXES
from fusing import GAMMA_RANGE, MOST_PIXELS, NO_PALETTE, SIZE_LIMIT_RANGE, DemoFusion, Settings
from handlers import EXAMPLES, NOT_ALIGNED, Handlers, UploadedFile
from theme import CSS, THEME

from maefuse_hf.inference import load_checkpoint
from maefuse_hf.strategies import CONTOURS
from maefuse_hf.visualization import PALETTES

MODEL_VARIABLE = "MAEFUSE_MODEL"
LARGEST_FILE = "20mb"
DELETE_EVERY_S, DELETE_AFTER_S = 300, 1800
MOST_WAITING = 20

TITLE = """
# MaeFuse
A thermal image and a photo of the same scene become one image that shows both.
"""
EMPTY = "Fuse a pair, and come back to this tab."
ABOUT = f"""
A masked autoencoder describes both images patch by patch. A comparative module (CFM) finds the contours that they
share or that one has alone; a merging module (MFM), guided by these, takes from each image what matters there.
Brightness comes from both, colour from the photo. Paper: *MaeFuse: Transferring Omni Features with Pretrained Masked
Autoencoders for Infrared and Visible Image Fusion via Guided Training*.

- The two images must show the same view, pixel by pixel. Where they do not, “Align” looks for infrared's place: it may
  cover {SEARCH.scale[0]:g} to {SEARCH.scale[1]:g} of the photo's width and be turned by {SEARCH.rotation:g}°. What is
  not trusted is refused. One alignment holds for one distance: much nearer things get double edges.
- It shows where something is warm, not how warm. Do not rely on it where safety is at stake.
- Deep (16-bit) infrared, PNG or TIFF, is scaled by its own percentiles. At most {LARGEST_FILE.upper()} and
  {MOST_PIXELS / 1e6:g} million pixels an image.
- Uploads and results are deleted from the server within {(DELETE_AFTER_S + DELETE_EVERY_S) // 60} minutes. Nothing of
  them is kept.
- From a program: the endpoint `/fuse`, which is also a tool for MCP clients; see “Use via API” below.
"""
NUMBERS_TEXT = """
Measured on brightness, without colour and palette, with infrared as the model saw it. An image alone keeps all of
itself, so it can lead in VIF or Qabf and yet show nothing of the other.
"""
CLIP_TEXT = f"""
Two videos of the same view, up to {LARGEST_FILE.upper()} each. {BOUNDS} Each frame gets the infrared frame nearest in
time, infrared is stretched over it, the sound is kept, and brightness is held steady. Longer videos: `maefuse video`.
"""
CAMERA_EXAMPLE = EXAMPLES / "4-camera" / "thermal.jpg"
CONTOUR_LABELS = {"cfm": "learned from both", "infrared": "infrared", "visible": "the photo"}
STRATEGY_TEXTS = {
    "Mean": "The average of both descriptions: low contrast, hot things are dimmed by the photo's darkness.",
    "CFM": "The comparative module alone: hot things and contours of both stand out.",
    "MFM": "The merging module, guided by these contours, turns to both images again: the result above.",
}
INSIGHT_TEXTS = {
    "Infrared features": "What the encoder finds. A square is a patch, a colour a kind of content in all three.",
    "Photo features": "The same for the photo. What only one camera sees has a colour in one image only.",
    "Contours (CFM)": "What the comparative module makes of both: it should follow the outlines of either.",
    "Merging (MFM)": "Where its attention goes: orange to infrared, blue to the photo, neither evenly to both.",
}


def build(fuser: DemoFusion) -> gr.Blocks:
    """The page around a model; `launch` shows it."""
    gr.set_static_paths([EXAMPLES])
    defaults = Settings()
    with gr.Blocks(title="MaeFuse", analytics_enabled=False, delete_cache=(DELETE_EVERY_S, DELETE_AFTER_S)) as page:
        job, opened = gr.State(None), gr.State("about")
        gr.Markdown(TITLE, elem_id="title")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                with gr.Tabs(overflow_behavior="wrap"):
                    with gr.Tab("Photo | fused"):
                        against_photo = slider("Photo", "against-photo")
                    with gr.Tab("Infrared | fused"):
                        against_infrared = slider("Infrared", "against-infrared")
                    with gr.Tab("Fused"):
                        result = gr.Image(
                            label="Fused image",
                            format="png",
                            type="filepath",
                            interactive=False,
                            elem_id="fused",
                            buttons=["download", "fullscreen"],
                        )
                    with gr.Tab("Alignment"):
                        overlay = gr.Image(
                            label="Infrared in red over the photo in cyan",
                            format="jpeg",
                            interactive=False,
                            elem_id="overlay",
                            buttons=["fullscreen"],
                        )
                        found = gr.Markdown(NOT_ALIGNED, elem_id="found")
                download = gr.DownloadButton("Download the fused image (lossless PNG)", elem_id="download")
            with gr.Column(scale=2, min_width=320):
                with gr.Row():
                    infrared = image_input("Infrared", ["upload", "clipboard"], "infrared")
                    visible = image_input("Photo", ["upload", "clipboard", "webcam"], "visible")
                resize = gr.Checkbox(
                    defaults.resize_infrared,
                    label="Resize infrared to the photo",
                    info="If their sizes differ though both show the same view. It stretches, it does not align.",
                )
                align = gr.Checkbox(
                    defaults.align,
                    label="Align infrared to the photo",
                    info="If the views differ: finds where infrared lies in the photo, or refuses. Takes some seconds.",
                    elem_id="align",
                )
                gr.Markdown(
                    "A thermal camera's file (radiometric JPEG) that holds the photo is enough: remove the photo."
                )
                button = gr.Button("Fuse", variant="primary", elem_id="fuse")
                examples = gr.Examples(
                    [*map(list, example_pairs()), [str(CAMERA_EXAMPLE), None]],
                    [infrared, visible],
                    label="Examples: three pairs rendered by us, and a thermal camera's file that holds the photo",
                    visible_columns=[0],
                    api_visibility="private",
                )
        with gr.Accordion("Settings", open=False, elem_id="settings"), gr.Row():
            colour = gr.Checkbox(
                defaults.colour, label="Colour", min_width=300, info="Keep the photo's colours, or give a grey image."
            )
            palette = gr.Radio(
                [NO_PALETTE, *PALETTES],
                value=defaults.palette,
                label="Thermal palette",
                min_width=300,
                info="Colours what is hot, as thermal cameras do; the rest stays.",
            )
            gamma = gr.Slider(
                *GAMMA_RANGE,
                defaults.infrared_gamma,
                step=0.05,
                label="Infrared gamma",
                min_width=300,
                info="Below 1 brings out what is dark in infrared, above 1 leaves only what is hottest.",
            )
            contour = gr.Radio(
                [(CONTOUR_LABELS[contour], contour) for contour in CONTOURS],
                value=defaults.contour,
                label="Contours from",
                min_width=300,
                info="What guides the merging: the comparative module, or one image alone.",
            )
            size_limit = gr.Slider(
                *SIZE_LIMIT_RANGE,
                defaults.size_limit,
                step=64,
                label="Size limit (pixels)",
                min_width=300,
                info="Longest side the model works at: more is sharper and slower. The result keeps the photo's size.",
            )
        with gr.Accordion("A short clip", open=False, elem_id="clip"):
            gr.Markdown(CLIP_TEXT)
            with gr.Row():
                infrared_clip, visible_clip = (
                    gr.File(label=label, file_types=list(CLIP_SUFFIXES), type="filepath", height=120, min_width=200)
                    for label in ("Infrared video", "The photo's video")
                )
                offset = gr.Number(
                    0, label="Offset (seconds)", step=0.1, info="By how much later infrared was started.", min_width=160
                )
            clip_button = gr.Button("Fuse the clip", elem_id="fuse-clip")
            clip = gr.Video(label="Fused clip", interactive=False, elem_id="fused-clip")
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("About") as about_tab:
                gr.Markdown(ABOUT)
            with gr.Tab("In numbers") as numbers_tab:
                table = gr.HTML(EMPTY, elem_id="numbers")
                gr.Markdown(NUMBERS_TEXT)
            with gr.Tab("What the model saw") as insights_tab:
                insights = captioned(INSIGHT_TEXTS)
            with gr.Tab("Fusion strategies") as strategies_tab:
                gr.Markdown("What the decoder is given, as in Figure 1 of the paper.")
                strategies = captioned(STRATEGY_TEXTS)

        cache = Path(result.GRADIO_CACHE)
        handlers = Handlers(fuser, cache)
        chosen = [colour, palette, gamma, contour, size_limit, resize, align]
        model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        hidden: dict[str, Any] = {"api_visibility": "private"}
        looks: dict[str, tuple[Any, Any, list[Any]]] = {
            "numbers": (numbers_tab, handlers.numbers, [table]),
            "insights": (insights_tab, handlers.insights, insights),
            "strategies": (strategies_tab, handlers.strategies, strategies),
        }

        def fuse_when(happens: Any, **visibility: Any) -> None:
            """Fuse when this happens, then show it, then bring the tab that is open up to date."""
            # first, so that the place is shown if it is refused too
            aligned = happens(
                handlers.alignment,
                [infrared, visible, align],
                [overlay, found],
                preprocess=False,
                show_progress="hidden",
                **hidden,
                **model,
            )
            fused = aligned.then(
                handlers.fuse,
                [infrared, visible, *chosen],
                result,
                preprocess=False,  # a file that is no image shall be named by us, not fail inside Gradio
                show_progress_on=[against_photo, against_infrared, result],
                **visibility,
                **model,
            ).success(
                handlers.show,
                [infrared, visible, result, *chosen],
                [against_photo, against_infrared, download, job],
                preprocess=False,
                show_progress="hidden",
                **hidden,
            )
            for name, (_, look, shown) in looks.items():
                fused.success(partial(look_if_open, name, look), [opened, job], shown, **hidden, **model)

        fuse_when(button.click, api_name="fuse")
        clip_button.click(
            handlers.clip, [infrared_clip, visible_clip, offset], clip, preprocess=False, **hidden, **model
        )
        # not as the inputs' values: these would be the API's defaults
        loaded = page.load(lambda: example_pairs()[0], None, [infrared, visible], show_progress="hidden", **hidden)
        fuse_when(loaded.then, **hidden)
        fuse_when(examples.load_input_event.then, **hidden)
        about_tab.select(lambda: "about", None, opened, queue=False, **hidden)
        for name, (tab, look, shown) in looks.items():
            tab.select(partial(str, name), None, opened, queue=False, **hidden)
            tab.select(look, job, shown, **hidden, **model)
        for image in (infrared, visible):
            image.upload(handlers.for_browsers, image, image, preprocess=False, **hidden)
    return page


def look_if_open(name: str, look: Callable[[Any], Any], opened: str, job: Any) -> Any:
    """What a tab shows after a fusion: something new if it is open, else what it shows already."""
    return look(job) if opened == name else gr.skip()


def example_pairs() -> list[tuple[str, str]]:
    """The rendered pairs in `examples/`, infrared and visible."""
    return [(str(path), str(path.with_name("visible.jpg"))) for path in sorted(EXAMPLES.glob("*/infrared.png"))]


def slider(before: str, elem_id: str) -> gr.ImageSlider:
    """A slider between a source, on the left, and the fused image."""
    return gr.ImageSlider(
        label=f"{before} | fused",
        format="jpeg",
        interactive=False,
        elem_id=elem_id,
        buttons=["fullscreen"],
        max_height=620,
    )


def image_input(label: str, sources: list[Any], elem_id: str) -> gr.Image:
    """Where an image is uploaded, pasted or taken; its file goes on as it is, at its own depth."""
    image = gr.Image(
        label=label,
        sources=sources,
        type="filepath",
        image_mode=None,
        height=220,
        min_width=140,
        buttons=["fullscreen"],
        elem_id=elem_id,
    )
    image.data_model = UploadedFile
    return image


def captioned(texts: Mapping[str, str]) -> list[gr.Image]:
    """Images in a row, each under its name with a line on what to see."""
    images = []
    with gr.Row():
        for name, text in texts.items():
            with gr.Column(min_width=260):
                images.append(
                    gr.Image(label=name, format="webp", interactive=False, buttons=["download", "fullscreen"])
                )
                gr.Markdown(text)
    return images


def launch(page: gr.Blocks, **options: Any) -> tuple[Any, str, str]:
    """Serve the page with its limits and its look; `options` go to Gradio's `launch`."""
    keep_deleting(CACHE, DELETE_EVERY_S, DELETE_AFTER_S)
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=4)
    return page.launch(
        theme=THEME,
        css=CSS,
        max_file_size=LARGEST_FILE,
        mcp_server=True,
        ssr_mode=False,
        footer_links=["api", "gradio", "settings"],
        **options,
    )


if __name__ == "__main__":
    leave_on_sigterm()
    launch(build(DemoFusion(*load_checkpoint(os.environ.get(MODEL_VARIABLE)))))
