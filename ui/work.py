"""Work that outlives the request which began it: answers, drafts and worklists, each in its own thread."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

from copilot.answer import Looking, Question, View
from slides import PathcopilotError

from .exchange import Exchange
from .models import Draft, Engine, Halted, Models, failure, give_up_if
from .rack import Rack

UPDATES_PER_SECOND = 10


Ask = Callable[[tuple[View, ...]], Question]
Keep = Callable[[Exchange], None]


def answer(exchange: Exchange, models: Models, rack: Rack, question: Ask, keep: Keep | None = None) -> None:
    """Starts answering; the exchange fills whether or not a page is watching. `keep` is told of a finished one."""
    threading.Thread(target=_answer, args=(exchange, models, rack, question, keep), name="answer", daemon=True).start()


def _answer(exchange: Exchange, models: Models, rack: Rack, question: Ask, keep: Keep | None) -> None:
    try:
        slide = rack.slide(exchange.slide)
        views = tuple(View(slide, region) for region in exchange.regions) or (View(slide),)
        with models.turn(lambda why: exchange.take(Looking(why)), exchange.halt.is_set) as engine:
            otherwise = exchange.again is not None
            for event in engine.ask(question(views), halted=exchange.halt.is_set, otherwise=otherwise):
                exchange.take(event)
        if not exchange.over:
            exchange.fail("The answer broke off before its end; ask again.")
        if keep is not None:
            keep(exchange)
    except Halted:
        exchange.fail("Stopped before anything was looked at.")
    except PathcopilotError as error:
        exchange.fail(str(error))
    except Exception as error:  # a page that waits for ever is worse than one that says it failed
        exchange.fail(failure(error))


def follow(exchange: Exchange) -> Iterator[bool]:
    """Yields whenever the exchange has changed, at most ten times a second; True at its end, and then ends."""
    version = -1
    while True:
        began = time.monotonic()
        version = exchange.wait(version, timeout=0.5)
        over = exchange.over
        yield over
        if over:
            return
        time.sleep(max(0.0, 1 / UPDATES_PER_SECOND - (time.monotonic() - began)))


class Drafting:
    """A draft on its way: its thread goes on when the page is reloaded, and ends when it is halted.

    Parameters
    ----------
    key : the slide it is about, None for all of them
    make : what makes the draft of the engine; it is given where to tell progress
    keep : told the finished Markdown, or one line that says why there is none
    """

    def __init__(
        self,
        key: str | None,
        models: Models,
        make: Callable[[Engine, Callable[[str], None]], Draft],
        keep: Callable[[str], None],
    ) -> None:
        self.key = key
        self.halt = threading.Event()
        self._began = time.monotonic()
        self._stage = ""
        self._told = "Starting"
        self._text: str | None = None
        self._thread = threading.Thread(target=self._run, args=(models, make, keep), name="draft", daemon=True)
        self._thread.start()

    def follow(self) -> Iterator[tuple[str, bool]]:
        """Markdown to show and whether it is the end of it: a line a second, then the draft."""
        while self.alive:
            yield " · ".join(filter(None, (self._stage, self._told, f"{time.monotonic() - self._began:.0f} s"))), False
            self._thread.join(timeout=0.5)
        yield self._text or "", True

    @property
    def alive(self) -> bool:
        """True while it is being made."""
        return self._thread.is_alive()

    def _run(
        self,
        models: Models,
        make: Callable[[Engine, Callable[[str], None]], Draft],
        keep: Callable[[str], None],
    ) -> None:
        try:
            with models.turn(self._tell, self.halt.is_set) as engine:
                self._text = plain_markdown(make(engine, self._tell).markdown())
                keep(self._text)
        except Halted:
            self._text = "Stopped."
        except PathcopilotError as error:
            self._text = plain_markdown(str(error))
        except Exception as error:  # a page that waits for ever is worse than one that says it failed
            self._text = failure(error)

    def _tell(self, what: str) -> None:
        give_up_if(self.halt.is_set)
        if re.fullmatch(r"slide \d+ of \d+", what):
            self._stage, what = what.capitalize(), ""
        self._told = plain_markdown(what)


def plain_markdown(text: str) -> str:
    """Markdown without a way out: no HTML, and no picture that a browser would fetch."""
    return text.replace("<", "&lt;").replace("![", "!\\[")
