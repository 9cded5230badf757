"""`pathcopilot adapt`: a laboratory's own labelled tiles become a calibrated head with its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slides.errors import UsageError

from .progress import show_progress

STAINS = ("HE", "IHC", "special stain", "cytology")


def adapt(
    tiles: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER_OR_CSV",
            help="A CSV (path, label, group and, where known, split and mpp), a Parquet file, or a folder: "
            "with labels.csv, with Parquet files, or with one subfolder a class.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="HEAD", help="Writes HEAD.safetensors, HEAD.json and HEAD.md.")],
    group_column: Annotated[str, typer.Option(help="The column that names the patient or slide.")] = "group",
    label_column: Annotated[str, typer.Option(help="The column that names the class.")] = "label",
    group_pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Finds the group in file names of class folders: '^([^_]+)_'.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="disease: what a case has; tissue: what a tile shows, one region holding several.")
    ] = "disease",
    organ: Annotated[str, typer.Option(help="The organ it may speak on; any where none is given.")] = "",
    stain: Annotated[str, typer.Option(help="The stain it may speak on: HE, IHC, special stain, cytology.")] = "HE",
    mpp: Annotated[float | None, typer.Option(help="µm per pixel of the tiles, where no column mpp states it.")] = None,
    encoder: Annotated[str, typer.Option(help="Vision encoder, as for ask.")] = "embedded",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Make a head from your own labelled tiles; ask and serve load it with --head HEAD.json."""
    from copilot.requests import checked_mpp
    from vision_encoder.adapt import Asked, adapt
    from vision_encoder.adapt_card import as_json as figures
    from vision_encoder.adapt_card import summary
    from vision_encoder.lab_tiles import Columns

    if stain not in STAINS:
        raise UsageError(f"no stain '{stain}': a head may speak on {', '.join(STAINS)}")
    adapted = adapt(
        tiles,
        out,
        columns=Columns(label_column, group_column, group_pattern),
        asked=Asked(kind, organ, stain, checked_mpp(mpp)),
        encoder=encoder,
        progress=show_progress,
    )
    show_progress("")
    typer.echo(json.dumps(figures(adapted), ensure_ascii=False) if as_json else summary(adapted))
