"""`pathcopilot train-slide`: a recipe and labelled slides in, a calibrated slide model out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slides.errors import UsageError


def train_slide(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="A file of the folder recipes.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of atlas/ and tiles/, or of your own table and features.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model and its finished fits go.")] = Path(
        "slide-model"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="The model's card as one JSON object.")] = False,
) -> None:
    """Train a model of whole slides from labels of slides; a killed run goes on where it was."""
    from vision_encoder.slide_models.run import train_slide as run

    from .progress import show_progress

    if not data.is_dir():
        raise UsageError(f"no folder {data.name or data}: --data names the one that holds the slides' labels")
    card = run(recipe, data, out, show_progress)
    show_progress("")
    if as_json:
        typer.echo(json.dumps(card, ensure_ascii=False))
        return
    for step in card["ladder"]:
        typer.echo(_told(step))
    for task, (area, low, high) in card["held_out_area"].items():
        silent = card["silent"].get(task)
        typer.echo(f"{task}: area {area:.2f} ({low:.2f} to {high:.2f})" + (f"; silent: {silent}" if silent else ""))
    typer.echo(f"{out}: {card['kind']} of {card['bags']} slides, {card['groups']} patients")


def _told(step: dict[str, object]) -> str:
    area, less = step["area"], step["less"]
    assert isinstance(area, list)
    line = f"  {step['model']}: area {area[0]:.2f} ({area[1]:.2f} to {area[2]:.2f})"
    if isinstance(less, list):
        line += f", {less[0]:+.2f} ({less[1]:+.2f} to {less[2]:+.2f}) against {step['against']}"
    return line + (", kept" if step["kept"] else ", not kept")
