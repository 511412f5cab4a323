# Copyright 2026 The MaeFuse-HF authors. Licensed under the Apache License, Version 2.0.
"""From a thermal camera's raw values to temperatures.

All temperatures in here are in kelvin. The signal of a black body at T is S(T) = R1 / (R2 (exp(B / T) - F)) - O, with
the camera's calibration constants R1, R2, B, F and O.
"""

from dataclasses import astuple, dataclass

import numpy as np

from .camera_pair import CELSIUS_0


@dataclass(frozen=True)
class Radiometry:
    """The camera's calibration and what its user told it about the scene.

    Attributes:
        r1, r2, b, f, o: constants of S(T).
        emissivity: of the object, above 0 to 1.
        distance: to the object in metres.
        reflected, atmosphere, window: temperatures of what the object reflects, of the air and of a window in front of
            the camera.
        window_transmission: above 0 to 1; 1 without a window.
        humidity: relative, 0 to 1.
        alpha1, alpha2, beta1, beta2, x: constants of the air's transmission.
    """

    r1: float
    r2: float
    b: float
    f: float
    o: float
    emissivity: float
    distance: float
    reflected: float
    atmosphere: float
    window: float
    window_transmission: float
    humidity: float
    alpha1: float
    alpha2: float
    beta1: float
    beta2: float
    x: float

    def is_usable(self) -> bool:
        """Whether temperatures can be computed from these numbers."""
        positive = (
            self.r1,
            self.r2,
            self.b,
            self.emissivity,
            self.reflected,
            self.atmosphere,
            self.window,
            self.window_transmission,
        )
        return bool(np.isfinite(astuple(self)).all()) and min(positive) > 0 and min(self.distance, self.humidity) >= 0


def signal(kelvin: float, radiometry: Radiometry) -> float:
    """S(T) of a black body."""
    return radiometry.r1 / (radiometry.r2 * (np.exp(radiometry.b / kelvin) - radiometry.f)) - radiometry.o


def air_transmission(radiometry: Radiometry) -> float:
    """Transmission of the air between object and camera.

    With water vapour w = humidity exp(1.5587 + 0.06939 t - 2.7816e-4 t² + 6.8455e-7 t³), t in °C, and distance d:
    X exp(-√d (α1 + β1 √w)) + (1 - X) exp(-√d (α2 + β2 √w)).
    """
    celsius = radiometry.atmosphere - CELSIUS_0
    vapour = radiometry.humidity * np.exp(1.5587 + 0.06939 * celsius - 2.7816e-4 * celsius**2 + 6.8455e-7 * celsius**3)
    first, second = (
        np.exp(-np.sqrt(radiometry.distance) * (alpha + beta * np.sqrt(vapour)))
        for alpha, beta in ((radiometry.alpha1, radiometry.beta1), (radiometry.alpha2, radiometry.beta2))
    )
    return radiometry.x * first + (1 - radiometry.x) * second


def raw_to_celsius(raw: np.ndarray, radiometry: Radiometry) -> np.ndarray:
    """Temperatures of objects.

    What reaches the sensor is U = τw (τ (ε S(T) + (1 - ε) S(reflected)) + (1 - τ) S(atmosphere)) + (1 - τw) S(window),
    τ the air's and τw the window's transmission, ε the emissivity. This is solved for T.

    Args:
        raw: (h, w) integers.

    Returns:
        (h, w) float32 in °C; NaN where U is below what any temperature gives.
    """
    air, window, emissivity = air_transmission(radiometry), radiometry.window_transmission, radiometry.emissivity
    behind_window = (raw - (1 - window) * signal(radiometry.window, radiometry)) / window
    behind_air = (behind_window - (1 - air) * signal(radiometry.atmosphere, radiometry)) / air
    own = (behind_air - (1 - emissivity) * signal(radiometry.reflected, radiometry)) / emissivity
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.log(radiometry.r1 / (radiometry.r2 * (own + radiometry.o)) + radiometry.f)
        kelvin = radiometry.b / exponent
    return np.where((own + radiometry.o > 0) & (exponent > 0), kelvin - CELSIUS_0, np.nan).astype(np.float32)
