"""The engine behind the desk, loaded while the page already shows the slide, and used by one question at a time."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from copilot.answer import Event, Looking, Question, View
from slides import PathcopilotError
from vision_encoder.observation import Observation

log = logging.getLogger("pathcopilot.desk")


class Draft(Protocol):
    """A test plan, report or worklist: it reads as Markdown."""

    def markdown(self) -> str:
        """The whole of it."""
        ...


class Engine(Protocol):
    """What the desk uses of `copilot.Copilot`."""

    def ask(self, question: Question, *, halted: Callable[[], bool], otherwise: bool = False) -> Iterator[Event]:
        """The events of an answer; `otherwise` in other words than usual."""
        ...

    def observe(
        self, view: View, *, context: str | None, halted: Callable[[], bool]
    ) -> Generator[Looking, None, Observation]:
        """Looks at a view; the engine remembers what it saw."""
        ...

    def suggest(
        self, views: Sequence[View], *, context: str | None, given: Sequence[str], progress: Callable[[str], None]
    ) -> Draft:
        """Ancillary tests in order of use."""
        ...

    def report(self, views: Sequence[View], *, context: str | None, progress: Callable[[str], None]) -> Draft:
        """A structured draft."""
        ...


class Models:
    """An engine that loads in the background, once it is started or first wanted.

    Parameters
    ----------
    source : an engine, or what makes one
    """

    def __init__(self, source: Engine | Callable[[], Engine]) -> None:
        self._engine: Engine | None = None
        self._error: str | None = None
        self._loaded = threading.Event()
        self._turn = threading.Lock()
        self._start = threading.Lock()
        self._source = source if callable(source) else None
        if not callable(source):
            self._engine = source
            self._loaded.set()

    def start(self) -> None:
        """Begins loading; again is nothing."""
        with self._start:
            source, self._source = self._source, None
        if source is not None:
            threading.Thread(target=self._load, args=(source,), name="models", daemon=True).start()

    @property
    def ready(self) -> bool:
        """True when loading has ended, well or badly."""
        return self._loaded.is_set()

    def wait(self) -> None:
        """Returns when loading has ended."""
        self.start()
        self._loaded.wait()

    @contextmanager
    def turn(self, waiting: Callable[[str], None], halted: Callable[[], bool]) -> Iterator[Engine]:
        """The engine, for one user of it at a time; `waiting` is told why it takes long.

        Raises `PathcopilotError` when the models could not be loaded, `Halted` when `halted()` comes first.
        """
        self.start()
        if not self._loaded.is_set():
            waiting("The models are loading")
        while not self._loaded.wait(0.1):
            give_up_if(halted)
        if self._engine is None:
            raise PathcopilotError(self._error or "the models could not be loaded: run `pathcopilot doctor`")
        if not self._turn.acquire(blocking=False):
            waiting("Finishing an earlier look or question first")
            while not self._turn.acquire(timeout=0.1):
                give_up_if(halted)
        try:
            yield self._engine
        finally:
            self._turn.release()

    def _load(self, source: Callable[[], Engine]) -> None:
        try:
            self._engine = source()
        except PathcopilotError as error:
            self._error = str(error)
        except Exception as error:  # the page has to say so, whatever it was
            self._error = failure(error)
        finally:
            self._loaded.set()


class Halted(Exception):
    """Raised when a person stopped something before it was done."""


def give_up_if(halted: Callable[[], bool]) -> None:
    """Raises `Halted` once `halted()`."""
    if halted():
        raise Halted


def failure(error: Exception) -> str:
    """One line for the page about an error nobody foresaw; the log gets the place, not the message.

    A message may hold a path or a file's content, and neither belongs in a log.
    """
    kind = type(error).__name__
    log.error("%s\n%s", kind, "".join(traceback.format_tb(error.__traceback__)))
    return f"This failed inside the desk ({kind}); the terminal that serves it shows where."
