"""`pathcopilot survival train` and `survival predict`: a patient's curve, in figures and in words that equal them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from .progress import show_progress

app = typer.Typer(
    name="survival",
    help="Survival curves from a patient's record (research use; no advice on treatment).",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command("train")
def train_command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="recipes/survival.toml, or your own.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the models go, a folder each.")],
    only: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--set", metavar="NAME", help="Fit this set; may be repeated. Default: those that ship."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Fit survival models by a recipe."""
    from copilot.patient.survival.recipe import load_recipe
    from copilot.patient.survival.train import train_survival

    cards = train_survival(load_recipe(recipe), only or [], out, show_progress)
    show_progress("")
    if as_json:
        typer.echo(json.dumps({"models": cards}, ensure_ascii=False))
        return
    for card in cards:
        typer.echo(f"{card['set']['name']}: {card['patients']} patients, {card['events']} events of "
                   f"{card['set']['endpoint']}, from {', '.join(card['modalities'])}")  # fmt: skip


@app.command("predict")
def predict_command(
    patient: Annotated[Path, typer.Argument(metavar="PATIENT", help="JSON, CSV, FHIR bundle or OMOP folder.")],
    model: Annotated[str, typer.Option(help="A shipped model's name, or a folder.")] = "breast",
    endpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Refuse unless the model knows this endpoint."),
    ] = None,
    language: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Let this language model word the sentences; they stand only where figures agree."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """A patient's survival curve with a 90 % band, its drivers, similar patients, and what was missing."""
    from copilot.patient.read import read_patient
    from copilot.patient.survival.say import say
    from copilot.patient.survival.store import load_model

    prediction = load_model(model).predict(read_patient(patient), endpoint)
    said = say(prediction, _writer(language) if language else None)
    if as_json:
        sentences = [asdict(sentence) for sentence in said]
        typer.echo(json.dumps({**asdict(prediction), "sentences": sentences}, ensure_ascii=False))
        return
    for sentence in said:
        typer.echo(sentence.text)
    if len(prediction.by_modality) > 1:
        alone = ", ".join(f"{name} {100 * risk:.0f} %" for name, risk in prediction.by_modality.items())
        typer.echo(f"By itself each source gives: {alone}.")
    typer.echo("Nearest training patients:")
    for row in prediction.similar:
        what = ", ".join(f"{name} {value}" for name, value in row.covariates.items())
        outcome = prediction.endpoint if row.event else f"last seen {prediction.free_of}"
        typer.echo(f"  {row.years:.1f} years, {outcome}: {what}")
    if prediction.missing:
        typer.echo(f"Missing: {', '.join(prediction.missing)}.")
    for note in prediction.notes:
        typer.echo(f"Note: {note}.")
    typer.echo(f"Model {prediction.model}, novelty p {prediction.novelty:.2f}. Research use; no advice on treatment.")


def _writer(language: str) -> Callable[[str], str]:
    from copilot.language.load import load_language

    loaded = load_language(language)

    def write(sentence: str) -> str:
        asked = f"Say this in other words, keep every number: {sentence}"
        return "".join(loaded.stream([{"role": "user", "content": asked}]))

    return write
