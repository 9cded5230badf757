"""`pathcopilot evaluate survival`: survival models beside ridge Cox and a random survival forest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from slides.errors import UsageError

from .progress import show_progress


def evaluate_survival(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="recipes/survival.toml, or your own.")] = Path(
        "recipes/survival.toml"
    ),
    only: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option("--set", metavar="NAME", help="Only this set; may be repeated."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.md", help="Write the model card."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Survival models in five folds of patients, with each modality missing, beside Cox and a forest."""
    from copilot.patient.survival.card import card, summary
    from copilot.patient.survival.evaluate import evaluate_survival as measure
    from copilot.patient.survival.recipe import load_recipe
    from slides.files import write_atomically

    if out is not None and not out.resolve().parent.is_dir():
        raise UsageError(f"the folder of {out.name} does not exist: make it first")
    results = measure(load_recipe(recipe), only or [], show_progress)
    show_progress("")
    if out is not None:
        write_atomically(out, card(results))
    typer.echo(json.dumps(results, ensure_ascii=False) if as_json else summary(results))
