"""The command `pathcopilot`: the copilot's command line, and `serve`, which only this floor can offer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer

from copilot.cli import Encoder, Language, OwnHeads, app
from copilot.cli import main as run_command_line


@app.command()
def serve(
    slides: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Argument(metavar="SLIDE...", help="Slides, or folders of slides.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    language: Language = "embedded",
    encoder: Encoder = "embedded",
    head: OwnHeads = None,
    certificate: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="CERTIFICATE.json", help="Lets the worklist release, as for triage."),
    ] = None,
    patients: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.csv", help="path,patient: which slides belong together."),
    ] = None,
    slide_model: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="MODEL", help="Folder of train-slide: its model scores the worklist, not the head."),
    ] = None,
    store: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FILE|URL", help="Case store; else PATHCOPILOT_STORE, else the user's own."),
    ] = None,
) -> None:
    """Open the desk on 127.0.0.1."""
    from .app import serve as open_desk

    open_desk(
        slides or [],
        port=port,
        language=language,
        encoder=encoder,
        heads=head or [],
        certificate=certificate,
        patients=patients,
        slide_model=slide_model,
        store=store,
    )


def main() -> NoReturn:
    """Runs `pathcopilot`."""
    run_command_line()
