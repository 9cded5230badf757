"""What was found when cases were read, entered for the audit of a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slides import PathcopilotError, UsageError, open_slide

from ..store import Store
from ..store.store import Placed, Review
from .audit import Verdict, judge
from .certificate import Certificate
from .grouping import case_of_slide
from .labels import Labelled, Table

STOPPED = "the audit of released cases refutes it"


@dataclass(frozen=True, slots=True)
class Entered:
    """What came of entering results: new reviews, cases left out with why, and the evidence so far."""

    new: int
    left_out: tuple[str, ...]
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "new": self.new,
            "left_out": list(self.left_out),
            "reviews": self.verdict.reviews,
            "positives": self.verdict.positives,
            "misses": self.verdict.misses,
            "evidence": round(self.verdict.wealth, 4),
            "stopped": self.verdict.refuted,
            "statement": self.verdict.words,
        }


def enter(table: Table, certificate: Certificate, store: Store, actor: str, *, by_slide: bool = False) -> Entered:
    """Enters a table of results (label 1 = positive) and stops the certificate where they refute it.

    `by_slide`: the cases were triaged each slide for itself. A case that was not triaged under the certificate is
    left out. Raises `UsageError` when none was.
    """
    reviews, left_out = [], []
    for name, rows in _cases(table, store, by_slide):
        placed = None if name is None else store.case(name)
        shown = rows[0].path.name if by_slide else f"the patient of {rows[0].path.name}"
        if name is None:
            left_out.append(f"{shown}: the slide does not open")
        elif placed is None or certificate.sha256 not in placed.record.get("under", {}):
            left_out.append(f"{shown}: not triaged under this certificate")
        else:
            reviews.append(review_of(placed, certificate, positive=any(row.positive for row in rows)))
    if not reviews:
        raise UsageError(f"no case of {table.name} was triaged under this certificate in this store: {left_out[0]}")
    return Entered(store.review(certificate.sha256, reviews, actor), tuple(left_out), settle(certificate, store, actor))


def review_of(placed: Placed, certificate: Certificate, *, positive: bool) -> Review:
    """The review of a case triaged under a certificate: a positive one below the threshold is a miss, drawn or not."""
    judged = placed.record["under"][certificate.sha256]
    below, drawn = bool(judged["below"]), bool(judged["drawn"])
    return Review(placed.case, positive, missed=positive and below, sampled=drawn or not below)


def settle(certificate: Certificate, store: Store, actor: str) -> Verdict:
    """Judges all reviews under a certificate, and stops it for good where they refute it."""
    verdict = judge(store.reviews(certificate.sha256), certificate.sensitivity, certificate.audit_share)
    if verdict.refuted:
        store.stop_certificate(certificate.sha256, f"{STOPPED}: {verdict.words}", actor)
    return verdict


def _cases(table: Table, store: Store, by_slide: bool) -> list[tuple[str | None, list[Labelled]]]:
    """Pseudonyms with the lines of the table; None for a slide that does not open."""
    if not by_slide:
        return [(store.case_id(f"patient {patient}"), rows) for patient, rows in table.patients.items()]
    named: list[tuple[str | None, list[Labelled]]] = []
    for row in table.rows:
        try:
            with open_slide(row.path) as slide:
                named.append((case_of_slide(store, slide.fingerprint), [row]))
        except PathcopilotError:
            named.append((None, [row]))
    return named
