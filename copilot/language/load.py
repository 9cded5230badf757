"""One way to a language model: the embedded one, a folder, a hub name or an address on this machine."""

from __future__ import annotations

from pathlib import Path

from slides.errors import UsageError

from .adapter import is_adapter, read_adapter
from .model import LanguageModel

EMBEDDED = ("embedded", "untuned")


def load_language(name: str = "embedded", *, quantise: str | None = None) -> LanguageModel:
    """The language model of that name, ready to answer.

    Parameters
    ----------
    name : "embedded", "untuned" (the embedded one as published), a model folder, a folder written by
        `pathcopilot tune`, a hub name in the local cache, or `http://127.0.0.1:PORT/v1[?pictures][#MODEL]`
    quantise : "4bit" for NF4 or "8bit" for LLM.int8 weights in this process, None for the precision that the
        processor is fastest in

    Raises
    ------
    SetupError : weights, a package or the server are missing
    UsageError : the name or the quantisation cannot be what was meant
    """
    if "://" in name:
        from .remote import RemoteModel

        if quantise:
            raise UsageError("a server quantises its own model: leave --quantise out")
        return RemoteModel(name)
    adapter = None
    if is_adapter(folder := Path(name).expanduser()):
        adapter = read_adapter(folder)
    if name in EMBEDDED or (adapter is not None and adapter.base in EMBEDDED):
        from .embedded import load_embedded

        if quantise:
            raise UsageError("the embedded model is small as it is: --quantise is for another --language")
        return load_embedded(adapter=adapter, tuned=name != "untuned")
    from .hub import load_hub

    return load_hub(name if adapter is None else adapter.base, quantise=quantise, adapter=adapter)
