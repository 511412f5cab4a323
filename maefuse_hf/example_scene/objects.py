"""What stands in the example street: people, a dog, lamps, cars and a café. Units as on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .canvas import BLACK, Canvas, Colour, Light, Material, Point

STREET_HALF_WIDTH = 5.2
AIR_TEMPERATURE = 10.0
LAMP_POWER: Colour = (24.0, 16.8, 9.1)
NEARLY_BLACK: Colour = (0.02, 0.02, 0.02)
SIGN_LABEL = 255
# Outlines of a car from its near end over the roof to its far end: (metres behind the near end, height).
FRONT_FIRST = (
    (0, 0.24),
    (0, 0.66),
    (0.12, 0.76),
    (1.05, 0.96),
    (1.8, 1.40),
    (3.2, 1.42),
    (3.95, 0.96),
    (4.1, 0.3),
)
REAR_FIRST = (
    (0, 0.26),
    (0, 0.88),
    (0.10, 0.98),
    (0.55, 1.40),
    (2.2, 1.44),
    (3.0, 0.98),
    (4.0, 0.74),
    (4.1, 0.3),
)
BELT_HEIGHT = 0.97
TURN = np.linspace(0, 2 * np.pi, 20, endpoint=False)
CIRCLE = tuple(zip(np.cos(TURN).tolist(), np.sin(TURN).tolist(), strict=True))


@dataclass(frozen=True)
class Outfit:
    """Colours of a person's clothes; a thermal camera sees none of them."""

    coat: Colour
    trousers: Colour
    hair: Colour = (0.03, 0.02, 0.015)
    bag: bool = False
    faces_camera: bool = True


@dataclass(frozen=True)
class Walk:
    """`stride` in [-1, 1] opens the step, its sign is the way the person goes; `height` in metres."""

    stride: float
    height: float


def paint_person(canvas: Canvas, x: float, z: float, outfit: Outfit, walk: Walk, label: int) -> None:
    """A person whose head and hands are warmest and whose coat is coolest."""
    size = walk.height / 1.75
    ahead = 1.0 if walk.stride >= 0 else -1.0
    step = abs(walk.stride)
    skin, hair = Material((0.20, 0.13, 0.09), 33.5), Material(outfit.hair, 27.0)
    coat, trousers = Material(outfit.coat, 22.5), Material(outfit.trousers, 24.0)
    shoe = Material(NEARLY_BLACK, 17.0)
    canvas.stain_ground(x, z, 0.33, 0.28, shade=0.6, warmth=0.5)

    def limb(joints: Sequence[tuple[float, float]], radii: Sequence[float], material: Material) -> None:
        points = [(x + ahead * across * size, up * size, z) for across, up in joints]
        for index in range(len(points) - 1):
            ends = (radii[index] * size, radii[index + 1] * size)
            canvas.limb(points[index], points[index + 1], ends, material, label)

    def leg(side: float, swing: float) -> None:
        hip, knee = (0.075 * side, 0.90), (0.085 * side + 0.13 * swing + 0.05 * step, 0.50)
        ankle = (0.09 * side + 0.27 * swing - 0.04 * step, 0.09 + 0.05 * max(0.0, -swing))
        limb((hip, knee, ankle), (0.098, 0.072, 0.052), trousers)
        limb((ankle, (ankle[0] + 0.05 + 0.09 * step, ankle[1] - 0.045)), (0.05, 0.042), shoe)

    def arm(side: float, swing: float) -> None:
        shoulder, elbow = (0.16 * side, 1.335), (0.235 * side + 0.10 * swing, 1.13)
        wrist = (0.215 * side + 0.22 * swing + 0.05 * step, 0.88 + 0.05 * abs(swing))
        limb((shoulder, elbow, wrist), (0.068, 0.056, 0.043), replace(coat, heat=21.0))
        limb((wrist, (wrist[0] + 0.01, wrist[1] - 0.07)), (0.042, 0.036), replace(skin, heat=30.5))

    leg(-1, -step)
    arm(-1, step)
    leg(1, step)
    for side in (-1, 1):
        limb(((0.045 * side, 1.28), (0.04 * side, 1.02), (0.05 * side, 0.84)), (0.135, 0.118, 0.122), coat)
        limb(((0.0, 1.43), (0.15 * side, 1.345)), (0.062, 0.064), coat)
    limb(((0.01, 1.18), (0.01, 1.32)), (0.07, 0.06), replace(coat, heat=26.0))
    limb(((0.0, 1.46), (0.015, 1.56)), (0.055, 0.052), skin)
    limb(((0.018, 1.605), (0.02, 1.66)), (0.080, 0.090), skin)
    if outfit.faces_camera:
        limb(((-0.035, 1.70), (0.04, 1.712)), (0.062, 0.052), hair)
    else:
        limb(((0.018, 1.62), (0.02, 1.665)), (0.084, 0.093), hair)
    arm(1, -step)
    if outfit.bag:
        limb(((-0.24, 0.95), (-0.24, 0.80)), (0.10, 0.12), Material((0.03, 0.02, 0.015), 13.0))
    canvas.round_off(label, radius=0.05, cooling=6.0)


