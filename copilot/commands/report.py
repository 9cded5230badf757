"""`pathcopilot report`: a draft from slides, a person's edits kept, a signed version, and the forms of all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slides.errors import UsageError

from .progress import show_progress

if TYPE_CHECKING:
    from copilot.reporting.document import Report

FORMS = "md, html, pdf, docx, json, fhir.json, geojson, dcm"


def report(
    out: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help=f"The file to write, as its ending says: {FORMS}. May repeat."),
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CASE|PATH]...", help="Slides, or the folder of a case.", show_default=False),
    ] = None,
    edited: Annotated[
        Path | None,
        typer.Option("--from", metavar="REPORT.json", help="An earlier draft: its edits are kept over a new look."),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Clinical context in plain words.")] = None,
    result: Annotated[
        list[str] | None, typer.Option(metavar='"CK20=positive"', help="A result that is known; may be repeated.")
    ] = None,
    sign_out: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sign: freezes this version under your name.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Case store whose audit log a signature is entered in.")
    ] = None,
    amend: Annotated[bool, typer.Option(help="Begin the next version of a signed report.")] = False,
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of level 0, where the file does not state it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """A report whose every field names its finding, is a person's, or says that it was not assessed."""
    from copilot.reporting import edits
    from copilot.reporting.export import check_target, ending, write_report
    from copilot.reporting.make import now

    for target in out:
        check_target(target)
    if not paths and edited is None:
        raise UsageError("name slides, or an earlier draft with --from REPORT.json")
    if store is not None and sign_out is None:
        raise UsageError("--store takes a signature: add --sign-out NAME")
    if amend and edited is None:
        raise UsageError("--amend takes a signed version: add --from REPORT.json")
    if sign_out is not None and not any(ending(target) == ".json" for target in out):
        raise UsageError("a signed version is kept as JSON: add --out REPORT.json")
    old = None if edited is None else edits.read_report(edited)
    changed: tuple[edits.Difference, ...]
    if old is not None and not paths:
        made = edits.amendable(old) if amend else old
        changed = edits.differences(made)
    else:
        if old is not None and old.signature is not None and not amend:
            edits.keep_edits(old, old)  # refuses before the slides are looked at
        made, changed = _drafted(paths or (), context, result or (), mpp), ()
        if old is not None:
            made, changed = edits.keep_edits(made, old, amend=amend)
    if sign_out is not None:
        made = edits.sign_out(made, sign_out, now())
        if store is not None:
            _log(made, store)
    written = [file.name for target in out for file in write_report(made, target)]
    show_progress("")
    if as_json:
        told = {
            "status": "signed" if made.signature else "draft",
            "version": made.version,
            "written": written,
            "differences": [one.as_json() for one in changed],
            "content_sha256": edits.content_sha256(made),
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    state = f"version {made.version}, signed out by {made.signature.by}," if made.signature else "draft"
    typer.echo(f"{state} written to {', '.join(written)}")
    for one in changed:
        typer.echo(str(one))


def _log(signed: Report, store: str) -> None:
    """Enters the signature in the audit log, before any file is written: slides by content hash, nobody else named."""
    from copilot.store.store import open_store

    assert signed.signature is not None
    told = signed.signature.as_json()
    details = {
        "version": signed.version,
        "amends": signed.amends,
        "slides": sorted(signed.signature.slides.values()),
        "models_sha256": told["models_sha256"],
        "templates_sha256": told["templates_sha256"],
    }
    with open_store(store) as opened:
        opened.note(signed.signature.by, "signed out a report", signed.signature.content_sha256, details)


def _drafted(paths: Sequence[Path], context: str | None, results: Sequence[str], mpp: float | None) -> Report:
    from copilot.reporting.make import make_report
    from copilot.requests import Request, checked_mpp, opened
    from copilot.suggest import parse_results
    from instruction_data.knowledge import load_knowledge
    from slides.naming import shown_name

    from .loading import load_copilot

    slides = _slides(paths)
    known = parse_results(load_knowledge(), results)
    named: Mapping[str, Path] = {shown_name(path): path for path in slides}
    with opened(Request(slides, "look", mpp=checked_mpp(mpp), context=context)) as question:
        return make_report(
            load_copilot(), question.views, context=context, known_results=known, paths=named, progress=show_progress
        )


def _slides(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The paths, a folder of slides as what lies in it."""
    from slides.folder import is_dicom_folder, slides_in

    found: list[Path] = []
    for path in paths:
        found += slides_in(path) if path.is_dir() and not is_dicom_folder(path) else [path]
    if not found:
        raise UsageError("the folder holds no slide: name slides")
    return tuple(found)
