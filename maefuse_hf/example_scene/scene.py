"""A registered infrared/visible pair drawn by code: a street at night, as two cameras on one tripod see it.

The visible camera reads the café's sign and the markings on the road, and loses people in the dark and in the
glare of headlights; the thermal camera finds every warm body, and no sign. That is what fusion is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from PIL import Image

from .canvas import (
    EYE_HEIGHT,
    SUPERSAMPLING,
    Array,
    Canvas,
    Colour,
    Light,
    Mask,
    Material,
    expose_infrared,
    expose_visible,
    fractal_noise,
    sample,
)
from .objects import (
    AIR_TEMPERATURE,
    LAMP_POWER,
    SIGN_LABEL,
    STREET_HALF_WIDTH,
    Outfit,
    Walk,
    paint_cafe,
    paint_car,
    paint_dog,
    paint_lamp,
    paint_person,
)

MIN_SIDE = 64
STREET_END = 70.0
KERB = 3.4
STOREY = 2.9
FLOORS, BAYS = 4, 6  # at most, per house
DOG_LABEL = 200
BRICK_WALLS = np.array((True, False, True, False, False))
WALLS = np.array(
    ((0.24, 0.11, 0.075), (0.34, 0.29, 0.21), (0.20, 0.10, 0.08), (0.27, 0.27, 0.27), (0.36, 0.25, 0.16)),
    np.float32,
)
WINDOW_TINTS = np.array(((1.0, 0.66, 0.32), (1.0, 0.76, 0.45), (0.95, 0.55, 0.22), (0.62, 0.78, 1.0)), np.float32)
STONE: Colour = (0.30, 0.29, 0.27)
DARK_OUTFITS = (
    Outfit((0.022, 0.024, 0.032), (0.018, 0.018, 0.024)),
    Outfit((0.030, 0.024, 0.022), (0.016, 0.018, 0.026), bag=True),
    Outfit((0.020, 0.026, 0.024), (0.022, 0.020, 0.020), faces_camera=False),
)
BRIGHT_OUTFITS = (
    Outfit((0.30, 0.26, 0.20), (0.06, 0.07, 0.11)),
    Outfit((0.35, 0.12, 0.08), (0.05, 0.05, 0.06), hair=(0.10, 0.05, 0.02), bag=True),
)
# Where people may be: (x, z) from, (x, z) to, and whether the visible camera all but loses them there.
PLACES = (
    ((-4.6, 24.0), (-3.9, 27.0), False),
    ((3.8, 19.0), (4.5, 24.0), False),
    ((1.25, 16.8), (1.45, 18.0), True),  # with the dog
    ((-0.42, 13.4), (-0.28, 14.0), True),  # beside the headlights
    ((-4.6, 10.6), (-4.1, 11.6), True),
    ((4.35, 10.8), (4.6, 11.3), False),  # at the café, below a lamp
    ((-3.25, 6.7), (-2.95, 7.2), True),
)
DOG_WALKER = 2
LAMPS = (  # x, z, whether it works
    (-3.55, 9.2, False),
    (3.55, 9.95, True),
    (-3.55, 20.0, True),
    (3.55, 31.0, True),
    (-3.55, 43.0, True),
)
CARS = (  # x, z, colour, whether it drives
    (-1.85, 12.6, (0.10, 0.11, 0.13), True),
    (2.30, 8.6, (0.16, 0.035, 0.03), False),
)
CAFE_DISTANCE = 9.5


@dataclass(frozen=True)
class ScenePerson:
    """`mask` (H, W) is true where the person is seen; `hidden` if the visible camera all but loses them."""

    mask: Mask
    hidden: bool


@dataclass(frozen=True)
class ExampleScene:
    """The two images, and where in both of them the people and the café's sign are."""

    infrared: Image.Image
    visible: Image.Image
    people: tuple[ScenePerson, ...]
    sign: Mask