def paint_dog(canvas: Canvas, x: float, z: float, hand: Point, label: int) -> None:
    """A dog that looks to the right, on a lead from `hand`."""
    coat = Material((0.045, 0.03, 0.02), 27.0)
    leg, face = replace(coat, heat=24.5), replace(coat, heat=30.5)
    canvas.stain_ground(x, z, 0.45, 0.25, shade=0.5, warmth=0.4)
    canvas.limb((x + 0.26, 0.58, z), hand, (0.008, 0.008), Material(NEARLY_BLACK, AIR_TEMPERATURE))
    for hip, paw in ((-0.27, -0.33), (-0.22, -0.17), (0.22, 0.15), (0.25, 0.32)):
        canvas.limb((x + hip, 0.42, z), (x + paw, 0.04, z), (0.065, 0.032), leg, label)
    canvas.limb((x - 0.28, 0.50, z), (x - 0.52, 0.68, z), (0.04, 0.02), leg, label)
    canvas.limb((x - 0.26, 0.48, z), (x + 0.24, 0.50, z), (0.13, 0.15), coat, label)
    canvas.limb((x + 0.26, 0.54, z), (x + 0.38, 0.72, z), (0.10, 0.08), coat, label)
    canvas.limb((x + 0.40, 0.75, z), (x + 0.56, 0.70, z), (0.085, 0.045), face, label)
    canvas.limb((x + 0.35, 0.80, z), (x + 0.32, 0.89, z), (0.035, 0.015), coat, label)
    canvas.round_off(label, radius=0.04, cooling=4.0)


def paint_lamp(canvas: Canvas, x: float, z: float, works: bool) -> None:
    """A street lamp at the kerb whose arm reaches over the road."""
    head = x - 1.1 * float(np.sign(x))
    steel = Material((0.06, 0.065, 0.07), 8.5)
    canvas.limb((x, 0.0, z), (x, 5.15, z), (0.075, 0.05), steel)
    canvas.limb((x, 5.15, z), (head, 5.35, z), (0.045, 0.035), steel)
    cover = replace(steel, heat=30.0 if works else 7.5)
    canvas.limb((head - 0.22, 5.36, z), (head + 0.22, 5.36, z), (0.09, 0.09), cover)
    if works:
        bulb = Material(BLACK, 48.0, (9.0, 6.6, 3.9))
        canvas.limb((head - 0.18, 5.29, z), (head + 0.18, 5.29, z), (0.06, 0.06), bulb)
        canvas.lights.append(Light((head, 5.25, z), LAMP_POWER, focus=4, mirrored=1.0, cone=0.2))


