"""`pathcopilot embed`: whole slides to features on disk, one HDF5 file a slide."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slides.errors import UsageError

if TYPE_CHECKING:
    from vision_encoder.embed.run import Embedded, Failed

_SHOWN_EVERY = 0.2


def embed(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go, SLIDE.h5 each; made if missing.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="SLIDE...", help="Slides, or folders of slides.", show_default=False)
    ] = None,
    encoder: Annotated[str, typer.Option(help="Vision encoder, as for ask.")] = "embedded",
    mpp: Annotated[float, typer.Option(help="µm per pixel at which tiles of 256 px are read.")] = 0.5,
    downsample: Annotated[
        float | None,
        typer.Option(help="Level-0 pixels per pixel read instead, for slides that do not state µm/px."),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="auto: the cores of this machine; ray: a Ray cluster, RAY_ADDRESS or one node here.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Embed the tissue of slides: features and places in HDF5, as CLAM and TRIDENT read them.

    A killed run goes on where it was; slides that are done are left. Exit 1 where some slides failed.
    """
    from copilot.requests import checked_mpp
    from vision_encoder import load_encoder
    from vision_encoder.embed.run import Embedded, Settings, embed_slides

    if engine not in ("auto", "ray"):
        raise UsageError("--engine is auto or ray")
    if engine == "ray":
        from vision_encoder.embed.on_ray import join

        join(Settings().threads)  # before anything is begun: without Ray nothing is written
    slides = _slides(paths or [])
    _folder(out)
    settings = Settings(mpp=checked_mpp(mpp) or 0.5, downsample=downsample, cluster=engine == "ray")
    shown = _Shown(len(slides))
    shown.say("loading the encoder")
    loaded = load_encoder(encoder)
    done: list[Embedded] = []
    failed: list[Failed] = []
    for result in embed_slides(loaded, slides, out, settings, shown.progress):
        if isinstance(result, Embedded):
            done.append(result)
        else:
            failed.append(result)
        shown.finish(result)
    if as_json:
        told: dict[str, Any] = {
            "encoder": {"name": loaded.name, "sha256": loaded.sha256, "dimension": loaded.dimension},
            "slides": [item.as_json() for item in done],
            "failed": [{"slide": item.slide, "why": item.why} for item in failed],
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        for line in _table(done, failed):
            typer.echo(line)
    if failed:
        raise typer.Exit(1)


def _slides(paths: Sequence[Path]) -> list[Path]:
    from slides.folder import is_dicom_folder, slides_in

    found: list[Path] = []
    for path in paths:
        if path.is_dir() and not is_dicom_folder(path):
            inside = slides_in(path)
            if not inside:
                raise UsageError(f"the folder {path.name} holds no slides")
            found += inside
        else:
            found.append(path)
    if not found:
        raise UsageError("name slides to embed, or a folder of slides")
    return found


def _folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {out.name} cannot be made: {error.strerror}: name another --out") from error


class _Shown:
    """Progress on stderr: a line that replaces itself on a terminal, a line a slide elsewhere."""

    def __init__(self, slides: int) -> None:
        self._slides, self._number, self._last = slides, 1, 0.0

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()

    def progress(self, name: str, done: int, total: int, rate: float) -> None:
        now = time.monotonic()
        if now - self._last < _SHOWN_EVERY and done < total:
            return
        self._last = now
        pace = f", {rate:.0f} tiles/s, {_span((total - done) / rate)} left" if rate else ""
        self.say(f"slide {self._number} of {self._slides} {name}: {done} of {total} tiles{pace}")

    def finish(self, result: Embedded | Failed) -> None:
        self._number += 1
        self.say("")
        if not sys.stderr.isatty():
            sys.stderr.write(f"{self._number - 1} of {self._slides} {_line(result)}\n")
            sys.stderr.flush()


def _span(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _line(result: Embedded | Failed) -> str:
    from vision_encoder.embed.run import Failed

    if isinstance(result, Failed):
        return f"{result.slide}: {result.why}"
    told = result.as_json()
    at = "" if result.mpp is None else f" at {result.mpp:.3g} µm/px"
    pace = f", {told['tiles_per_second']:.0f} tiles/s" if told["tiles_per_second"] else ", done before"
    lost = f", {result.unreadable} unreadable left out" if result.unreadable else ""
    return f"{result.slide}: {result.tiles} tiles{at}{lost}{pace} → {result.file}"


def _table(done: Sequence[Embedded], failed: Sequence[Failed]) -> list[str]:
    lines = [_line(item) for item in done]
    if failed:
        wide = max(len(item.slide) for item in failed)
        lines += ["", f"{len(failed)} of {len(done) + len(failed)} slides failed:"]
        lines += [f"  {item.slide:<{wide}}  {item.why}" for item in failed]
    return lines