def render_example_pair(height: int = 480, width: int = 640, seed: int = 0) -> tuple[Image.Image, Image.Image]:
    """Infrared (mode "L", white is hot) and visible (mode "RGB") image of one street, each height x width.

    The same arguments give the same images; `seed` (0 or more) moves people, houses and lit windows and
    redraws the noise. Raises ValueError where a side is shorter than 64 pixels or `seed` is negative.
    """
    scene = render_example_scene(height, width, seed)
    return scene.infrared, scene.visible


def render_example_scene(height: int = 480, width: int = 640, seed: int = 0) -> ExampleScene:
    """As `render_example_pair`, with the masks of what is to be seen in the images."""
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f"The example scene needs {MIN_SIDE} pixels or more on each side, got height={height}, width={width}."
        )
    if seed < 0:
        raise ValueError(f"The example scene needs a seed of 0 or more, got seed={seed}.")
    rng = np.random.default_rng(seed)
    grain, clouds = fractal_noise(rng, 0.6), fractal_noise(rng, 1.9)
    canvas = Canvas(height * SUPERSAMPLING, width * SUPERSAMPLING)
    paint_sky(canvas, rng, clouds)
    paint_street_end(canvas, rng)
    for side in (-1, 1):
        paint_houses(canvas, rng, grain, clouds, side)
    paint_ground(canvas, grain, clouds)
    hidden = paint_objects(canvas, rng)
    visible, infrared = expose_visible(canvas, grain, rng), expose_infrared(canvas, rng)
    people = tuple(ScenePerson(canvas.covered(label), lost) for label, lost in hidden.items())
    return ExampleScene(infrared, visible, people, canvas.covered(SIGN_LABEL))


def paint_sky(canvas: Canvas, rng: np.random.Generator, clouds: Array) -> None:
    """Night sky with stars, a moon and thin clouds: cold, but clouds and the air near the horizon less so."""
    rows = slice(0, int(canvas.centre[1]))
    up = canvas.up[rows]
    height = np.clip(up / 0.5, 0, 1) ** 0.7
    veil = np.clip(sample(clouds, up * 1400, canvas.right * 600 + 9000) * 0.5, 0, 1)
    zenith, skyline = np.array((0.005, 0.010, 0.034)), np.array((0.050, 0.042, 0.056))
    canvas.glow[rows] = (skyline + (zenith - skyline) * height[..., None]) * (1 + 0.8 * veil[..., None])
    canvas.heat[rows] = 3.0 - 26.0 * height + 5.0 * veil
    star = 0.5 * min(1.0, canvas.focal / 1024) ** 2
    for across, above, strength in rng.uniform((-1.0, 0.12, 0.2), (1.0, 0.9, 1.0), (260, 3)):
        column, row = canvas.centre[0] + canvas.focal * across, canvas.centre[1] - canvas.focal * above
        if row >= 0 and 0 <= column < canvas.right.size:
            canvas.glow[int(row) : int(row) + 2, int(column) : int(column) + 2] += star * strength**4
    moon = np.hypot(canvas.right + 0.10, up - 0.345) < 0.021
    face = 0.55 + 0.13 * sample(clouds, up * 3000, canvas.right * 3000 + 9000)
    canvas.glow[rows][moon] = (face[..., None] * np.array((1.5, 1.4, 1.2)))[moon]
    canvas.heat[rows][moon] += 9.0


def paint_street_end(canvas: Canvas, rng: np.random.Generator) -> None:
    """Houses across the end of the street."""

    def block(left: float, right: float, bottom: float, top: float, material: Material) -> None:
        corners = ((left, bottom), (right, bottom), (right, top), (left, top))
        canvas.fill([(x, y, STREET_END) for x, y in corners], material)

    edges = (-STREET_HALF_WIDTH, -1.6, 2.8, STREET_HALF_WIDTH)
    for left, right in pairwise(edges):
        top = rng.uniform(7.5, 11.0)
        block(left, right, 0.0, top, Material((0.16, 0.14, 0.13), AIR_TEMPERATURE + rng.uniform(-2, 0)))
        for x in np.arange(left + 0.5, right - 0.9, 1.2):
            for y in np.arange(1.2, top - 1.8, 2.6):
                glow = (0.9, 0.6, 0.28) if rng.random() < 0.35 else (0.002, 0.003, 0.005)
                block(x, x + 0.7, y, y + 1.3, Material((0.03, 0.03, 0.04), 12.0, glow))


