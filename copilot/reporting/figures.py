"""Pictures of the evidence: where it lies on the slide, and the fields that speak most for it, with scale bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont

from slides import Evidence, Region, Slide, SlideError

from .document import Figure

PICTURED = ("closer_look", "suspicious_fields", "category", "disease", "tissue", "organ")
"""Findings whose strongest fields are shown."""
MOST_FIELDS = 4
"""Fields shown of one slide."""
SIDE = 400
"""Pixels of the longer side of a field."""
OVERVIEW = 640
ROUND = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
"""Lengths of a scale bar, in µm."""
UNKNOWN = "scale not stated by the file"
_INK, _LINE = (20, 24, 30), (0, 90, 200)


def figures(slides: Mapping[str, Slide], evidence: Sequence[Evidence]) -> tuple[Figure, ...]:
    """An overview of each open slide and its telling fields; `slides` by shown name, E1 is `evidence[0]`.

    What cannot be read is left out: a picture is no finding.
    """
    made: list[Figure] = []
    for name, slide in slides.items():
        places = telling_fields(evidence, name)
        letters = {region: chr(ord("A") + n) for n, region in enumerate(places)}
        try:
            if places:
                made.append(_overview(slide, letters))
            made.extend(_field(slide, region, letters[region], cited) for region, cited in places.items())
        except SlideError:
            continue
    return tuple(made)


def telling_fields(evidence: Sequence[Evidence], slide: str) -> dict[Region, tuple[int, ...]]:
    """The strongest fields of one slide's classes with the evidence (from 1) that they speak for."""
    found: dict[Region, list[int]] = {}
    for kind in PICTURED:
        for index, item in enumerate(evidence, 1):
            if item.slide == slide and item.finding.name.split(" ")[0] == kind and item.fields:
                found.setdefault(item.fields[0], []).append(index)
    return {region: tuple(cited) for region, cited in list(found.items())[:MOST_FIELDS]}


def bar_length(width_um: float) -> int:
    """The longest round length in µm that is at most a third of a picture's width."""
    return next((length for length in reversed(ROUND) if length <= width_um / 3), ROUND[0])


def _field(slide: Slide, region: Region, letter: str, cited: tuple[int, ...]) -> Figure:
    """The field with half its size of surroundings on each side, as far as the slide goes."""
    wide = Region(
        region.x - region.width // 2, region.y - region.height // 2, region.width * 2, region.height * 2
    ).clamp(slide.size)
    shown = wide or region
    scale = SIDE / max(shown.width, shown.height)
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    picture = Image.fromarray(slide.read_size(shown, size))
    _box(picture, region, shown, scale, letter)
    said = _scale_bar(picture, slide.mpp, 1 / scale)
    return Figure(slide.name, shown, f"{slide.name}, field {letter}", said, cited, _jpeg(picture))


def _overview(slide: Slide, letters: Mapping[Region, str]) -> Figure:
    picture = Image.fromarray(slide.thumbnail(OVERVIEW))
    scale = picture.width / slide.bounds.width
    for region, letter in letters.items():
        _box(picture, region, slide.bounds, scale, letter)
    said = _scale_bar(picture, slide.mpp, 1 / scale)
    return Figure(slide.name, slide.bounds, f"{slide.name}, overview", said, (), _jpeg(picture))


def _box(picture: Image.Image, region: Region, shown: Region, scale: float, letter: str) -> None:
    """A box of at least 8 px with its letter on a filled tag."""
    draw = ImageDraw.Draw(picture)
    left, top = (region.x - shown.x) * scale, (region.y - shown.y) * scale
    right = max(left + region.width * scale, left + 8)
    bottom = max(top + region.height * scale, top + 8)
    draw.rectangle((left, top, min(right, picture.width - 1), min(bottom, picture.height - 1)), outline=_LINE, width=2)
    x, y = min(max(left, 0), picture.width - 16), max(top - 16, 0)
    draw.rectangle((x, y, x + 15, y + 15), fill=_LINE)
    draw.text((x + 4, y + 1), letter, fill="white", font=ImageFont.load_default(12))


def _scale_bar(picture: Image.Image, mpp: float | None, downsample: float) -> str:
    """Draws the bar at the lower left; returns what it stands for."""
    if mpp is None:
        return UNKNOWN
    length = bar_length(picture.width * downsample * mpp)
    pixels = length / (downsample * mpp)
    text = f"{length} µm" if length < 1000 else f"{length // 1000} mm"
    draw = ImageDraw.Draw(picture)
    bottom = picture.height - 8
    draw.rectangle((4, bottom - 24, 16 + max(pixels, 40), bottom + 4), fill="white")
    draw.rectangle((10, bottom - 4, 10 + pixels, bottom - 1), fill=_INK)
    _label(draw, text, 10, bottom - 22)
    return f"bar {text}"


def _label(draw: ImageDraw.ImageDraw, text: str, x: int, y: int) -> None:
    """Writes a length; the micro sign, which Pillow's own font lacks, is a u with a stem."""
    font = ImageFont.load_default(12)
    draw.text((x, y), text.replace("µ", "u"), fill=_INK, font=font)
    if "µ" in text:
        box = draw.textbbox((x, y), text[: text.index("µ")] + "u", font=font)
        stem = x + font.getlength(text[: text.index("µ")]) + 1
        draw.line((stem, box[3] - 5, stem, box[3] + 2), fill=_INK)


def _jpeg(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
