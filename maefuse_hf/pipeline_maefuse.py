# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("image-fusion")`: pairs of images in, fused images out."""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from huggingface_hub.utils import httpx
from PIL import Image
from torch.utils.data import Dataset
from transformers import Pipeline

from .image_files import open_image
from .image_processing_maefuse import ImageLike, ImagesLike, MaeFuseImageProcessor

PairMapping: TypeAlias = Mapping[str, ImageLike]

TASK = "image-fusion"
HALVES = ("infrared", "visible")
MODEL_PARAMETERS = ("fusion", "contour")
ADDRESSES = ("http://", "https://", "data:image/")
LONGEST_NAME = 80


class MaeFusePipeline(Pipeline):
    """Fuses pairs of an infrared and a visible image with a [`MaeFuseModel`].

    ```python
    >>> from transformers import pipeline
    >>> import maefuse_hf

    >>> fuse = pipeline("image-fusion")  # the checkpoint that ships; model="org/name" for one on the Hub
    >>> image = fuse("thermal.png", "photo.png")
    >>> images = fuse([{"infrared": "thermal.png", "visible": "photo.png"}], batch_size=8)
    ```

    Every parameter of a call can be given to `pipeline` as well, for all calls.
    """

    image_processor: MaeFuseImageProcessor
    _load_image_processor: Any = True
    _load_processor: Any = False
    _load_feature_extractor: Any = False
    _load_tokenizer: Any = False
    _load_video_processor: Any = False

    @overload  # type: ignore[override]
    def __call__(self, infrared: ImageLike, visible: ImageLike, **parameters: Any) -> Image.Image: ...

    @overload
    def __call__(self, infrared: PairMapping, visible: None = None, **parameters: Any) -> Image.Image: ...

    @overload
    def __call__(self, infrared: Sequence[ImageLike], visible: Sequence[ImageLike], **p: Any) -> list[Image.Image]: ...

    @overload
    def __call__(self, infrared: list[PairMapping], visible: None = None, **parameters: Any) -> list[Image.Image]: ...

    @overload
    def __call__(self, infrared: Iterable[PairMapping], visible: None = None, **p: Any) -> Iterator[Image.Image]: ...

    def __call__(
        self, infrared: Any, visible: ImagesLike | None = None, **parameters: Any
    ) -> Image.Image | list[Image.Image] | Iterator[Image.Image]:
        """Fuse one pair or many.

        Args:
            infrared, visible: one image each, or two equally long lists. An image is a path, an http(s) address, a
                `data:image/…` text, a PIL image, or an array or tensor as the image processor takes it. Without
                `visible`, the first argument holds pairs: one mapping of `infrared` and `visible` (other keys are left
                alone, so that the rows of a dataset will do), a list of them, or any iterable of them.
            batch_size: pairs the model takes at once; pairs of any sizes may be mixed, those of one size run together.
            num_workers: processes that read images.
            fusion, contour: as in [`MaeFuseModel.forward`].
            timeout: seconds to wait for an http(s) address; without it, as long as it takes.
            others: overrides of the image processor's settings, such as `infrared_range` or `resize_infrared`.

        Returns:
            a PIL image (RGB, the visible image's own size) for one pair, a list for a list, an iterator that fuses
            while it is read for any other iterable.

        Raises:
            OSError: an image is missing, cannot be fetched or cannot be read.
            TypeError: an unknown parameter.
            ValueError: what the image processor and the model raise, or something that is no pair.
        """
        if visible is not None:
            pairs: Any = paired(infrared, visible)
        elif isinstance(infrared, (str, os.PathLike, Image.Image, np.ndarray, torch.Tensor)):
            raise ValueError("One image came. Fusion needs two: an infrared and a visible one, in this order.")
        elif isinstance(infrared, (Mapping, list, Dataset)):
            pairs = infrared
        else:
            pairs = (pair for pair in infrared)
        # the base class looks at a list's first element
        return super().__call__(pairs, **parameters) if not isinstance(pairs, list) or pairs else []

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        # `pipeline` has used it by now, and hands it on
        parameters.pop("local_files_only", None)
        of_model = {name: parameters.pop(name) for name in MODEL_PARAMETERS if name in parameters}
        known = {"timeout", *self.image_processor.valid_kwargs.__annotations__}
        if unknown := sorted(set(parameters) - known):
            known_text = ", ".join(sorted({*known, *MODEL_PARAMETERS, "batch_size", "num_workers"}))
            raise TypeError(f"No such parameter: {', '.join(unknown)}. There are {known_text}.")
        return parameters, of_model, {}

    def preprocess(  # type: ignore[override]
        self, pair: PairMapping, timeout: float | None = None, **overrides: Any
    ) -> dict[str, Any]:
        """A pair as model inputs of batch size one. They travel as one object, which the base class neither stacks nor
        pads: images of a batch may differ in size."""
        if not isinstance(pair, Mapping) or not all(half in pair for half in HALVES):
            given = f"the keys {', '.join(map(str, pair))}" if isinstance(pair, Mapping) else type(pair).__name__
            raise ValueError(
                f"A pair is a mapping of 'infrared' and 'visible', but {given} came. Give such a mapping, a list of "
                "them, or two equally long lists: infrared=[…], visible=[…]."
            )
        images: dict[str, Any] = {half: fetched(pair[half], half, timeout) for half in HALVES}
        features = self.image_processor(**images, return_tensors="pt", **overrides)
        if len(features["infrared"]) != 1:
            raise ValueError(
                f"A pair holds {len(features['infrared'])} images of each kind. Give each pair as a mapping of its "
                "own, or two lists: infrared=[…], visible=[…]."
            )
        return {"pairs": features}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, Any], **parameters: Any
    ) -> dict[str, Any]:
        """Luminance of each pair; those of one size run as one batch."""
        if not isinstance(model_inputs["pairs"], list):
            inputs = model_inputs["pairs"]
            return {"fused": self.model(**inputs, **parameters).fused, "pairs": inputs}
        pairs = model_inputs["pairs"]
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, pair in enumerate(pairs):
            size = pair.get("resized_sizes", pair["original_sizes"])[0].tolist()
            by_size.setdefault((*size, *pair["infrared"].shape), []).append(index)
        fused: dict[int, torch.Tensor] = {}
        for indices in by_size.values():
            shared = [name for name in pairs[indices[0]] if name != "visible_rgb"]
            batch = {name: torch.cat([pairs[index][name] for index in indices]) for name in shared}
            fused.update(zip(indices, self.model(**batch, **parameters).fused))
        return {"fused": [fused[index] for index in range(len(pairs))], "pairs": pairs}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any]
    ) -> Image.Image:
        """One pair's image."""
        return self.image_processor.post_process_image_fusion(model_outputs["fused"], model_outputs["pairs"])[0]


