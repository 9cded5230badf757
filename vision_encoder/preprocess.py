"""From a picture of any size and mode to the numbers a network takes; PIL and numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB: transparency laid on white (glass), 16-bit and float grey scaled to 8 bit."""
    if image.mode == "RGB":
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bit(np.asarray(image, dtype=np.float64))).convert("RGB")
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        glass = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(glass, image).convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, side: int, resample: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
    """The centred square of the picture, resampled to side × side px with antialiasing."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    if image.size == (side, side):
        return image
    return image.resize((side, side), resample, box=(left, top, left + short, top + short), reducing_gap=3.0)


def to_planes(
    images: Sequence[Image.Image],
    side: int,
    mean: tuple[float, float, float],
    deviation: tuple[float, float, float],
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Pixels:
    """Pixels float32 (n, side, side, 3), each channel of [0, 1] less `mean`, over `deviation`."""
    stack = np.empty((len(images), side, side, 3), dtype=np.float32)
    for row, image in zip(stack, images, strict=True):
        row[:] = np.asarray(to_square(to_rgb(image), side, resample))
    stack *= np.float32(1 / 255)
    stack -= np.asarray(mean, dtype=np.float32)
    stack /= np.asarray(deviation, dtype=np.float32)
    return stack


def _to_8_bit(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey values of any range as uint8: by 255, 65535 or 1, whichever holds them, else by their own."""
    grey = np.nan_to_num(grey)
    low, high = float(grey.min(initial=0)), float(grey.max(initial=0))
    if low < 0 or high > 65535:
        grey = (grey - low) / max(high - low, 1e-12)
    elif high > 255:
        grey = grey / 65535
    elif high > 1:
        grey = grey / 255
    return (grey * 255).round().astype(np.uint8)
