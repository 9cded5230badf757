"""The command line that every recipe shares: recipe, data folder, output folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from slides.errors import PathcopilotError

from .features import Progress
from .shipped import WEIGHTS


def run_recipe(
    module: str, made: str, description: str | None, work: Callable[[Path, Path, Progress, Path], str]
) -> None:
    """Runs `work(recipe, data, progress, out)`; progress on stderr, exit 1 with one line on an error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds atlas/ and tiles/")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write into")
    options = parser.parse_args()
    try:
        sha256 = work(options.recipe, options.data, show_progress, options.out)
    except PathcopilotError as error:
        raise SystemExit(str(error)) from error
    print(f"\n{made}.safetensors {sha256}", file=sys.stderr)  # noqa: T201


def show_progress(what: str, done: int, total: int) -> None:
    """Progress on one line of stderr."""
    print(f"\r{what}: {done} of {total}   ", end="", file=sys.stderr, flush=True)  # noqa: T201
