"""Calibration: labelled slides of a laboratory to a certificate, or to the number of positive patients that lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from slides import UsageError

from ..store import Store
from .audit import SHARE
from .certificate import Certificate, certify
from .drift import refer
from .exact import positives_needed
from .labels import Table
from .scorer import Scorer, Sight, SlidesProgress, look_at_files


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A certificate, and the slides that had no score with why: their patients count as never released."""

    certificate: Certificate
    unscored: tuple[tuple[str, str], ...]
    uncertain: int


def calibrate(
    table: Table,
    scorer: Scorer,
    *,
    sensitivity: float,
    confidence: float,
    store: Store | None,
    progress: SlidesProgress,
    audit_share: float = SHARE,
    today: date | None = None,
) -> Calibrated:
    """Scores every slide of a table with labels, and certifies a threshold on its positive patients.

    A patient's score is the highest of its slides; one with a slide that has no score, or that is uncertain, is never
    released, so it counts as no miss. With a store, slides that were scored before are not looked at again. Raises
    `UsageError` before anything is looked at when there are too few positive patients, or when no slide opens.
    """
    check_counts(table, sensitivity, confidence)
    if not 0.0 <= audit_share < 1.0:
        raise UsageError("the share for the audit is a number from 0 to below 1, for instance 0.15")
    paths = [row.path for row in table.rows]
    sights = dict(zip(paths, look_at_files(scorer, paths, store, progress), strict=True))
    if all(sight.score is None for sight in sights.values()):
        why = next(iter(sights.values())).why
        raise UsageError(f"none of the {len(sights)} slides of {table.name} can be scored; the first: {why}")
    scores: dict[bool, list[float | None]] = {False: [], True: []}
    profiles = []
    for rows in table.patients.values():
        positive = any(row.positive for row in rows)
        scores[positive].append(patient_score([sights[row.path] for row in rows]))
        profiles += [(sight.profile, positive) for row in rows if (sight := sights[row.path]).profile is not None]
    certificate = certify(
        scores[True],
        scores[False],
        sensitivity=sensitivity,
        confidence=confidence,
        data={
            "name": table.name,
            "sha256": table.sha256,
            "slides": len(table.rows),
            "patients": len(table.patients),
        },
        made=(today or date.today()).isoformat(),
        scorer={"name": scorer.name, "hashes": dict(scorer.hashes)},
        reference=refer([(profile, positive) for profile, positive in profiles if profile is not None]),
        audit_share=audit_share,
    )
    unscored = tuple((sight.slide, sight.why) for sight in sights.values() if sight.score is None)
    uncertain = sum(sight.score is not None and sight.uncertain is not None for sight in sights.values())
    return Calibrated(certificate, unscored, uncertain)


def check_counts(table: Table, sensitivity: float, confidence: float) -> None:
    """Raises `UsageError` when a table has too few positive patients for any threshold at all."""
    needed = positives_needed(sensitivity, confidence)
    count = sum(any(row.positive for row in rows) for rows in table.patients.values())
    if count < needed:
        raise UsageError(
            f"{table.name} has {count} positive patients, too few to certify sensitivity {sensitivity:g} at "
            f"{100 * confidence:g} % confidence: at least {needed} are needed, {needed - count} more"
        )


def patient_score(sights: Sequence[Sight]) -> float | None:
    """The highest score of a patient's slides; None where one of them forbids a release."""
    if any(sight.held is not None for sight in sights):
        return None
    return max((sight.score for sight in sights if sight.score is not None), default=None)
