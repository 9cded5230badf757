"""Instruction data in small: conversations by rule about generated pictures, and recipes for a tiny base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instruction_data.conversation import Conversation, Exchange, Part, Picture
from tests.conftest import paint_tissue

ORGANS = ("colon", "breast", "kidney", "lung", "skin", "liver")


def conversations(count: int = 24) -> list[Conversation]:
    """Descriptions to align by, and conversations of two exchanges to tune by; every fourth is held out."""
    return [one for number in range(count) for one in (_described(number), _asked(number))]


def _part(number: int) -> Part:
    return "valid" if number % 4 == 3 else "train"


def _picture(number: int) -> Picture:
    return Picture(f"set/tile {number % 4}", "set", f"set/patient {number % 4}", None if number % 3 == 0 else 0.5)


def _described(number: int) -> Conversation:
    organ = ORGANS[number % len(ORGANS)]
    said = Exchange("Describe the picture.", f"The picture shows the {organ}.")
    return Conversation("describe", (said,), (_picture(number),), ("set",), "align", f"d{number}", _part(number))


def _asked(number: int) -> Conversation:
    organ, p, nuclei = ORGANS[number % len(ORGANS)], 0.6 + number % 30 / 100, 2100 + 130 * number
    facts = (
        f"The picture favours {organ} as the organ ({p:.2f}).",
        f"Nuclei number about {nuclei:,} per mm².",
    )
    first = Exchange("Which organ is it?", f"It favours the {organ} ({p:.2f}).", facts)
    if number % 2:
        refused = "No marker can be read from this section; it needs its own test."
        second = Exchange("Read the Ki-67 index.", refused, facts[1:], abstains=True)
    else:
        second = Exchange("How many nuclei are there?", f"There are about {nuclei:,} nuclei per mm².", facts[1:])
    return Conversation("question", (first, second), (_picture(number),), ("set",), "tune", f"q{number}", _part(number))


def write_data(folder: Path, told: Sequence[Conversation] | None = None, *, pictures: bool = False) -> Path:
    """A folder as `pathcopilot build-data` writes it, as far as tuning reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [one.as_json() for one in (conversations() if told is None else told)]
    (folder / "conversations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if pictures:
        (folder / "pictures").mkdir(exist_ok=True)
        for number in range(4):
            paint_tissue(256, 256, seed=number).save(folder / "pictures" / f"set__tile {number}.jpg")
    return folder


TUNE = {"kind": "tune", "steps": 6, "rate": 3e-3}
ALIGN = {"kind": "align", "steps": 4, "projector_rate": 3e-3}
PREFER = {"kind": "prefer", "steps": 4, "rate": 1e-2}


def write_recipe(path: Path, base: Path | str, *stages: dict[str, object], **settings: object) -> Path:
    """A recipe for that base; small batches, a look every two steps."""
    chosen: dict[str, object] = {
        "base": str(base), "rank": 4, "alpha": 8, "longest": 400, "tokens": 1200, "watch": 2, "checkpoint": 2,
        "held_out": 12, "projector_width": 16, "visual_tokens": 2, **settings,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
    for stage in stages or (TUNE,):
        lines += ["[[stage]]", *(f"{name} = {json.dumps(value)}" for name, value in stage.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def silent(*_: object) -> None:
    """No progress."""


class Bench:
    """Tunes a tiny base by stages and settings; `out` names the folder below the bench's own."""

    def __init__(self, base: Path, data: Path, place: Path) -> None:
        self.base, self.data, self.place = base, data, place

    def __call__(
        self, *stages: dict[str, object], out: str = "out", until: int | None = None, **settings: object
    ) -> dict[str, Any]:
        from copilot.tuning.run import tune

        recipe = write_recipe(self.place / "small.toml", self.base, *stages, **settings)
        card = tune(recipe, self.data, self.place / out, silent, silent, until=until)
        assert card is not None
        return card