def paint_houses(canvas: Canvas, rng: np.random.Generator, grain: Array, clouds: Array, side: int) -> None:
    """The row of houses on one side (-1 left, 1 right): brick or plaster, windows dark and lit, doors."""
    edges = np.concatenate(([0.0, 7.6], 7.6 + np.cumsum(rng.uniform(6.4, 8.8, 12)))).astype(np.float32)
    count = len(edges) - 1
    wall = (rng.integers(len(WALLS)) + 2 * np.arange(count)) % len(WALLS)
    floors, doors = rng.integers(2, FLOORS, count), rng.integers(0, 3, count)
    tops = (floors * STOREY + 0.9).astype(np.float32)
    warmth = rng.uniform(-1.3, 1.3, count).astype(np.float32)
    tints = WINDOW_TINTS[rng.choice(len(WINDOW_TINTS), (count, FLOORS, BAYS), p=(0.4, 0.3, 0.2, 0.1))]
    lamps = rng.uniform(0.25, 1.0, (count, FLOORS, BAYS)).astype(np.float32)
    lamps *= rng.random((count, FLOORS, BAYS)) < 0.3
    if side < 0:
        lamps[:2, 0] = 0  # dark ground floors, before which people go unseen

    # The wall's depth, and with it the house, is one and the same down each column of pixels.
    reach = np.abs(canvas.right[0])
    columns = np.nonzero((np.sign(canvas.right[0]) == side) & (reach > STREET_HALF_WIDTH / STREET_END))[0]
    span = slice(columns[0], columns[-1] + 1)
    reach = reach[span]
    depth = STREET_HALF_WIDTH / reach
    house = np.clip(np.searchsorted(edges, depth, side="right") - 1, 0, count - 2)
    along = depth - edges[house]
    pitch = np.diff(edges) / np.round(np.diff(edges) / 2.3)
    bay = np.clip((along / pitch[house]).astype(int), 0, BAYS - 1)
    beside = np.abs(along - (bay + np.float32(0.5)) * pitch[house])[None, :]
    y = EYE_HEIGHT + canvas.up * depth
    top = tops[house]
    floor = np.clip((y / STOREY).astype(np.int32), 0, FLOORS - 1)
    above = y - floor.astype(np.float32) * np.float32(STOREY) - 1.65  # the middle of the windows

    crisp = np.clip((26 - depth) / 14, 0, 1) * np.where(BRICK_WALLS[wall[house]], 1, 0).astype(np.float32)
    course = np.floor(y / 0.115)
    brick = along / np.float32(0.36) + 0.5 * (course % 2)
    tone = sample(grain, course * 37, np.floor(brick) * 71) * crisp
    joint = (y / 0.115 - course < 0.14) | (brick - np.floor(brick) < 0.05)
    stain = sample(clouds, y * 60, along * 60 + 140 * house)
    texture = np.clip((1 + 0.16 * tone) * (1 + 0.35 * joint * crisp) * (1 + 0.12 * stain), 0.3, 2)
    colour = WALLS[wall[house]] * texture[..., None]
    heat = AIR_TEMPERATURE + warmth[house] + 0.55 * stain - 0.16 * y + 0.25 * tone
    glow = np.zeros_like(colour)

    def put(where: Mask, shade: Colour, temperature: float) -> None:
        colour[where] = shade
        heat[where] = temperature

    ledge = np.abs(above + 1.53) < 0.09
    colour[ledge] *= 1.35
    heat[ledge] += 1.1
    put(y < 0.55, (0.10, 0.095, 0.09), 10.6)
    put(y > top - 0.35, (0.12, 0.11, 0.10), 8.0)
    is_door = (floor == 0) & (bay == doors[house])[None, :]
    is_window = (floor < floors[house][None, :]) & ~is_door
    strength = lamps[house[None, :], floor, bay[None, :]] * is_window
    put(is_window & (beside < 0.62) & (np.abs(above) < 0.86), STONE, 9.6)
    put(is_window & (beside < 0.70) & (np.abs(above + 0.92) < 0.07), STONE, 9.0)
    heat[(strength > 0) & (beside < 0.6) & (np.abs(above + 1.25) < 0.25)] += 1.2  # a radiator behind the wall
    pane = is_window & (beside < 0.52) & (np.abs(above) < 0.76)
    put(pane, (0.02, 0.024, 0.03), 12.2)
    glow[pane] = (0.0015, 0.0022, 0.004)
    lit = pane & (strength > 0)
    shine = strength * np.where(beside > 0.33, 0.55, 1) * (0.78 + 0.3 * above) * (1 + 0.12 * stain)
    glow[lit] = shine[lit][:, None] * tints[house[None, :], floor, bay[None, :]][lit]
    heat[lit] += 2.2
    bars = pane & ((beside < 0.035) | (np.abs(above - 0.25) < 0.03))
    put(bars, STONE, 10.0)
    glow[bars] *= 0.15
    put(is_door & (beside < 0.62) & (y < 2.35), STONE, 9.8)
    put(is_door & (beside < 0.50) & (y < 2.2), (0.06, 0.035, 0.025), 12.6)

    seen = (y >= 0) & (y < top)
    canvas.colour[:, span][seen], canvas.glow[:, span][seen] = colour[seen], glow[seen]
    canvas.heat[:, span][seen], canvas.depth[:, span][seen] = (
        heat[seen],
        np.broadcast_to(depth, y.shape)[seen],
    )
    canvas.normal[:, span][seen] = (-side, 0, 0)
    # Above a roof the gable of the next, taller house may show.
    behind = edges[house + 1]
    gable = (y >= top) & (EYE_HEIGHT + canvas.up * behind < tops[house + 1]) & (reach * behind < 13)
    across = np.nonzero(gable)[1]
    canvas.colour[:, span][gable], canvas.glow[:, span][gable] = 0.7 * WALLS[wall[house + 1]][across], 0
    canvas.heat[:, span][gable], canvas.depth[:, span][gable] = (
        (8.6 + warmth[house + 1])[across],
        behind[across],
    )
    canvas.normal[:, span][gable] = (0, 0, -1)


