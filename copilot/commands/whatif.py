"""`pathcopilot whatif`: simulated stays of a record as it is and as edited."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from slides.errors import UsageError

from .progress import show_progress


def whatif(
    patient: Annotated[Path, typer.Argument(metavar="PATIENT", help="JSON, CSV, FHIR bundle or OMOP folder.")],
    edits: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--set", metavar="NAME=VALUE", help="Edit age, sex, blood group, crp or creatinine; repeatable."),
    ] = None,
    days: Annotated[int, typer.Option(help="Death within so many days, 1 to 7.")] = 7,
    rollouts: Annotated[int, typer.Option(help="Simulated stays an arm.")] = 2000,
    model: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="A trained timeline model; default: the one that ships."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a simulated cohort says would follow from another admission value. Never a reason to treat."""
    from copilot.patient.read import read_patient
    from copilot.patient.timeline.model import WEIGHTS, load_timeline
    from copilot.patient.timeline.whatif import sentences, what_if

    if not edits:
        raise UsageError("name what to change: --set crp=250")
    record = read_patient(patient)
    show_progress("simulating")
    answer = what_if(load_timeline(model or WEIGHTS), record, edits, days, rollouts)
    show_progress("")
    if as_json:
        typer.echo(json.dumps({**asdict(answer), "sentences": sentences(answer)}, ensure_ascii=False))
        return
    for sentence in sentences(answer):
        typer.echo(sentence)
    for arm, stays in answer.trajectories.items():
        typer.echo(f"Simulated stays, {arm}:")
        for stay in stays:
            typer.echo(f"  simulated: {stay}")
    for note in answer.notes:
        typer.echo(f"Note: {note}.")
