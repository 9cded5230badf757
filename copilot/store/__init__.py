"""The case store: cases, slides, what was seen on them, worklist, conversations, certificates and the audit log."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .store import Store, open_store

__all__ = ["Store", "open_store"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported on use: SQLAlchemy takes a third of a second
        from . import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
