"""An SSD detector from a TensorFlow Lite file: anchors, tiles, decoding."""

import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from .average_precision import overlaps

INPUT_SIDE = 300
FEATURE_MAPS = (19, 10, 5, 3, 2, 1)
SCALES = tuple(np.linspace(0.2, 0.95, len(FEATURE_MAPS)))
BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
"""By which the network's vertical and horizontal offsets, height and width are divided."""

CLASSES = {"person": (4,), "car": (18, 23)}
"""Which of the 24 classes count as which kind: Person; Vehicle and Car."""

TILE_SIDE, TILE_STEP = 240, 120
"""In pixels of a 480 px high image."""

TILES_FROM = 0.25
"""Share of the height above which there are no tiles."""

NEAR_EDGE = 4
"""A box in a tile that comes so close, in pixels, to an edge inside the image is taken to be cut by it."""

LEAST_SCORE, MOST_OVERLAP = 0.05, 0.5


class Detections(NamedTuple):
    """Of one kind in one image: scores `(N,)` and boxes `(N, 4)`, left, top, right, bottom in pixels."""

    scores: np.ndarray
    boxes: np.ndarray


class Detector(Protocol):
    """Whatever finds people and cars."""

    @property
    def identity(self) -> str:
        """What tells its results from another one's in a cache."""

    def detect(self, image: np.ndarray) -> dict[str, Detections]:
        """Detections in `(H, W, 3)` uint8 RGB under the kinds "person" and "car". Called from several threads."""


class TfliteDetector:
    """SSD-MobileNetV2 with 24 classes of Open Images, on the whole image and on tiles of its lower part.

    Args:
        path: of the .tflite file: one input `(1, 300, 300, 3)` in −1…1, outputs `box_encodings` `(1, 1917, 4)` and
            `class_predictions` `(1, 1917, 24)`.

    Raises:
        OSError: no such file, or ai-edge-litert is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity = sha256(path.read_bytes()).hexdigest()[:16]
        self._anchors = anchors()
        self._own = threading.local()

    def detect(self, image: np.ndarray) -> dict[str, Detections]:
        """See `Detector`. Boxes of all tiles in one list, the surest kept of those that overlap (IoU over 0.5)."""
        height, width, _ = image.shape
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {kind: [] for kind in CLASSES}
        for left, top, right, bottom in [(0, 0, width, height), *tiles(height, width)]:
            for kind, (scores, boxes) in self._detect_tile(image[top:bottom, left:right]).items():
                placed = boxes + np.array([left, top, left, top])
                whole = inside(placed, (left, top, right, bottom), (width, height))
                found[kind].append((scores[whole], placed[whole]))
        return {
            kind: suppress(*(np.concatenate(parts) for parts in zip(*own, strict=True))) for kind, own in found.items()
        }

    def _detect_tile(self, tile: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        resized = Image.fromarray(tile).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR)
        encodings, predictions = self._run(np.asarray(resized, dtype=np.float32)[None] / 127.5 - 1)
        height, width, _ = tile.shape
        boxes = decode_boxes(encodings, self._anchors) * (width, height, width, height)
        chosen = {}
        for kind, classes in CLASSES.items():
            scores = 1 / (1 + np.exp(-predictions[:, classes].max(axis=1).astype(np.float64)))
            sure = scores >= LEAST_SCORE
            chosen[kind] = scores[sure], boxes[sure]
        return chosen

    def _run(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self._own, "interpreter"):
            self._own.interpreter = load_interpreter(self._path)
        interpreter = self._own.interpreter
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        outputs = {
            output["name"].split("/")[-1]: interpreter.get_tensor(output["index"])[0]
            for output in interpreter.get_output_details()
        }
        return outputs["box_encodings"], outputs["class_predictions"]


def load_interpreter(path: Path):
    """A TensorFlow Lite interpreter of one thread; an `OSError` says what to install where there is none."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise OSError(
            'The detector needs ai-edge-litert, which is not installed. Run pip install -e ".[downstream]".'
        ) from error
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def anchors() -> np.ndarray:
    """The 1917 default boxes as centre y, centre x, height, width, shares of the side."""
    rows = []
    next_scales = (*SCALES[1:], 1.0)
    for number, (cells, scale, next_scale) in enumerate(zip(FEATURE_MAPS, SCALES, next_scales)):
        if number == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)] + [((scale * next_scale) ** 0.5, 1.0)]
        for row in range(cells):
            for column in range(cells):
                centre = ((row + 0.5) / cells, (column + 0.5) / cells)
                rows += [(*centre, size / ratio**0.5, size * ratio**0.5) for size, ratio in shapes]
    return np.array(rows)


def decode_boxes(encodings: np.ndarray, default_boxes: np.ndarray) -> np.ndarray:
    """The network's `(N, 4)` offsets to boxes left, top, right, bottom as shares of the side, clipped to it."""
    down, across, log_height, log_width = (encodings / BOX_SCALES).T.astype(np.float64)
    centre_y, centre_x, height, width = default_boxes.T
    y, x = centre_y + down * height, centre_x + across * width
    half_height, half_width = height * np.exp(log_height) / 2, width * np.exp(log_width) / 2
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    return boxes.clip(0, 1)


def tiles(height: int, width: int) -> list[tuple[int, int, int, int]]:
    """Tiles at half overlap of the part below `TILES_FROM`: left, top, right, bottom. Other heights than 480 px scale
    them."""
    scale = height / 480
    side, step = round(TILE_SIDE * scale), round(TILE_STEP * scale)
    if width < side:
        return []
    tops = steps(round(TILES_FROM * height), height - side, step)
    return [(left, top, left + side, top + side) for top in tops for left in steps(0, width - side, step)]


def steps(first: int, last: int, step: int) -> Sequence[int]:
    """From the first to the last, and the last itself."""
    return [*range(first, last, step), last]


def inside(boxes: np.ndarray, tile: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """Which boxes `(N, 4)` are not cut by an edge of their tile that lies inside an image of that (width, height)."""
    left, top, right, bottom = tile
    width, height = size
    cut = (
        ((boxes[:, 0] < left + NEAR_EDGE) & (left > 0))
        | ((boxes[:, 1] < top + NEAR_EDGE) & (top > 0))
        | ((boxes[:, 2] > right - NEAR_EDGE) & (right < width))
        | ((boxes[:, 3] > bottom - NEAR_EDGE) & (bottom < height))
    )
    return ~cut


def suppress(scores: np.ndarray, boxes: np.ndarray) -> Detections:
    """Keep the surest of boxes that overlap."""
    order = np.argsort(-scores, kind="stable")
    scores, boxes = scores[order], boxes[order]
    union, _ = overlaps(boxes, boxes)
    kept: list[int] = []
    for number in range(len(scores)):
        if not (union[number, kept] > MOST_OVERLAP).any():
            kept.append(number)
    return Detections(scores[kept], boxes[kept])
