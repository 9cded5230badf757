"""What a trainee has learned, in a file of their own: spaced repetition by diagnosis and by kind of error.

Cards are scheduled by FSRS (Ye et al. 2022) through its library, without fuzzing: the same answers give the same dates.
The file is the trainee's alone and knows no patient, no slide's name and no case store.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slides import UsageError
from slides.files import write_atomically

from .score import Score

if TYPE_CHECKING:
    from fsrs import Rating

KIND, VERSION = "pathcopilot teaching progress", 1
FILE = "teaching.json"
ERRORS = ("localisation", "diagnosis", "overconfidence", "underconfidence")
SURE = 0.8
"""Confidence from which a wrong answer is overconfident; a right one below 1 - SURE is underconfident."""
HARD = 0.5
"""Confidence below which a right answer was a hard one."""


@dataclass
class Progress:
    """Cards by topic ("diagnosis: …" or "error: …") and the answers given, oldest first."""

    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def record(self, topic: str, score: Score, confidence: float, at: datetime, *, hints: int = 0) -> tuple[str, ...]:
        """Takes an answer in; returns the kinds of error it showed. `at` is in UTC."""
        shown = errors(score, confidence)
        self._review(f"diagnosis: {topic}", _rating(score, confidence, hints), at)
        for kind in ERRORS:
            known = f"error: {kind}" in self.cards
            if kind in shown or known:
                self._review(f"error: {kind}", _error_rating(kind in shown), at)
        self.answers.append(
            {
                "at": at.isoformat(),
                "topic": topic,
                "localisation": score.localisation,
                "differential": score.differential,
                "confidence": confidence,
                "brier": score.brier,
                "hints": hints,
                "errors": list(shown),
            }
        )
        return shown

    def due(self, topic: str) -> datetime | None:
        """When a diagnosis is due again; None when it was never answered."""
        card = self.cards.get(f"diagnosis: {topic}")
        return None if card is None else datetime.fromisoformat(card["due"])

    def means(self) -> Mapping[str, float | None]:
        """Mean of each score over all answers."""
        return {name: _mean([row[name] for row in self.answers]) for name in ("localisation", "differential", "brier")}

    def as_csv(self) -> str:
        """Every answer, a row each, for a spreadsheet."""
        text = io.StringIO()
        names = ("at", "topic", "localisation", "differential", "confidence", "brier", "hints", "errors")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.answers:
            writer.writerow({**row, "errors": " ".join(row["errors"])})
        return text.getvalue()

    def _review(self, name: str, rating: Rating, at: datetime) -> None:
        from fsrs import Card, Scheduler

        card = Card.from_dict(self.cards[name]) if name in self.cards else Card(card_id=len(self.cards) + 1, due=at)  # type: ignore[arg-type]
        self.cards[name] = dict(Scheduler(enable_fuzzing=False).review_card(card, rating, at)[0].to_dict())


def errors(score: Score, confidence: float) -> tuple[str, ...]:
    """The kinds of error that an answer shows."""
    found = {
        "localisation": score.localisation == 0.0,
        "diagnosis": not score.right,
        "overconfidence": not score.right and confidence >= SURE,
        "underconfidence": score.right and confidence <= 1 - SURE,
    }
    return tuple(kind for kind in ERRORS if found[kind])


def load_progress(file: Path) -> Progress:
    """The progress in a file, none yet where there is no file; raises `UsageError` for a file of another kind."""
    if not file.exists():
        return Progress()
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["kind"] != KIND or record["version"] != VERSION:
            raise ValueError
        return Progress(dict(record["cards"]), list(record["answers"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file.name} holds no teaching progress: name another --progress, or move it away") from error


def save_progress(progress: Progress, file: Path) -> None:
    """Writes it whole or not at all; raises `UsageError` when it cannot be written."""
    record = {"kind": KIND, "version": VERSION, "cards": progress.cards, "answers": progress.answers}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {file.name}: {error.strerror}: name another --progress") from None


def _rating(score: Score, confidence: float, hints: int) -> Rating:
    from fsrs import Rating

    if not score.right:
        return Rating.Again
    if hints or score.localisation == 0.0 or confidence < HARD:
        return Rating.Hard
    return Rating.Easy if confidence >= SURE else Rating.Good


def _error_rating(made: bool) -> Rating:
    from fsrs import Rating

    return Rating.Again if made else Rating.Good


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None
