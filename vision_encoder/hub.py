"""Weights in the hub's cache on this machine; nothing is fetched unless the caller has said so."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from slides.errors import SetupError, UsageError

from .known_encoders import HUB, find_known

CONFIGS = ("config.json", "open_clip_config.json", "preprocessor_config.json")
OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def hub_weights(repository: str, names: Sequence[str] = OPEN_CLIP_WEIGHTS + WEIGHTS, *, download: bool = False) -> Path:
    """The first of these weights files that a repository has, its configs beside it, in the hub's cache.

    Parameters
    ----------
    repository : OWNER/NAME
    download : fetch what is missing; without it the cache is all there is

    Raises
    ------
    UsageError : no name of a repository
    SetupError : not on this machine, gated, unknown to the hub, or the hub cannot be reached
    """
    from huggingface_hub.errors import HFValidationError

    try:
        path = _first(repository, names, download=False)
        if path is None and download:
            path = _first(repository, names, download=True)
            for config in CONFIGS if path else ():
                _fetch(repository, config, download=True)
    except HFValidationError as error:
        raise UsageError(f"'{repository}' is no name of a hub repository: write hf-hub:OWNER/NAME") from error
    if path is None and download:
        raise SetupError(f"{repository} has no weights that can be loaded ({', '.join(names)})")
    if path is None:
        raise SetupError(f"no weights of {repository} on this machine: {how_to_fetch(repository)}")
    return path


def how_to_fetch(repository: str) -> str:
    """The command that brings a repository's weights, with what its gate asks for first."""
    row = find_known(repository)
    if row is not None and row.gated:
        return f"accept its terms at {row.page}, then `hf auth login` and `hf download {repository}`"
    return f"fetch them first with `hf download {repository}`"


def _first(repository: str, names: Sequence[str], *, download: bool) -> Path | None:
    return next((path for name in names if (path := _fetch(repository, name, download=download))), None)


def _fetch(repository: str, name: str, *, download: bool) -> Path | None:
    """The file in the cache; None where the repository, or the cache, has none of that name."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    with contextlib.suppress(LocalEntryNotFoundError):
        return Path(hf_hub_download(repository, name, local_files_only=True))
    if not download:
        return None
    try:
        return Path(hf_hub_download(repository, name))
    except LocalEntryNotFoundError as error:  # what it raises when the hub did not answer
        _refuse(repository, error)
    except EntryNotFoundError:
        return None
    except HFValidationError:
        raise
    except (OSError, ValueError) as error:
        _refuse(repository, error)


def _refuse(repository: str, error: Exception) -> NoReturn:
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        page = f"{HUB}/{repository}"
        raise SetupError(
            f"{repository} is gated: accept its terms at {page}, then `hf auth login` and `hf download {repository}`"
        ) from error
    if isinstance(error, RepositoryNotFoundError):
        raise SetupError(
            f"the hub knows no {repository}, or not for you: check the name, or `hf auth login`"
        ) from error
    if is_offline_mode():
        raise SetupError(f"downloading is switched off here (HF_HUB_OFFLINE): {how_to_fetch(repository)}") from error
    raise SetupError(f"the hub cannot be reached: {how_to_fetch(repository)}, where there is a connection") from error
