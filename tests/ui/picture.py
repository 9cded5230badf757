"""Makes the picture of the desk: `python -m tests.ui.picture SLIDE [OUT.png]`, with the real engine in Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from copilot import Copilot
from tests.ui.serving import LOADED, ask, browser, drag_box, opened, served

OUT = Path(__file__).resolve().parents[2] / "docs" / "desk.png"
KEYS = ("2", "ArrowUp", "ArrowUp")
"""10×, somewhat above the middle of the slide."""
BOX = (0.36, 0.17, 0.3, 0.52)
"""Where the box is drawn, in shares of the viewer."""
COLOURS = 255
PATIENCE = 300_000


def picture(slide: Path, out: Path) -> None:
    """Opens the slide, draws a box at 10×, asks what it is, and saves the window at 1366 × 768."""
    with served(Copilot.load(), [slide]) as url, browser() as chrome:
        page = chrome.new_context(viewport={"width": 1366, "height": 768}, color_scheme="light").new_page()
        page.set_default_timeout(PATIENCE)
        opened(page, url)
        for key in KEYS:
            page.keyboard.press(key)
        page.wait_for_timeout(1500)  # the flight
        drag_box(page, *BOX)
        ask(page, "What is this?")
        page.wait_for_selector("#conversation details.figures")
        page.wait_for_function(f"[...document.images].every((image) => image.complete) && {LOADED}")
        if page.locator("#conversation .failure").count():
            raise SystemExit(page.locator("#conversation .failure").inner_text())
        page.screenshot(path=out)
    # a palette keeps the file small enough for a README without touching the layout
    with Image.open(out) as shot:
        shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else OUT)
