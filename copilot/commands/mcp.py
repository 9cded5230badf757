"""`pathcopilot mcp`: the copilot's tools for assistants that speak the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def mcp(
    slides: Annotated[
        list[Path] | None, typer.Argument(metavar="SLIDE...", help="Slides, or folders of slides.", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="Language model, as for ask.")] = "embedded",
    encoder: Annotated[str, typer.Option(help="Vision encoder, as for ask.")] = "embedded",
) -> None:
    """Serve the tools over standard input and output to an assistant (MCP)."""
    from slides import SlideNotFound
    from slides.folder import is_dicom_folder, slides_in

    from ..engine import Copilot
    from ..process import prepare_process
    from ..tool_server import Tools, serve_tools

    prepare_process()
    paths: list[Path] = []
    for path in slides or []:
        if not path.exists():
            raise SlideNotFound(f"{path.name}: there is no such file or folder: check the name")
        paths += slides_in(path) if path.is_dir() and not is_dicom_folder(path) else [path]
    serve_tools(Tools(lambda: Copilot.load(language, encoder), paths)).run("stdio")
