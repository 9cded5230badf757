"""`pathcopilot tune`: a recipe and instruction data in, an adapter for a language model out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer


def tune(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="A file of the folder recipes.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that build-data wrote, or a ShareGPT-style FILE.jsonl.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the adapter and its checkpoint go.")] = Path(
        "adapter"
    ),
    votes: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="FILE.jsonl", help="Answers preferred at the desk, for the stage prefer."),
    ] = None,
    until: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, metavar="STEP", help="Stop at this step of all stages; the same command goes on later."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The adapter's card as one JSON object.")] = False,
) -> None:
    """Tune a language model to answer from findings and pictures; a killed run goes on where it was."""
    from ..process import keep_freed_memory
    from ..tuning.run import tune as run
    from .progress import show_progress

    keep_freed_memory()
    card = run(recipe, data, out, _report, show_progress, votes=votes, until=until)
    if card is None:  # one of several processes, of which the first tells
        return
    if as_json:
        typer.echo(json.dumps(card, ensure_ascii=False))
        return
    last = card["looked"][-1] if card["looked"] else {}
    held = f", held-out loss {last['loss']:.3f}" if last else ""
    typer.echo(f"{out}: {card['steps']} steps of {card['recipe']}{held}, {card['bytes'] / 1e6:.1f} MB")
    typer.echo(f"Answer with it: pathcopilot ask SLIDE --question … --language {out}")


def _report(line: str) -> None:
    """Progress of a training: a line replaces itself where it begins no new one."""
    sys.stderr.write(f"\r\033[K{line}")
    sys.stderr.flush()
