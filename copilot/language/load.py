"""One way to a language model: a name, a folder or an address."""

from __future__ import annotations

from .model import LanguageModel


def load_language(name: str = "embedded", *, quantise: str | None = None) -> LanguageModel:
    """The language model `name`."""
    from .embedded import load_embedded

    return load_embedded()
