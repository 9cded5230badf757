"""`pathcopilot pretrain`: a recipe and tiles in, an encoder out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer


def pretrain(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="A file of the folder recipes.")],
    data: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(metavar="DIR", help="Folder that holds atlas/ and tiles/ in Parquet."),
    ] = None,
    slides: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(metavar="FOLDER", help="Folder of slides, cut into tiles of tissue; may be repeated."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the encoder and its checkpoint go.")] = Path(
        "encoder"
    ),
    until: Annotated[
        Optional[int],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(min=1, metavar="STEP", help="Stop at this step; the same command goes on later."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The encoder's card as one JSON object.")] = False,
) -> None:
    """Pretrain a vision encoder on histology without labels; a killed run goes on where it was."""
    from vision_encoder.pretrain.run import pretrain as run
    from vision_encoder.recipe import show_progress

    from ..process import keep_freed_memory

    keep_freed_memory()
    try:
        card = run(recipe, data, out, _report, show_progress, until=until, slides=slides or [])
    finally:
        _report("")  # what comes next, an error too, stands on a line of its own
    if card is None:  # one of several processes, of which the first tells
        return
    if as_json:
        typer.echo(json.dumps(card, ensure_ascii=False))
        return
    typer.echo(
        f"{out / 'encoder.safetensors'}: {card['steps']} steps over {card['tiles']} tiles, {card['sha256'][:12]}"
    )
    typer.echo(f"Measure it: pathcopilot evaluate encoder --encoder {out}")


def _report(line: str) -> None:
    sys.stderr.write(f"\r\033[K{line}")
    sys.stderr.flush()