def paint_car(canvas: Canvas, x: float, z: float, paint: Colour, driving: bool) -> None:
    """A car whose near end is at z: oncoming with lights on and a warm engine, or parked, from behind."""
    outline = FRONT_FIRST if driving else REAR_FIRST
    towards_middle = -float(np.sign(x))
    body = Material(paint, 13.0 if driving else 8.6)
    glass = Material((0.02, 0.025, 0.03), 9.5 if driving else 5.0)  # opaque to a thermal camera
    dark = Material((0.03, 0.03, 0.032), 15.0 if driving else 9.8)
    tyre = Material((0.012, 0.012, 0.012), 29.0 if driving else 11.0)
    rim = Material((0.10, 0.10, 0.11), tyre.heat - 2.0)
    canvas.stain_ground(x, z + 2.0, 1.0, 2.3, shade=0.8, warmth=3.0 if driving else -0.5)

    def half_width(height: float) -> float:
        return 0.86 - 0.42 * max(0.0, height - BELT_HEIGHT)

    def flank(points: Sequence[tuple[float, float]], material: Material) -> None:
        canvas.fill([(x + towards_middle * half_width(up), up, z + along) for along, up in points], material)

    def across(lower: tuple[float, float], upper: tuple[float, float], inset: float, material: Material) -> None:
        (near, low), (far, high) = lower, upper
        bottom, top = half_width(low) - inset, half_width(high) - inset
        near_corners = [(x - bottom, low, z + near), (x + bottom, low, z + near)]
        canvas.fill([*near_corners, (x + top, high, z + far), (x - top, high, z + far)], material)

    def bar(left: float, right: float, height: float, radius: float, material: Material) -> None:
        canvas.limb((x + left, height, z - 0.01), (x + right, height, z - 0.01), (radius, radius), material)

    flank(outline, body)
    roof = [along for along, up in outline if up > 1.3]
    belt = [along for along, up in outline if abs(up - BELT_HEIGHT) < 0.02]
    flank(((belt[0] + 0.22, 1.0), (roof[0] + 0.14, 1.36), (roof[1] - 0.10, 1.36), (belt[1] - 0.25, 1.0)), glass)
    pillar = sum(roof) / 2
    flank(((pillar, 1.0), (pillar, 1.36), (pillar + 0.08, 1.36), (pillar + 0.08, 1.0)), body)
    for axle in (0.72, 3.35):
        for radius, part in ((0.37, dark), (0.31, tyre), (0.17, rim)):
            flank([(axle + radius * c, 0.31 + radius * s) for c, s in CIRCLE], part)
    for lower, upper in pairwise(outline):
        across(lower, upper, 0.0, body)
        if min(lower[1], upper[1]) > 0.95 and abs(lower[1] - upper[1]) > 0.2:
            across(lower, upper, 0.07, glass)
    for wheel in (-0.68, 0.68):
        canvas.limb((x + wheel, 0.11, z), (x + wheel, 0.30, z), (0.11, 0.11), tyre)
    bar(-0.76, 0.76, 0.36, 0.11, dark)
    if driving:
        across((0.13, 0.762), (1.03, 0.957), 0.04, replace(body, heat=24.0))
        across((0.14, 0.764), (1.02, 0.955), 0.28, replace(body, heat=28.0))
        bar(-0.34, 0.34, 0.54, 0.08, replace(dark, heat=33.0))
        for middle in (-0.64, 0.64):
            bar(middle - 0.09, middle + 0.09, 0.60, 0.075, Material(BLACK, 30.0, (30.0, 30.0, 32.0)))
            beam = Light((x + middle, 0.60, z - 0.05), (60.0, 60.0, 64.0), (0.0, -0.1, -0.995), focus=16)
            canvas.lights.append(replace(beam, mirrored=2.0, glare=1.6))
    else:
        across((0.16, 1.03), (0.48, 1.34), 0.13, replace(glass, glow=(0.006, 0.009, 0.014)))
        bar(-0.80, 0.80, 0.45, 0.02, replace(dark, colour=(0.25, 0.25, 0.25)))
        plate = [(x + side * 0.28, up, z - 0.01) for side, up in ((-1, 0.56), (1, 0.56), (1, 0.71), (-1, 0.71))]
        canvas.fill(plate, Material((0.55, 0.55, 0.50), 8.0, (0.12, 0.11, 0.09)))
        canvas.write("MF 1044", (x - 0.24, 0.58, z - 0.01), 0.48, 0.11, Material((0.02, 0.02, 0.03), 8.0))
        for middle in (-0.70, 0.70):
            bar(
                middle - 0.05,
                middle + 0.05,
                0.80,
                0.07,
                Material((0.40, 0.02, 0.015), 12.5, (0.8, 0.03, 0.015)),
            )
        canvas.lights.append(Light((x, 0.8, z - 0.1), (0.10, 0.004, 0.002)))


