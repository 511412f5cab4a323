"""The example scene's canvas, and the two cameras that look at it.

A canvas keeps, per pixel, what both cameras need to know of the surface seen there: colour and light for the
visible camera, temperature for the thermal one. An object is painted once, so the two images are registered
by construction. Lengths are metres: x to the right of the road's centre line, y up from the road, z away from
the cameras. Temperatures are degrees Celsius, light is linear RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]
Colour = tuple[float, float, float]
Point = tuple[float, float, float]

SUPERSAMPLING = 2
EYE_HEIGHT = 1.7
HORIZON = 0.47  # height of the horizon in the image, as a share from its top
TOUCHING = 0.02  # of surfaces this close to each other the one painted last is seen
GRAIN_SIZE = 512
ROWS_AT_ONCE = 32  # keeps the intermediate arrays of the lighting in the CPU's cache
BLACK: Colour = (0.0, 0.0, 0.0)
AMBIENT = np.array((0.018, 0.024, 0.040), np.float32)
# Display levels of temperatures: steep where people and streets are, flat where skies and lamps are.
THERMAL_CURVE = np.array(
    ((-24, 14), (2, 44), (8, 60), (12, 86), (16, 116), (22, 178), (28, 222), (34, 250), (50, 255)), np.float32
)


@dataclass(frozen=True)
class Material:
    """A surface as the two cameras see it: what it reflects, what it emits, how warm it is."""

    colour: Colour
    heat: float
    glow: Colour = BLACK


@dataclass(frozen=True)
class Light:
    """A light source with a beam cosine ** focus around `aim` (a unit vector).

    `focus` is a power of two, or 0 for light in all directions.
    """

    position: Point
    power: Colour
    aim: Point = (0.0, -1.0, 0.0)
    focus: int = 0
    mirrored: float = 0.0  # strength of its streak on the wet road
    glare: float = 0.0  # strength of the veil that it throws into the lens
    cone: float = 0.0  # strength of the lit air below it


class Canvas:
    """The nearest surface at each of (H, W) supersamples.

    `colour`, `glow` and `normal` are (H, W, 3); `heat`, `depth` (z of the surface), `gloss` (mirror
    reflectivity, above 0 on the ground alone) and `label` (0, or the number of a named object) are (H, W).
    `right` (1, W) and `up` (H, 1) are the slopes of the viewing rays.
    """

    def __init__(self, height: int, width: int) -> None:
        # The shorter side rules, so that the whole 4:3 view is inside an image of any shape.
        self.focal = 0.8 * min(width, height * 4 / 3)
        self.centre = (width / 2, height * HORIZON)
        self.right: Array = ((np.arange(width, dtype=np.float32) + 0.5 - self.centre[0]) / self.focal)[None, :]
        self.up: Array = ((self.centre[1] - 0.5 - np.arange(height, dtype=np.float32)) / self.focal)[:, None]
        self.colour: Array = np.zeros((height, width, 3), np.float32)
        self.glow: Array = np.zeros((height, width, 3), np.float32)
        self.normal: Array = np.zeros((height, width, 3), np.float32)
        self.heat: Array = np.zeros((height, width), np.float32)
        self.depth: Array = np.full((height, width), 1e4, np.float32)
        self.gloss: Array = np.zeros((height, width), np.float32)
        self.label: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self.lights: list[Light] = []

    def project(self, point: Point) -> tuple[float, float]:
        """Column and row of a point."""
        x, y, z = point
        return self.centre[0] + self.focal * x / z, self.centre[1] - self.focal * (y - EYE_HEIGHT) / z

    def window(self, points: Sequence[Point]) -> Window | None:
        """Rows and columns of the canvas around the points, None where all of them are out of the image."""
        columns, rows = zip(*(self.project(point) for point in points), strict=True)
        height, width = self.heat.shape
        across = slice(max(0, int(min(columns))), min(width, int(max(columns)) + 2))
        down = slice(max(0, int(min(rows))), min(height, int(max(rows)) + 2))
        return (down, across) if down.start < down.stop and across.start < across.stop else None

    def fill(self, outline: Sequence[Point], material: Material, label: int = 0) -> None:
        """Paint a flat polygon, its first three corners not in line, wherever nothing is in front of it."""
        window = self.window(outline)
        if window is None:
            return
        down, across = window
        mask = Image.new("L", (across.stop - across.start, down.stop - down.start))
        pixels = [(c - across.start - 0.5, r - down.start - 0.5) for c, r in map(self.project, outline)]
        ImageDraw.Draw(mask).polygon(pixels, fill=1)
        corners = np.asarray(outline[:3], np.float64) - (0.0, EYE_HEIGHT, 0.0)
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= -np.copysign(np.linalg.norm(normal), normal @ corners[0])
        slope = normal[0] * self.right[:, across] + normal[1] * self.up[down] + normal[2]
        depth = normal @ corners[0] / np.minimum(slope, -1e-6)
        seen = (np.asarray(mask) > 0) & (depth < self.depth[window] + TOUCHING)
        self.depth[window][seen] = depth[seen]
        self.normal[window][seen] = normal
        self.colour[window][seen] = material.colour
        self.glow[window][seen] = material.glow
        self.heat[window][seen] = material.heat
        self.gloss[window][seen] = 0.0
        self.label[window][seen] = label

    def limb(self, start: Point, end: Point, radii: tuple[float, float], material: Material, label: int = 0) -> None:
        """Paint a tapering limb with round ends, upright in the plane of `start`."""
        angle = np.arctan2(end[1] - start[1], end[0] - start[0])
        outline: list[Point] = []
        for (x, y, _), radius, turn in ((start, radii[0], 0.5), (end, radii[1], -0.5)):
            for step in angle + np.pi * (turn + np.linspace(0, 1, 9)):
                outline.append((x + radius * float(np.cos(step)), y + radius * float(np.sin(step)), start[2]))
        self.fill(outline, material, label)

    def write(self, text: str, corner: Point, width: float, height: float, material: Material) -> None:
        """Write text into the upright rectangle whose lower left corner is `corner`.

        Only colour and light change: ink is as warm as what it stands on, so a thermal camera cannot read it.
        """
        left, bottom = self.project(corner)
        right, top = self.project((corner[0] + width, corner[1] + height, corner[2]))
        window = self.window((corner, (corner[0] + width, corner[1] + height, corner[2])))
        if window is None:
            return
        down, across = window
        font = ImageFont.load_default(96)
        box = [int(edge) for edge in font.getbbox(text)]
        letters = Image.new("L", (box[2] - box[0], box[3] - box[1]))
        ImageDraw.Draw(letters).text((-box[0], -box[1]), text, fill=255, font=font)
        scale_x, scale_y = letters.width / (right - left), letters.height / (bottom - top)
        to_letters = (scale_x, 0, (across.start - left) * scale_x, 0, scale_y, (down.start - top) * scale_y)
        extent = (across.stop - across.start, down.stop - down.start)
        placed = letters.transform(extent, Image.Transform.AFFINE, to_letters, Image.Resampling.BILINEAR)
        ink = (np.asarray(placed, np.float32) / 255)[..., None]
        self.colour[window] += ink * (np.asarray(material.colour, np.float32) - self.colour[window])
        self.glow[window] += ink * (np.asarray(material.glow, np.float32) - self.glow[window])

    def stain_ground(self, x: float, z: float, width: float, length: float, shade: float, warmth: float) -> None:
        """Darken (by the share `shade`) and warm the ground in sight around (x, z), softly."""
        reach = [(x + 2 * i * width, 0.0, max(z + 2 * j * length, 0.5)) for i in (-1, 1) for j in (-1, 1)]
        window = self.window(reach)
        if window is None:
            return
        depth = self.depth[window]
        distance = ((self.right[:, window[1]] * depth - x) / width) ** 4 + ((depth - z) / length) ** 4
        weight = np.where(self.gloss[window] > 0, np.exp(-np.minimum(distance, 50)), 0)
        self.colour[window] *= (1 - shade * weight)[..., None]
        self.glow[window] *= (1 - shade * weight)[..., None]
        self.heat[window] += warmth * weight

    def round_off(self, label: int, radius: float, cooling: float) -> None:
        """Give a flat silhouette volume: normals turn away and the heat falls (degrees) towards the rim."""
        rows, columns = np.nonzero(self.label == label)
        if rows.size == 0:
            return
        reach = max(1.0, radius * self.focal / float(self.depth[rows[0], columns[0]]))
        pad = int(2 * reach) + 1
        window = (
            slice(max(0, rows.min() - pad), rows.max() + pad),
            slice(max(0, columns.min() - pad), columns.max() + pad),
        )
        inside = self.label[window] == label
        solid = inside.astype(np.float32)
        thickness = blur(solid, reach)
        normal = np.stack((-2.5 * reach * np.gradient(thickness, axis=1), 0.25 * solid, -1.0 * solid), axis=-1)[inside]
        self.normal[window][inside] = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
        # Warmth passes through cloth: no sharp edges between the parts of a body.
        spread = blur(self.heat[window] * solid, 0.4 * reach) / np.maximum(blur(solid, 0.4 * reach), 1e-6)
        self.heat[window][inside] = (spread - cooling * 2 * np.clip(1 - thickness, 0, 0.5))[inside]

    def covered(self, label: int) -> Mask:
        """Where the final images show nothing but the object of that label, at their size."""
        whole: Mask = reduced((self.label == label).astype(np.float32)) == 1
        return whole


def fractal_noise(rng: np.random.Generator, smoothness: float) -> Array:
    """A seamless square texture whose amplitude falls with that power of frequency; mean 0, deviation 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((GRAIN_SIZE, GRAIN_SIZE)))
    frequency = np.hypot(np.fft.fftfreq(GRAIN_SIZE)[:, None], np.fft.rfftfreq(GRAIN_SIZE)[None, :])
    frequency[0, 0] = np.inf
    texture = np.fft.irfft2(spectrum / frequency**smoothness)
    return np.asarray(texture / texture.std(), np.float32)