def paired(infrared: ImagesLike, visible: ImagesLike) -> PairMapping | list[PairMapping]:
    """Two images as a pair, or two equally long lists as a list of pairs."""
    lists = [isinstance(images, (list, tuple)) for images in (infrared, visible)]
    if not any(lists):
        return {"infrared": infrared, "visible": visible}  # type: ignore[dict-item]
    if not all(lists) or len(infrared) != len(visible):  # type: ignore[arg-type]
        counts = [f"{len(half)}" if isinstance(half, (list, tuple)) else "no list of" for half in (infrared, visible)]
        raise ValueError(
            f"{counts[0]} infrared and {counts[1]} visible images came. Give one visible image for each infrared "
            "one, in two lists of one length."
        )
    return [{"infrared": thermal, "visible": photo} for thermal, photo in zip(infrared, visible)]  # type: ignore[arg-type]


def fetched(image: ImageLike, name: str, timeout: float | None) -> ImageLike:
    """What an http(s) address or `data:` text holds as a PIL image of its own depth; any other image as it came."""
    if not isinstance(image, str) or not image.startswith(ADDRESSES):
        return image
    try:
        if image.startswith("data:"):
            content = base64.b64decode(image.partition(",")[2], validate=True)
        else:
            content = httpx.get(image, timeout=timeout, follow_redirects=True).raise_for_status().content
        return open_image(BytesIO(content), name)
    except (httpx.HTTPError, httpx.InvalidURL, binascii.Error, OSError) as error:
        shown = image if len(image) <= LONGEST_NAME else f"{image[:LONGEST_NAME]}…"
        raise OSError(f"{name} ({shown}): no image could be had from there ({error}). Check the address.") from error


__all__ = ["MaeFusePipeline"]
