"""`pathcopilot build-data`: a recipe and labelled tiles in, checked conversations to learn from out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from slides.errors import UsageError

from .progress import show_progress


def build_data(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="A file of the folder recipes.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that holds atlas/ and tiles/ in Parquet.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the conversations go.")],
    card: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="FILE.md", help="Write the data card there too."),
    ] = None,
    with_pictures: Annotated[
        bool, typer.Option("--with-pictures", help="Also write the pictures named, into DIR/pictures.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Make instruction data: conversations whose every visual sentence rests on a finding or a label."""
    from copilot.instructions.run import build_instructions, outside_of_repositories

    if with_pictures:
        outside_of_repositories(out)
    if card is not None and not card.absolute().parent.is_dir():
        raise UsageError(f"the folder of {card.name} does not exist: make it first")
    told = build_instructions(recipe, data, out, show_progress, card=card, with_pictures=with_pictures)
    show_progress("")
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    counts = told["conversations"]
    typer.echo(f"{out.name}: {counts['train']} conversations to train on, {counts['valid']} to validate on")
    for name, count in told["builders"].items():
        typer.echo(f"  {name}: {count}")
    for check in told["checks"]:
        typer.echo(f"  {check['name']}: {check['told']}")