def sample(texture: Array, down: NDArray[np.floating], across: NDArray[np.floating]) -> Array:
    """The texture, repeated for ever, at the given texels."""
    texels: Array = texture[down.astype(np.int32) % GRAIN_SIZE, across.astype(np.int32) % GRAIN_SIZE]
    return texels


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of an (H, W) or (H, W, C) array."""
    reach = max(1, round(2.5 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        turned = np.moveaxis(image, axis, 0)
        padded = np.concatenate((turned[:1].repeat(reach, 0), turned, turned[-1:].repeat(reach, 0)))
        total = np.zeros_like(turned)
        for step, weight in enumerate(weights):
            total += np.float32(weight) * padded[step : step + len(turned)]
        image = np.moveaxis(total, 0, axis)
    return image


def reduced(image: Array) -> Array:
    """Mean over each block of supersamples."""
    steps = range(SUPERSAMPLING)
    total = sum((image[i::SUPERSAMPLING, j::SUPERSAMPLING] for i in steps for j in steps), np.float32(0))
    return np.asarray(total / np.float32(SUPERSAMPLING**2))


def resized(image: Array, height: int, width: int) -> Array:
    """An (H, W, 3) array at another size."""
    channels = [Image.fromarray(np.ascontiguousarray(image[..., index])) for index in range(3)]
    return np.stack([np.asarray(c.resize((width, height), Image.Resampling.BICUBIC)) for c in channels], axis=-1)


def expose_infrared(canvas: Canvas, rng: np.random.Generator) -> Image.Image:
    """What an uncooled thermal camera makes of it: soft, hot is white, with the pattern of its pixels."""
    heat = blur(reduced(canvas.heat), max(0.3, 0.0014 * canvas.focal / SUPERSAMPLING))
    image = np.interp(heat, THERMAL_CURVE[:, 0], THERMAL_CURVE[:, 1])
    height, width = image.shape
    image += rng.normal(0, 0.9, (1, width)) + rng.normal(0, 0.4, (height, 1)) + rng.normal(0, 1.2, (height, width))
    return Image.fromarray(np.clip(image + 0.5, 0, 255).astype(np.uint8))


def expose_visible(canvas: Canvas, grain: Array, rng: np.random.Generator) -> Image.Image:
    """What a colour camera makes of it at night: scattered light, a film-like curve, noise."""
    light = _illuminate(canvas)
    _add_streaks(canvas, light, grain)
    light = reduced(light)
    light += _bloom(light, canvas.focal / SUPERSAMPLING)
    _add_lens_light(canvas, light)
    image = (1 - np.exp(-1.5 * light)) ** np.float32(1 / 2.2)
    height, width = image.shape[:2]
    blotches = rng.normal(0, 0.009, (height // 2, width // 2, 3)).astype(np.float32)
    noise = rng.normal(0, 0.010, (height, width, 1)).astype(np.float32) + resized(blotches, height, width)
    image += noise * (1.2 - 0.7 * image)
    return Image.fromarray(np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8))


def _illuminate(canvas: Canvas) -> Array:
    """Light that leaves every surface towards the camera, (H, W, 3)."""
    radiance = np.empty_like(canvas.glow)
    for top in range(0, len(radiance), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        depth = canvas.depth[rows]
        normal = np.ascontiguousarray(np.moveaxis(canvas.normal[rows], -1, 0))
        x, y = canvas.right * depth, EYE_HEIGHT + canvas.up[rows] * depth
        arriving = np.empty((3, *depth.shape), np.float32)
        arriving[:] = AMBIENT[:, None, None]
        for light in canvas.lights:
            dx, dy, dz = light.position[0] - x, light.position[1] - y, light.position[2] - depth
            squared = np.maximum(dx * dx + dy * dy + dz * dz, 0.3)
            distance = np.sqrt(squared)
            strength = np.maximum(normal[0] * dx + normal[1] * dy + normal[2] * dz, 0) / (squared * distance)
            if light.focus > 0:
                cosine = np.maximum(-(light.aim[0] * dx + light.aim[1] * dy + light.aim[2] * dz) / distance, 0)
                for _ in range(light.focus.bit_length() - 1):
                    cosine *= cosine
                strength *= cosine
            for channel, power in zip(arriving, light.power, strict=True):
                channel += power * strength
        radiance[rows] = canvas.colour[rows] * np.moveaxis(arriving, 0, -1) + canvas.glow[rows]
    return radiance


def _add_streaks(canvas: Canvas, radiance: Array, grain: Array) -> None:
    """Mirror images of the lights on the wet ground, drawn out towards the camera by its ripples."""
    height, width = canvas.heat.shape
    for light in canvas.lights:
        x, y, z = light.position
        column, foot = canvas.project((x, 0.0, z))
        image = canvas.project((x, -y, z))[1]
        spread = 0.09 * canvas.focal / z
        columns = slice(max(0, int(column - 4 * spread)), max(0, int(column + 4 * spread) + 1))
        rows = slice(max(0, int(foot)), height)
        if light.mirrored == 0 or columns.start >= width or rows.start >= height:
            continue
        down, across = np.ogrid[rows, columns]
        depth = EYE_HEIGHT / -np.minimum(canvas.up[rows], -1e-3)
        ripple = np.clip(1 + 0.6 * sample(grain, depth * 150, canvas.right[:, columns] * depth * 40 + 9000), 0.1, 3)
        length = 0.45 * (image - foot) + 2 * spread
        shape = np.exp(-(((across - column) / spread) ** 2) / 2 - ((down - image) / length) ** 2)
        strength = light.mirrored * np.asarray(light.power, np.float32) / max(light.power)
        radiance[rows, columns] += (shape * ripple * canvas.gloss[rows, columns])[..., None] * strength


def _bloom(radiance: Array, focal: float) -> Array:
    """Light that the lens scatters around bright spots, near and wide."""
    height, width = radiance.shape[:2]
    bright = np.clip(radiance - 0.55, 0, 8)
    scattered = np.zeros_like(radiance)
    for reach, strength in ((0.006, 0.16), (0.022, 0.08), (0.07, 0.03)):
        step = max(1.0, reach * focal / 2)
        small = resized(bright, max(1, round(height / step)), max(1, round(width / step)))
        scattered += strength * resized(blur(small, max(0.3, reach * focal / step)), height, width)
    return np.maximum(scattered, 0)


def _add_lens_light(canvas: Canvas, radiance: Array) -> None:
    """Lit air below the lamps, and the veil that headlights throw over everything near them."""
    height, width = radiance.shape[:2]
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    focal = canvas.focal / SUPERSAMPLING
    for light in canvas.lights:
        column, row = (value / SUPERSAMPLING for value in canvas.project(light.position))
        colour = np.asarray(light.power, np.float32) / max(light.power)
        if light.cone > 0:
            scale = focal / light.position[2]
            fall = (rows - row) / (scale * light.position[1])
            half = scale * (0.15 + 2.0 * np.maximum(fall, 0))
            air = np.exp(-1.6 * ((columns - column) / half) ** 2 - 2.6 * np.maximum(fall, 0)) * (fall > 0)
            radiance += (light.cone * air)[..., None] * colour
        if light.glare > 0:
            dx, dy = columns - column, rows - row
            distance = np.hypot(dx, dy) / focal
            star = 1 + 0.8 * np.cos(3 * np.arctan2(dy, dx)) ** 16
            radiance += (light.glare * star / (1 + (distance / 0.022) ** np.float32(2.3)))[..., None] * colour
