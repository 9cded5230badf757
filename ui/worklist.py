"""What the worklist's page does: rank, recall a release, sign a case out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from slides import PathcopilotError

from .cases import Cases

LONGEST_REASON = 300
Update = Any


class WorklistPage:
    """Handlers of the list of cases; every one answers with the list as it then stands."""

    def __init__(self, cases: Cases) -> None:
        self.cases = cases

    def shown(self, complaint: str = "") -> Update:
        """The list for the page, with one line where something could not be done."""
        try:
            return gr.update(shown=self.cases.as_props() | {"complaint": complaint})
        except PathcopilotError as error:  # the store went away: the page says so, and the rest of it works
            return gr.update(shown={"certificate": None, "cases": [], "kept": False, "complaint": str(error)})

    def recall(self, event: gr.EventData) -> Update:
        """A person takes a release back, with a reason."""
        return self._do(lambda: self.cases.override(_case(event), "recalled", _text(event, "reason")))

    def sign_out(self, event: gr.EventData) -> Update:
        """A person has read a case and says what it was."""
        return self._do(lambda: self.cases.sign_out(_case(event), bool(event._data.get("positive"))))

    def recalled(self) -> bool:
        """Asks the store, once, which of the open slides it knows; True when the list has changed."""
        try:
            return self.cases.recall()
        except PathcopilotError:
            return True  # showing the list says what is wrong

    def listen(self, component: Any, quiet: dict[str, Any]) -> None:
        """Binds the list's events."""
        component.recall(self.recall, None, component, **quiet)
        component.signout(self.sign_out, None, component, **quiet)

    def _do(self, job: Callable[[], None]) -> Update:
        try:
            job()
        except PathcopilotError as error:
            return self.shown(str(error))
        return self.shown()


def _case(event: gr.EventData) -> str:
    return _text(event, "case")


def _text(event: gr.EventData, name: str) -> str:
    """A text from a browser: input, so nothing about it is certain."""
    return str(event._data.get(name) or "")[:LONGEST_REASON]