def paint_cafe(canvas: Canvas, z: float) -> None:
    """A café on the right-hand side that is open: window, door, awning and a lit sign over the pavement."""
    wall = STREET_HALF_WIDTH - 0.01

    def front(near: float, far: float, bottom: float, top: float, material: Material) -> None:
        corners = ((near, bottom), (far, bottom), (far, top), (near, top))
        canvas.fill([(wall, up, z + along) for along, up in corners], material)

    def inside(red: float, green: float, blue: float) -> Material:
        # Whatever is lit behind the glass, a thermal camera sees the glass.
        return Material(NEARLY_BLACK, 15.8, (red, green, blue))

    frame = Material((0.03, 0.025, 0.02), 12.0)
    front(-1.6, 4.0, 0.0, 2.9, Material((0.05, 0.07, 0.06), 11.5))
    front(-1.3, 2.5, 0.5, 2.35, frame)
    for index, shade in enumerate((0.85, 1.0, 0.75)):
        near = 1.26 * index - 1.25
        front(near, near + 1.18, 0.55, 2.3, inside(0.80 * shade, 0.50 * shade, 0.22 * shade))
        front(near, near + 1.18, 1.6, 2.3, inside(1.10 * shade, 0.72 * shade, 0.34 * shade))
        canvas.fill([(wall, 1.98 + 0.13 * s, z + near + 0.6 + 0.18 * c) for c, s in CIRCLE], inside(2.6, 2.1, 1.3))
    for seat in (-0.75, 0.38, 2.05):
        canvas.fill([(wall, 0.92 + 0.36 * s, z + seat + 0.26 * c) for c, s in CIRCLE], inside(0.10, 0.05, 0.03))
        canvas.fill([(wall, 1.37 + 0.13 * s, z + seat + 0.12 * c) for c, s in CIRCLE], inside(0.12, 0.06, 0.035))
    for table in (-1.25, 0.01, 1.27):
        front(table, table + 1.18, 0.55, 0.95, inside(0.28, 0.14, 0.06))
    front(2.75, 3.75, 0.05, 2.3, replace(frame, heat=15.0))
    front(2.90, 3.60, 0.9, 2.15, inside(0.7, 0.45, 0.2))
    for index in range(8):
        near, far = z - 1.5 + index * 0.5, z - 1.0 + index * 0.5
        cloth = Material((0.30, 0.05, 0.04) if index % 2 else (0.45, 0.42, 0.36), 9.0)
        canvas.fill([(wall, 2.85, near), (wall, 2.85, far), (wall - 0.8, 2.4, far), (wall - 0.8, 2.4, near)], cloth)

    left, bottom, width, height = wall - 1.75, 3.0, 1.6, 1.25
    for inset, glow in ((0.0, BLACK), (0.06, (1.3, 0.16, 0.10)), (0.11, (0.015, 0.05, 0.06))):
        x0, x1, y0, y1 = left + inset, left + width - inset, bottom + inset, bottom + height - inset
        outline = ((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z))
        canvas.fill(outline, Material(NEARLY_BLACK, 13.0, glow), SIGN_LABEL)
    canvas.write("CAFE", (left + 0.2, bottom + 0.58, z), width - 0.4, 0.48, Material(BLACK, 13.0, (2.4, 1.9, 1.1)))
    canvas.write("24h", (left + 0.45, bottom + 0.17, z), width - 0.9, 0.31, Material(BLACK, 13.0, (0.25, 1.5, 1.6)))
    canvas.lights.append(Light((wall - 0.9, 3.6, z - 0.2), (0.9, 0.4, 0.3), mirrored=0.8))
    for along in (-0.4, 1.6):
        spill = Light((wall - 0.25, 1.6, z + along), (2.4, 1.6, 0.75), (-0.98, -0.2, 0.0), focus=1)
        canvas.lights.append(replace(spill, mirrored=0.35))
