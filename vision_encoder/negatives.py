"""Pictures that are no histology, made by rule, so that the stain head and novelty know what to refuse.

Noise, flat and shaded fields, clouds, printed text, bars, discs, simple likenesses of what is uploaded by
mistake (skin, radiology, land from above), and the photographs that scikit-image ships. Every picture has a
kind and a number; the same two give the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 256
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick", "grass", "gravel")
KINDS = (
    "noise",
    "flat",
    "shade",
    "clouds",
    "grey clouds",
    "text",
    "bars",
    "discs",
    "skin",
    "radiology",
    "land",
    "photograph",
)


def negatives(per_kind: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """`per_kind` pictures of each kind, as (kind, RGB picture of 256 px)."""
    for number, kind in enumerate(KINDS):
        for index in range(per_kind):
            yield kind, negative(kind, np.random.default_rng([seed, number, index]))


def negative(kind: str, rng: np.random.Generator) -> Image.Image:
    """One picture of the kind, RGB, 256 × 256."""
    if kind == "photograph":
        return _photograph(rng)
    if kind in ("text", "discs"):
        return _drawing(kind, rng)
    if kind in _LIKENESSES:
        return Image.fromarray((_LIKENESSES[kind](rng).clip(0, 1) * 255).astype(np.uint8))
    return Image.fromarray((_field(kind, rng).clip(0, 1) * 255).astype(np.uint8))


def _field(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    colour = rng.random(3)
    flat = np.broadcast_to(colour, (SIDE, SIDE, 3))
    if kind == "noise":
        noisy: NDArray[np.float64] = flat + rng.normal(0, rng.uniform(0.05, 0.4), (SIDE, SIDE, 3))
        return noisy
    if kind == "flat":
        even: NDArray[np.float64] = flat + rng.normal(0, 0.004, (SIDE, SIDE, 3))
        return even
    ramp = np.linspace(0, 1, SIDE)
    if kind == "shade":
        across, down = rng.uniform(-1, 1, (2, 3))
        shaded: NDArray[np.float64] = flat + ramp[:, None, None] * down + ramp[None, :, None] * across
        return shaded
    if kind == "bars":
        stripes = np.sin(ramp * rng.uniform(20, 400) + rng.uniform(0, 6))[:, None, None] > 0
        field = np.where(stripes, colour, rng.random(3)) * np.ones((SIDE, SIDE, 1))
        return np.rot90(field, int(rng.integers(2)))
    channels = 1 if kind == "grey clouds" else 3
    return np.broadcast_to(_clouds(channels, rng), (SIDE, SIDE, 3))


def _clouds(channels: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise with a spectrum of 1/fᵃ, as natural scenes have, in [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=(channels, SIDE, SIDE))) / frequency ** rng.uniform(0.8, 2.2)
    field = np.fft.ifft2(spectrum).real
    field -= field.min(axis=(1, 2), keepdims=True)
    field /= field.max(axis=(1, 2), keepdims=True)
    clouds: NDArray[np.float64] = field.transpose(1, 2, 0)
    return clouds


def _ellipse(rng: np.random.Generator) -> NDArray[np.float64]:
    """Distance (256, 256) from a random centre, 1 on a random ellipse."""
    down, across = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    (y, x), (height, width) = rng.uniform(0.4, 0.6, 2), rng.uniform(0.2, 0.48, 2)
    distance: NDArray[np.float64] = np.hypot((down - y) / height, (across - x) / width)
    return distance


def _skin(rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth pale field with a darker, ragged spot and some hairs, as a dermatoscope sees."""
    skin = np.array([rng.uniform(0.7, 0.95), rng.uniform(0.5, 0.75), rng.uniform(0.4, 0.7)])
    spot = skin * rng.uniform(0.25, 0.7, 3)
    edge = _ellipse(rng) + 0.8 * (_clouds(1, rng)[..., 0] - 0.5)
    share = 1 / (1 + np.exp((edge - 0.8) * rng.uniform(4, 30)))[..., None]
    field = skin * (1 - share) + spot * share + 0.15 * (_clouds(1, rng) - 0.5)
    for _ in range(int(rng.integers(0, 5))):
        start, slope = rng.uniform(-SIDE, SIDE), rng.uniform(-2, 2)
        down, across = np.mgrid[0:SIDE, 0:SIDE]
        field[np.abs(down - start - slope * across) < rng.uniform(1, 3)] *= 0.4
    return field


def _radiology(rng: np.random.Generator) -> NDArray[np.float64]:
    """Grey shapes on black: an outline with a bright rim and cloudy inside."""
    distance = _ellipse(rng)
    inside = distance < 1
    grey = inside * (rng.uniform(0.1, 0.4) + rng.uniform(0.2, 0.7) * _clouds(1, rng)[..., 0])
    grey = grey + rng.uniform(0.2, 0.8) * (np.abs(distance - 0.97) < rng.uniform(0.01, 0.05))
    return np.repeat(grey[..., None], 3, axis=2)


def _land(rng: np.random.Generator) -> NDArray[np.float64]:
    """Fields, roofs and a road, seen from above."""
    field = np.array([0.35, 0.4, 0.25]) + 0.3 * (_clouds(3, rng) - 0.5)
    for _ in range(int(rng.integers(4, 40))):
        (y, x), (height, width) = rng.integers(0, SIDE, 2), rng.integers(8, 90, 2)
        field[y : y + height, x : x + width] = rng.uniform(0.15, 0.8) + rng.uniform(-0.1, 0.1, 3)
    field += 0.25 * (_clouds(1, rng) - 0.5) + rng.normal(0, 0.03, field.shape)
    return np.rot90(field, int(rng.integers(4)))


_LIKENESSES = {"skin": _skin, "radiology": _radiology, "land": _land}


def _drawing(kind: str, rng: np.random.Generator) -> Image.Image:
    paper, ink = (tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((200, 256), (0, 120)))
    image = Image.new("RGB", (SIDE, SIDE), paper)
    draw = ImageDraw.Draw(image)
    if kind == "text":
        step = int(rng.integers(11, 30))
        letters = np.array(list("abcdefghij klmnop qrstu vwxyz 0123456789 "))
        for y in range(4, SIDE, step):
            draw.text((6, y), "".join(rng.choice(letters, 44)), fill=ink, font_size=step * 0.8)
        return image
    for _ in range(int(rng.integers(3, 40))):
        (x, y), radius = rng.uniform(0, SIDE, 2), rng.uniform(6, 60)
        fill = tuple(int(v) for v in rng.integers(0, 256, 3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return image


def _photograph(rng: np.random.Generator) -> Image.Image:
    from skimage import data

    image = Image.fromarray(getattr(data, str(rng.choice(PHOTOGRAPHS)))()).convert("RGB")
    side = int(min(image.size) * rng.uniform(0.3, 1))
    left = int(rng.integers(0, image.width - side + 1))
    top = int(rng.integers(0, image.height - side + 1))
    return image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
