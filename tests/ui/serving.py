"""Serves a desk on a free port of this machine, and drives it with the system's Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ui.app import build_app
from ui.cases import Triage
from ui.models import Engine
from ui.votes import Votes

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOADED = "window.pathcopilot?.viewer.world.getItemAt(0)?.getFullyLoaded()"


@contextmanager
def served(
    engine: Engine, slides: list[Path], votes: Votes | None = None, triage: Triage | None = None
) -> Iterator[str]:
    """The address of a desk with that engine and those slides."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(
        build_app(engine, slides, votes, triage), host="127.0.0.1", port=port, log_level="critical", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)


def chromium() -> str:
    """The path of a Chromium; skips the test where there is none."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium: install Debian's package chromium, or name one in CHROMIUM")
    return path


@contextmanager
def browser() -> Iterator[Any]:
    """A Playwright browser that makes no calls of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), headless=True, args=_FLAGS)
        try:
            yield opened
        finally:
            opened.close()


def opened(page: Any, url: str) -> Any:
    """The page with its first slide drawn in full."""
    page.goto(url)
    page.wait_for_function(LOADED, timeout=30000)
    return page


def drag_box(page: Any, left: float, top: float, width: float, height: float) -> None:
    """Draws a box, in shares of the viewer, with the pointer."""
    page.keyboard.press("r")
    frame = page.locator("#viewer .osd").bounding_box()
    x, y = frame["x"] + left * frame["width"], frame["y"] + top * frame["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width * frame["width"] / 2, y + height * frame["height"] / 2, steps=3)
    page.mouse.move(x + width * frame["width"], y + height * frame["height"], steps=3)
    page.mouse.up()


def ask(page: Any, question: str) -> None:
    """Types a question and sends it with Enter."""
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")


def finished(page: Any, answers: int = 1) -> None:
    """Waits until that many answers stand with their figures."""
    page.wait_for_function(
        f"document.querySelectorAll('#conversation details.figures').length >= {answers}"
        " && !document.body.hasAttribute('data-answering')",
        timeout=60000,
    )