def paint_ground(canvas: Canvas, grain: Array, clouds: Array) -> None:
    """Wet road with worn markings, kerbs, pavements. Paint is as warm as asphalt, tyre tracks are warmer."""
    rows = slice(int(np.argmax(canvas.up[:, 0] < -EYE_HEIGHT / STREET_END)), canvas.up.size)
    z = EYE_HEIGHT / -canvas.up[rows]
    x = canvas.right * z
    beside = np.abs(x)
    near = np.clip(1 - z / 30, 0, 1)
    fine = sample(grain, z * 190, x * 190 + 90000) * near
    coarse = sample(clouds, z * 45, x * 70 + 90000)
    off_road, kerb = beside > KERB, np.abs(beside - KERB) < 0.08
    manhole = np.hypot(x - 0.75, z - 7.9) < 0.36
    wet = np.clip(0.45 + 0.6 * coarse, 0.12, 1) * np.where(off_road, np.float32(0.4), np.float32(1))

    shade = np.where(off_road, np.float32(0.13), np.float32(0.062))
    shade *= np.clip(1 + 0.22 * fine + 0.10 * coarse, 0.3, 2.5) * (1 - 0.35 * wet)
    joint = off_road & ((np.mod(z, 0.6) < 0.03) | (np.mod(x, 0.6) < 0.025))
    shade *= 1 - 0.45 * near * joint
    shade[kerb] = 0.19
    crossing = np.abs(z - 5.4)
    zebra = (crossing < 1.1) & (beside < 3.0) & (np.mod(x + 0.25, 1.0) < 0.5)
    dashes = (beside < 0.07) & (z > 8.4) & (np.mod(z - 8.4, 5.0) < 2.6)
    edge = (np.abs(beside - 3.05) < 0.05) & (crossing > 1.6)
    stop = (np.abs(z - 7.4) < 0.2) & (np.abs(x + 1.55) < 1.45)
    paint = (zebra | dashes | edge | stop) & (fine + 0.8 * coarse < 1.6)
    shade = np.where(paint, 0.30 * (1 + 0.15 * fine), shade)
    shade[manhole] *= 0.6

    tracks = np.exp(-(((beside - 0.85) / 0.2) ** 2)) + np.exp(-(((beside - 2.35) / 0.2) ** 2))
    heat = np.where(off_road, np.float32(11.2), 12.4 + 1.2 * tracks) + 0.5 * coarse + 0.1 * fine
    heat += 0.6 * kerb - 1.6 * np.clip(wet - 0.6, 0, 1)  # puddles mirror the cold sky
    heat[manhole] = 15.5

    cosine = EYE_HEIGHT / np.sqrt(x**2 + z**2 + EYE_HEIGHT**2)
    gloss = (0.02 + 0.98 * (1 - cosine) ** 5) * wet  # Schlick's approximation of Fresnel's law
    # The mirrored ray from the ground meets the wall in its own column of pixels.
    wall = np.minimum(STREET_HALF_WIDTH / np.maximum(np.abs(canvas.right), 1e-6), STREET_END)
    mirrored = np.zeros((*x.shape, 3), np.float32)
    pixels, column = canvas.glow.reshape(-1, 3), np.arange(x.shape[1])[None, :]
    ripples = (-0.14, -0.05, 0.05, 0.14)
    for ripple in ripples:
        slope = -canvas.up[rows] * (1 + ripple + 0.02 * fine) - 2 * EYE_HEIGHT / wall
        source = np.clip(canvas.centre[1] - canvas.focal * slope, 0, rows.start - 1).astype(np.int32)
        mirrored += pixels.take(source * x.shape[1] + column, axis=0)

    seen = beside <= STREET_HALF_WIDTH
    canvas.colour[rows][seen] = shade[seen][:, None] * np.array((0.97, 0.99, 1.0), np.float32)
    canvas.glow[rows][seen] = mirrored[seen] * (gloss[seen] / len(ripples))[:, None]
    canvas.heat[rows][seen], canvas.gloss[rows][seen] = heat[seen], gloss[seen]
    canvas.depth[rows][seen] = np.broadcast_to(z, x.shape)[seen]
    canvas.normal[rows][seen] = (0, 1, 0)


