"""What a person has open: conversation, boxes, context and drafts by (session, slide), kept in memory here.

Nothing of it lies in the browser, so a reload loses nothing and a shared computer keeps nothing.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from copilot.answer import Turn
from slides import Region

from .exchange import Exchange
from .work import Drafting

COOKIE = "pathcopilot_desk"
SESSIONS = 64
REMEMBERED_TURNS = 6
"""Earlier exchanges that a new question takes along."""
SHOWN_TURNS = 40
"""Exchanges sent to the page: more would slow every update (measured: 87 % of a browser's thread at 200)."""
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass
class SlideState:
    """Everything about one slide in one session."""

    exchanges: list[Exchange] = field(default_factory=list)
    regions: tuple[Region, ...] = ()
    context: str = ""
    candidates: str = ""
    tests: str = ""
    report: str = ""

    @property
    def running(self) -> Exchange | None:
        """The exchange that is still being answered, None when there is none."""
        return next((exchange for exchange in reversed(self.exchanges) if not exchange.over), None)

    def history(self) -> tuple[Turn, ...]:
        """Finished exchanges, oldest first, as many as a question takes along."""
        turns = [turn for exchange in self.exchanges if (turn := exchange.turn())]
        return tuple(turns[-REMEMBERED_TURNS:])


@dataclass
class Session:
    """One browser's state: the slide it looks at and what was said about each."""

    current: str | None = None
    worklist: str = ""
    drafting: dict[str, Drafting] = field(default_factory=dict)
    slides: dict[str, SlideState] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, slide: str) -> SlideState:
        """The state of a slide, made when first asked for."""
        with self.lock:
            return self.slides.setdefault(slide, SlideState())


class Sessions:
    """Sessions by the key in the cookie; the least recently used are let go."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str | None) -> Session:
        """The session of a key, made when first asked for; one that nobody can come back to when it is no key."""
        if key is None or not _KEY.fullmatch(key):
            return Session()
        with self._lock:
            session = self._sessions.setdefault(key, Session())
            self._sessions.move_to_end(key)
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
            return session


class SessionCookie:
    """ASGI wrapper that gives a browser without a session key one, out of reach of scripts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or _has_key(scope):
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={secrets.token_urlsafe(32)}; HttpOnly; SameSite=Strict; Path=/"
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            await send(message)

        await self.app(scope, receive, marked)


def _has_key(scope: Scope) -> bool:
    cookies = b"; ".join(value for name, value in scope["headers"] if name.lower() == b"cookie")
    try:
        morsel = SimpleCookie(cookies.decode("latin-1")).get(COOKIE)
    except CookieError:
        return False
    return morsel is not None and _KEY.fullmatch(morsel.value) is not None
