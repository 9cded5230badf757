"""`pathcopilot teach`: unknown cases at the terminal; commit first, then the reveal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slides.errors import UsageError

if TYPE_CHECKING:
    from ..teaching.score import Commitment
    from ..teaching.session import Reveal, Session, Shown

FORM = "diagnosis | second | third; confidence in %; box X,Y,W,H or none"


def teach(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER|LABELS.csv]...", help="Slides with a labels.csv.", show_default=False),
    ] = None,
    progress: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your progress.", show_default="in your data folder")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Play a session from commitments, one a line.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Cases at most.")] = None,
    seed: Annotated[int, typer.Option(help="Orders new cases.")] = 0,
    at: Annotated[datetime | None, typer.Option(help="Day of the session, instead of today (UTC).")] = None,
    export: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write every answer so far.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Learn from unknown cases: commit to a place, a diagnosis and a confidence; then the truth and three scores."""
    from instruction_data.knowledge import load_knowledge
    from slides.files import write_atomically

    from ..store.place import data_folder
    from ..teaching.cases import read_cases
    from ..teaching.progress import FILE, load_progress, save_progress
    from ..teaching.session import Session

    file = progress or data_folder() / FILE
    learned = load_progress(file)
    cases = [case for place in places or [Path("samples")] for case in read_cases(place)]
    session = Session(_numbered(cases), learned, load_knowledge(), seed)
    given = _scripted(answers) if answers is not None else None
    now = at.replace(tzinfo=UTC) if at is not None else datetime.now(UTC)
    told: list[dict[str, Any]] = []
    while count is None or len(told) < count:
        shown = session.next(now)
        if shown is None:
            break
        if not as_json:
            _show(shown, session)
        said = _next_answer(given, session) if given is not None else _asked(session)
        if said is None:
            break
        revealed = session.commit(said, now)
        save_progress(learned, file)
        told.append({"shown": shown.as_json(), "revealed": revealed.as_json()})
        if not as_json:
            _reveal(revealed)
    if export is not None:
        write_atomically(export, learned.as_csv())
    means = dict(learned.means())
    if as_json:
        typer.echo(json.dumps({"cases": told, "means": means}, ensure_ascii=False))
    elif told:
        typer.echo(f"So far: {_means(means)} (Brier: 0 is best).")


def _numbered(cases: list[Any]) -> list[Any]:
    """Cases of several files, each with a number of its own."""
    from dataclasses import replace

    return [replace(case, id=f"case {number}") for number, case in enumerate(cases, 1)]


def _scripted(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file.name}: write one JSON object a line") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"cannot read {file.name}: write one JSON object a line")
    return iter(rows)


def _next_answer(rows: Iterator[Mapping[str, Any]], session: Session) -> Commitment | None:
    row = next(rows, None)
    if row is None:
        return None
    for _ in range(int(row.get("hints", 0))):
        session.hint()
    diagnoses = row.get("diagnoses") or [row.get("diagnosis", "")]
    return _commitment([str(text) for text in diagnoses], row.get("confidence"), row.get("box"))


def _asked(session: Session) -> Commitment | None:
    """What is typed, hints given on the way; None at the end of input or for `q`."""
    while True:
        try:
            typed = input("> ").strip()
        except EOFError:
            return None
        if typed.lower() in ("q", "quit"):
            return None
        if typed.lower() in ("h", "hint"):
            step = session.hint()
            typer.echo("No more hints." if step is None else f"Hint, {step[0]}: {step[1]}")
            continue
        parts = [part.strip() for part in typed.split(";")]
        try:
            if len(parts) < 2:
                raise UsageError(f"write: {FORM}")
            sure = float(parts[1].rstrip(" %")) / 100
            box = None if len(parts) < 3 or parts[2].lower() in ("", "none") else parts[2]
            return _commitment([text.strip() for text in parts[0].split("|")], sure, box)
        except (UsageError, ValueError) as error:
            typer.echo(str(error) if isinstance(error, UsageError) else f"write: {FORM}")


def _commitment(diagnoses: list[str], confidence: Any, box: Any) -> Commitment:
    from ..requests import parse_region
    from ..teaching.score import Commitment

    try:
        return Commitment(tuple(diagnoses), float(confidence), None if box is None else parse_region(box))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error) if isinstance(error, ValueError) else "a commitment needs a confidence") from None


def _show(shown: Shown, session: Session) -> None:
    scale = f", {shown.mpp:g} µm/px" if shown.mpp else ""
    typer.echo(f"\n{shown.case.capitalize()} ({shown.size[0]} x {shown.size[1]} px{scale}). {shown.task}")
    if shown.opinion:
        typer.echo(f"A machine holds it for: {shown.opinion}. It may be wrong.")
    if sys.stdin.isatty():
        typer.echo(f"Write: {FORM}. h gives a hint, q ends.")


def _reveal(revealed: Reveal) -> None:
    case, score = revealed.case, revealed.score
    typer.echo(f"It is: {case.diagnosis}." + (f" {case.note}" if case.note else ""))
    if case.places:
        typer.echo("Seen at " + "; ".join(",".join(map(str, place.xywh)) for place in case.places) + ".")
    where = "not scored" if score.localisation is None else "found" if score.localisation else "missed"
    typer.echo(f"Place {where}; differential {score.differential:.2f}; Brier {score.brier:.2f}.")
    if revealed.resisted is not None:
        typer.echo("The machine was wrong; " + ("you kept your own view." if revealed.resisted else "you followed it."))
    for name, tests in revealed.apart:
        typer.echo(f"Not {name}: " + (f"{', '.join(tests)} would tell." if tests else "no test in the tables tells."))
    if revealed.due:
        typer.echo(f"Again on {revealed.due:%Y-%m-%d %H:%M} UTC.")


def _means(means: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in means.items())
