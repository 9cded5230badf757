"""Looking before the question: a box is looked at when it is drawn, a slide when it is opened.

A person needs seconds to type; what was seen meanwhile is remembered, and the first word comes at once.
"""

from __future__ import annotations

import threading

from copilot.answer import View
from slides import PathcopilotError, Region

from .models import Halted, Models
from .rack import Rack


class LookAhead:
    """One look at a time for each browser; a newer one takes the place of the one on its way."""

    def __init__(self, models: Models, rack: Rack) -> None:
        self._models = models
        self._rack = rack
        self._running: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def look(self, who: str, key: str, regions: tuple[Region, ...], context: str | None) -> None:
        """Starts looking at the last box of a slide, or at the whole slide where there is none."""
        halt = threading.Event()
        with self._lock:
            before = self._running.get(who)
            self._running[who] = halt
        if before is not None:
            before.set()
        region = regions[-1] if regions else None
        threading.Thread(target=self._look, args=(key, region, context, halt), name="ahead", daemon=True).start()

    def _look(self, key: str, region: Region | None, context: str | None, halt: threading.Event) -> None:
        try:
            view = View(self._rack.slide(key), region)
            with self._models.turn(lambda why: None, halt.is_set) as engine:
                for _ in engine.observe(view, context=context, halted=halt.is_set):
                    pass
        except (Halted, PathcopilotError):
            return  # the question itself will say what is wrong
