"""Plain images (JPEG, PNG, one-page TIFF and the like) as slides of one level, through Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import NotASlide, SlideDamaged, SlideRefused
from ..geometry import Size
from ..slide import Pixels
from .source import Source

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM")
"""What Pillow may decode; others (EPS, PDF, icons) start programs or are no pictures of tissue."""

LARGEST = 100_000_000
"""Pixels; decoded whole it stays in memory at 4 bytes a pixel."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `LARGEST` decides, with one sentence

_TOO_LARGE = "a plain image of more than 100 Mpx is not decoded whole: save it as a tiled pyramidal TIFF"

_DAMAGED = "the image is cut short or damaged: export or copy it again"

_MARKS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")

_BROKEN = (OSError, ValueError, TypeError, LookupError, OverflowError, SyntaxError)
"""What Pillow raises for damaged headers."""

_DEEP = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}


class RasterReader:
    """One plain image, decoded at the first read and kept until closed.

    Raises `NotASlide` for content Pillow does not know, `SlideRefused` above `LARGEST` pixels.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._image: Image.Image | None = None
        self._lock = Lock()
        with _open(path) as image:
            if image.width * image.height > LARGEST:
                raise SlideRefused(_TOO_LARGE)
            try:
                self._turned = _orientation(image)
                conditions = _conditions(image, self._turned)
            except _BROKEN as error:
                raise SlideDamaged(_DAMAGED) from error
            size = Size(*image.size)
            if self._turned in (5, 6, 7, 8) and image.format != "TIFF":  # Pillow has swapped a TIFF's sides already
                size = Size(size.height, size.width)
            self.source = Source(kind=_kind(image), level_sizes=(size,), in_memory=True, conditions=conditions)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Pixels:
        """RGB pixels of a window."""
        with self._lock:
            if self._image is None:
                self._image = _decode(self._path, self._turned)
            return np.asarray(self._image.crop((x, y, x + width, y + height)))

    def close(self) -> None:
        """Forgets the pixels."""
        with self._lock:
            self._image = None


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            if file.read(16).startswith(_MARKS):
                raise SlideDamaged(_DAMAGED) from error
        raise NotASlide("the content is neither a slide nor an image that can be opened") from error
    except Image.DecompressionBombError as error:
        raise SlideRefused(_TOO_LARGE) from error
    except _BROKEN as error:
        raise SlideDamaged(_DAMAGED) from error


def _kind(image: Image.Image) -> str:
    return "JPEG image" if image.format == "MPO" else f"{image.format} image"


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking further would decode the whole image
    tags = image.tag_v2 if image.format == "TIFF" else image.getexif()  # type: ignore[attr-defined]
    return int(tags.get(0x0112, 1) or 1)


def _conditions(image: Image.Image, turned: int) -> tuple[str, ...]:
    said = [f"A plain {_kind(image)}, not a whole-slide file: one level, nothing known of the scanner."]
    mode = image.mode
    if turned in range(2, 9):
        said.append("Turned upright by its EXIF orientation tag.")
    if mode in _DEEP:
        depth = "16-bit" if mode.startswith("I;16") else "32-bit"
        said.append(
            f"A {depth} greyscale image, scaled to 8 bits for display: not a colour slide, "
            "for viewing only; no stain, no H&E answers, no triage."
        )
    elif mode in {"1", "L", "LA", "La"}:
        said.append("A greyscale image, not a colour slide: answers about stain and H&E do not apply.")
    elif mode in {"CMYK", "LAB", "YCbCr", "HSV"}:
        said.append(f"Converted from {mode}: colours are not calibrated.")
    elif mode in {"P", "PA"}:
        colours = len(image.getpalette() or ()) // 3
        said.append(f"Converted from a palette of {colours} colours: fine colour differences are lost.")
    if mode in _TRANSPARENT or "transparency" in image.info:
        said.append("Transparent parts are laid on white.")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        said.append(f"{frames} pages or frames, not a pyramid: the first is shown.")
    return tuple(said)


def _decode(path: Path, turned: int) -> Image.Image:
    with _open(path) as image:
        image.load()
        if image.format != "TIFF" and turned != 1:  # Pillow turns a TIFF itself while loading
            ImageOps.exif_transpose(image, in_place=True)
        if image.mode in _DEEP:
            return _scaled(image)
        if image.mode in _TRANSPARENT or "transparency" in image.info:
            rgba = image.convert("RGBA")
            plain = Image.new("RGB", rgba.size, (255, 255, 255))
            plain.paste(rgba, mask=rgba.getchannel("A"))
            return plain
        return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    """8-bit grey between the 0.1st and 99.9th percentile; a plain cast shows 12-bit data black."""
    values = np.asarray(image).astype(np.float32)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite[:: max(1, finite.size // 4_000_000)], (0.1, 99.9)) if finite.size else (0, 1)
    span = float(high - low) or 1.0
    grey = np.nan_to_num((values - low) * (255.0 / span), nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
