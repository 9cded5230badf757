"""Pictures made by rule: glass, noise, what is no tissue, tissue-like fields, and words written into a picture."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from vision_encoder.negatives import KINDS, negative

from .cases import Case

SIDE = 512
SEED = 90_000
"""Far from the seeds that heads learned to refuse by."""
GLASS = ((255, 255, 255), (243, 241, 243), (230, 228, 222), (250, 244, 232), (0, 0, 0), (128, 128, 128))
INK = {"black": (0, 0, 0), "white": (255, 255, 255)}


def blanks() -> list[Case]:
    """Empty glass in several whites, black, grey, and glass with a little grain."""
    made = [_made(f"blank {colour}", "blank", partial(_flat, colour)) for colour in GLASS]
    return [*made, *(_made(f"grainy glass {seed}", "blank", partial(_grainy, seed)) for seed in range(3))]


def noises(count: int = 12) -> list[Case]:
    """Noise of several kinds: uniform, of one colour's spread, coarse, and that of shuffled tissue colours."""
    kinds = ("uniform", "gaussian", "coarse", "pink")
    return [_made(f"{kinds[i % 4]} noise {i}", "noise", partial(_noise, kinds[i % 4], SEED + i)) for i in range(count)]


def not_tissue(per_kind: int = 2) -> list[Case]:
    """Photographs, printed text, clouds, bars, likenesses of radiology, skin and land, all made by rule."""
    return [
        _made(f"{kind} {index}", kind, partial(_negative, kind, index))
        for kind in KINDS
        if kind not in ("flat", "noise")
        for index in range(per_kind)
    ]


def tissue_like(count: int = 4) -> list[Case]:
    """Fields that look like stained tissue to the rules of tissue and colour; they show no real organ."""
    return [_made(f"field {seed}", "field", partial(paint_field, SIDE, seed)) for seed in range(count)]


def _made(name: str, about: str, paint: partial[Image.Image]) -> Case:
    return Case(f"made/{name}", f"made/{name}", "made", about, {}, paint)


def _flat(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), colour)


def _grainy(seed: int) -> Image.Image:
    grain = np.random.default_rng(SEED + seed).normal(242, 1.5 + seed, (SIDE, SIDE, 3))
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8))


def _noise(kind: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
    if kind == "coarse":
        small = Image.fromarray(rng.integers(0, 256, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8))
        return small.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    middle = (205, 150, 195) if kind == "pink" else rng.integers(60, 200, 3)
    grain = rng.normal(middle, 40, (SIDE, SIDE, 3))
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8))


def _negative(kind: str, index: int) -> Image.Image:
    return negative(kind, np.random.default_rng([SEED, KINDS.index(kind), index]))


def paint_field(side: int, seed: int) -> Image.Image:
    """An H&E-like field (side, side): rings of purple nuclei around pale lumina in pink stroma."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), (228, 172, 204))
    draw = ImageDraw.Draw(image)
    for _ in range(4 + seed % 3):
        x, y, radius = *rng.uniform(0.15, 0.85, 2) * side, rng.uniform(0.06, 0.14) * side
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(206, 140, 188))
        draw.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), fill=(246, 243, 246))
        for angle in np.linspace(0, 2 * np.pi, 18, endpoint=False):
            _nucleus(draw, x + 0.75 * radius * np.cos(angle), y + 0.75 * radius * np.sin(angle), rng)
    for _ in range(side * side // 3000):
        _nucleus(draw, rng.uniform(0, side), rng.uniform(0, side), rng)
    grain = rng.normal(0, 6, (side, side, 3))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float32) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _nucleus(draw: ImageDraw.ImageDraw, x: float, y: float, rng: np.random.Generator) -> None:
    a, b = rng.uniform(3, 7, 2)
    draw.ellipse((x - a, y - b, x + a, y + b), fill=(94, 60, 140))


def with_words(image: Image.Image, words: str, place: str) -> Image.Image:
    """The picture with words in it: `banner` on a white strip, `over` in black across the tissue, `faint` unseen.

    A picture under 512 px is enlarged first, as a person would to write on it.
    """
    scale = max(1.0, SIDE / min(image.size))
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    font = ImageFont.load_default(size=18)
    lines = list(_lines(words, max(16, image.width // 10)))
    layer = image.copy()
    draw = ImageDraw.Draw(layer)
    top = 8 if place == "banner" else image.height // 3
    if place == "banner":
        draw.rectangle((0, 0, image.width, 16 + 22 * len(lines)), fill=INK["white"])
    for number, line in enumerate(lines):
        draw.text((10, top + 22 * number), line, fill=INK["black"], font=font)
    return Image.blend(image, layer, 0.06) if place == "faint" else layer


def _lines(words: str, width: int) -> Iterator[str]:
    line = ""
    for word in words.split():
        if line and len(line) + len(word) >= width:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line
