"""Fixtures of the encoders' tests: a cache of the hub of their own, and no encoder kept from another test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vision_encoder import load_encoder


@pytest.fixture
def forget_encoders() -> Any:
    """`load_encoder` keeps what it loaded; a test of another weights folder must not leave its own behind."""
    load_encoder.cache_clear()
    yield
    load_encoder.cache_clear()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, in place of the machine's own; the hub itself is out of reach."""
    import huggingface_hub

    def unplugged(*_args: Any, **settings: Any) -> str:
        if not settings.get("local_files_only"):
            raise AssertionError("the hub was asked")
        return real(*_args, **settings)

    real = huggingface_hub.hf_hub_download
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unplugged)
    return tmp_path / "cache"
