"""Checkpoints: everything a run needs to go on, in one file that is written whole or not at all."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from slides.errors import UsageError
from slides.files import write_atomically

State = dict[str, Any]


def save_checkpoint(path: Path, state: State) -> None:
    """Writes the state; the file before stays until the new one lies whole on the disk.

    Raises
    ------
    UsageError : the disk is full or the folder cannot be written; the last checkpoint is intact
    """
    content = io.BytesIO()
    torch.save(state, content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise UsageError(
            f"the checkpoint could not be written ({error.strerror}): make room and run the command again, "
            "it goes on from the last checkpoint"
        ) from error


def load_checkpoint(path: Path, recipe_sha256: str) -> State | None:
    """The state in the file, or None when there is no file.

    Raises
    ------
    UsageError : the file is damaged, or of another recipe
    """
    if not path.is_file():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UsageError("the checkpoint is damaged: remove checkpoint.pt to begin anew") from error
    if state.get("recipe") != recipe_sha256:
        raise UsageError(
            "the output folder holds a checkpoint of another recipe: give another --out, or remove checkpoint.pt"
        )
    return state
