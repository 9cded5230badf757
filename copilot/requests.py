"""Requests as people and files write them (paths, boxes, options, JSON lines) turned into questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slides import Region, Slide, UsageError, open_slide

from .answer import Question, View


@dataclass(frozen=True, slots=True)
class Request:
    """One question with paths instead of open slides; `regions` is empty, one for all, or one a path."""

    paths: tuple[Path, ...]
    question: str
    regions: tuple[Region, ...] = ()
    mpp: float | None = None
    context: str | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, text in (("question", self.question), ("context", self.context or ""), *_each(self.options)):
            if not _encodable(text):
                raise UsageError(f"the {what} holds signs that are no text: write it in UTF-8")
        if not self.question.strip():
            raise UsageError("the question is empty: say in plain words what you want to know")
        if not self.paths:
            raise UsageError("name at least one slide or image to ask about")
        if len(self.regions) > 1 and len(self.paths) > 1 and len(self.regions) != len(self.paths):
            raise UsageError(
                f"{len(self.regions)} regions do not fit {len(self.paths)} paths: give one for all, or one for each"
            )
        if len(self.options) == 1:
            raise UsageError('one option is no choice: separate options with "|"')


def _each(options: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"option {number}", text) for number, text in enumerate(options, 1)]


def _encodable(text: str) -> bool:
    """False for halves of surrogate pairs, which bytes in another encoding or a cut escape leave in a text."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def parse_options(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Options from `A|B|C` or a list; empty ones dropped."""
    parts = value.split("|") if isinstance(value, str) else [str(part) for part in value or ()]
    return tuple(part.strip() for part in parts if part.strip())


def parse_region(value: str | Sequence[float]) -> Region:
    """A region from `X,Y,W,H` or four numbers; raises `UsageError` with the form to use."""
    try:
        return Region.parse(value if isinstance(value, str) else ",".join(str(part) for part in value))
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


def checked_mpp(value: float | None) -> float | None:
    """A stated µm/px, within what microscopes give."""
    if value is None or 0.02 <= value <= 100:
        return value
    raise UsageError(f"{value} µm/px is not believable: a 40x scan has about 0.25, a 20x scan about 0.5")


@contextmanager
def opened(request: Request) -> Iterator[Question]:
    """The request's slides opened, as a question; they are closed on leaving.

    Raises `SlideError` for a slide that cannot be used and `UsageError` for a box outside it.
    """
    with ExitStack() as stack:
        count = max(len(request.paths), len(request.regions))
        slides = [stack.enter_context(open_slide(path, mpp=request.mpp)) for path in request.paths]
        slides = slides * count if len(slides) == 1 else slides
        regions: list[Region | None] = list(request.regions) or [None]
        regions = regions * count if len(regions) == 1 else regions
        views = tuple(View(slide, inside(slide, region)) for slide, region in zip(slides, regions, strict=True))
        yield Question(request.question, views, request.context, request.options)


def inside(slide: Slide, region: Region | None) -> Region | None:
    """The part of a box that lies on the slide; raises `UsageError` when none does."""
    if region is None:
        return None
    part = region.clamp(slide.size)
    if part is None:
        raise UsageError(
            f"the region {','.join(map(str, region.xywh))} lies outside the slide, "
            f"which is {slide.size.width}x{slide.size.height} px at level 0"
        )
    return part


def from_json(line: str, folder: Path) -> Request:
    """The request in one line of a batch file; relative paths count from the working folder, then the file's."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(row, Mapping):
        raise UsageError('a line must be an object such as {"paths": ["a.svs"], "question": "what is this?"}')
    paths = row.get("paths", row.get("path"))
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths) or not paths:
        raise UsageError('"paths" must be a list of file names')
    question = row.get("question")
    if not isinstance(question, str):
        raise UsageError('"question" must be text')
    return Request(
        paths=tuple(_found(Path(path), folder) for path in paths),
        question=question,
        regions=_regions(row.get("region", row.get("regions"))),
        mpp=checked_mpp(_number(row.get("mpp"))),
        context=None if row.get("context") is None else str(row["context"]),
        options=parse_options(_options(row.get("options"))),
    )


def _found(path: Path, folder: Path) -> Path:
    return path if path.is_absolute() or path.exists() else next((p for p in [folder / path] if p.exists()), path)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError('"mpp" must be a number, µm per pixel')
    return float(value)


def _options(value: Any) -> str | Sequence[str] | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return value
    raise UsageError('"options" must be a list of texts, or one text with "|" between them')


def _regions(value: Any) -> tuple[Region, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (parse_region(value),)
    if isinstance(value, list) and value and all(isinstance(part, list | str) for part in value):
        return tuple(parse_region(part) for part in value)
    if isinstance(value, list):
        return (parse_region(value),)
    raise UsageError('"region" must be [x, y, width, height] in level-0 pixels')
