"""`pathcopilot suggest`: which ancillary tests would settle the differential."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slides.errors import UsageError

from .progress import show_progress


def suggest(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...", help="Slides or images; may be left out with --differential.", show_default=False
        ),
    ] = None,
    context: Annotated[str | None, typer.Option(help="Clinical context in plain words.")] = None,
    differential: Annotated[str | None, typer.Option(metavar='"A|B"', help="Candidates to separate.")] = None,
    result: Annotated[
        list[str] | None,
        typer.Option(metavar='"CK20=positive"', help="A result that is already known; may be repeated."),
    ] = None,
    panel: Annotated[int, typer.Option(min=1, max=12, help="Most tests to name.")] = 6,
    fhir: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the order list as FHIR R4 ServiceRequests.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of level 0, where the file does not state it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Ancillary tests, ordered by how much each would settle between the candidates; no result is predicted."""
    from copilot.requests import Request, checked_mpp, opened, parse_options
    from copilot.suggest import parse_results, plan_tests, suggest_for
    from instruction_data.knowledge import load_knowledge

    given = parse_options(differential)
    if not paths and len(given) < 2:
        raise UsageError('name slides, or at least two candidates: --differential "A|B"')
    if fhir is not None and not fhir.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {fhir.name}: make it first or name another")
    known = parse_results(load_knowledge(), result or ())
    if paths:
        from copilot.reporting.make import look_at

        from .loading import load_copilot

        with opened(Request(tuple(paths), "look", mpp=checked_mpp(mpp))) as question:
            copilot = load_copilot()
            seen = look_at(copilot, question.views, context=context, progress=show_progress)
        plan = plan_tests(copilot.knowledge, seen, context=context, given=given, known_results=known, limit=panel)
    else:
        plan = suggest_for(given, context=context, known_results=known, limit=panel)
    show_progress("")
    if fhir is not None:
        from copilot.reporting.orders import write_orders

        write_orders(plan, fhir)
    typer.echo(json.dumps(plan.as_json(), ensure_ascii=False) if as_json else plan.markdown())