def paint_objects(canvas: Canvas, rng: np.random.Generator) -> dict[int, bool]:
    """All that stands in the street, far things first; returns each person's label and whether hidden."""
    hidden: dict[int, bool] = {}
    standing: list[tuple[float, Callable[[], None]]] = []
    shift = int(rng.integers(len(DARK_OUTFITS)))
    for index, (low, high, is_hidden) in enumerate(PLACES):
        label = index + 1
        x, z = (float(value) for value in rng.uniform(low, high))
        walk = Walk(float(rng.choice((-1, 1)) * rng.uniform(0.35, 0.9)), float(rng.uniform(1.62, 1.84)))
        outfits = DARK_OUTFITS if is_hidden else BRIGHT_OUTFITS
        outfit = outfits[(index + shift) % len(outfits)]
        hidden[label] = is_hidden
        standing.append((z, partial(paint_person, canvas, x, z, outfit, walk, label)))
        if index == DOG_WALKER:
            z -= 0.1
            standing.append((z, partial(paint_dog, canvas, x - 0.95, z, (x - 0.2, 0.85, z), DOG_LABEL)))
    for x, z, works in LAMPS:
        standing.append((z, partial(paint_lamp, canvas, x, z, works)))
    for x, z, paint, driving in CARS:
        standing.append((z, partial(paint_car, canvas, x, z, paint, driving)))
    standing.append((CAFE_DISTANCE, partial(paint_cafe, canvas, CAFE_DISTANCE)))
    canvas.lights.append(Light((2.9, 5.2, 2.8), LAMP_POWER, focus=4))  # a lamp above the image
    for _, paint_it in sorted(standing, key=lambda item: -item[0]):
        paint_it()
    return hidden
