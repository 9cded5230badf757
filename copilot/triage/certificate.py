"""The certificate: what was proved, on how many patients, with which weights; it is recomputed whenever it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slides import UsageError
from slides.files import write_atomically

from .audit import SHARE
from .drift import Reference
from .threshold import Threshold, learn_then_test, share_interval

KIND, VERSION = "pathcopilot triage certificate", 1
METHOD = "learn-then-test, fixed sequence upwards from release-none, exact binomial p-values, unit = patient"


@dataclass(frozen=True)
class Certificate:
    """A certificate as it was made or read.

    Attributes
    ----------
    sensitivity, confidence : what is certified, in (0, 1), one-sided
    threshold : λ with its counts; a case is released below it
    positives, negatives : calibration scores by patient, None for one that is never released (unreadable, uncertain)
    data : name and SHA-256 of the labels file, numbers of slides and patients
    made : date, ISO 8601
    scorer : name and hashes of what gives the scores
    audit_share : share of the cases below the threshold that is sampled back for review
    reference : what the calibration slides were like
    sha256 : of all of the above in canonical JSON
    fault : why it cannot be relied on although it reads (altered), None when everything follows from its scores
    """

    sensitivity: float
    confidence: float
    threshold: Threshold
    positives: tuple[float | None, ...]
    negatives: tuple[float | None, ...]
    data: Mapping[str, Any]
    made: str
    scorer: Mapping[str, Any]
    audit_share: float
    reference: Reference
    sha256: str = ""
    fault: str | None = None

    @property
    def statement(self) -> str:
        """What a release under it says, and all that it says."""
        return (
            f"below threshold λ = {self.threshold.value:.4g} (sensitivity ≥ {self.sensitivity:g}, "
            f"{100 * self.confidence:g} % confidence, n = {self.threshold.positives})"
        )

    @property
    def released(self) -> tuple[int, int]:
        """Negative calibration patients below the threshold, and all negative ones."""
        below = [score for score in self.negatives if score is not None and score < self.threshold.value]
        return len(below), len(self.negatives)

    def as_json(self) -> dict[str, Any]:
        """The whole certificate in plain types, its hash last."""
        body = self._body()
        return body | {"sha256": _digest(body)}

    def summary(self) -> dict[str, Any]:
        """What a worklist shows of it."""
        told = self.as_json()
        return {name: told[name] for name in told if name not in ("calibration", "drift")}

    def _body(self) -> dict[str, Any]:
        hits, of = self.released
        low, high = share_interval(hits, of)
        tested = self.threshold
        return {
            "kind": KIND,
            "version": VERSION,
            "statement": self.statement,
            "sensitivity": self.sensitivity,
            "confidence": self.confidence,
            "lambda": tested.value,
            "unit": "patient",
            "n_positives": tested.positives,
            "misses": tested.misses,
            "positives_never_released": sum(score is None for score in self.positives),
            "p_value": float(f"{tested.p_value:.6g}"),
            "sensitivity_bound": round(tested.bound, 6),
            "released": {
                "of": "negative calibration patients",
                "n": of,
                "released": hits,
                "share": round(hits / of, 4) if of else None,
                "interval_95": [round(low, 4), round(high, 4)],
            },
            "method": METHOD,
            "population": "positive patients of whom those of the labels file are a random sample",
            "data": dict(self.data),
            "made": self.made,
            "scorer": dict(self.scorer),
            "audit_share": self.audit_share,
            "calibration": {"positives": list(self.positives), "negatives": list(self.negatives)},
            "drift": self.reference.as_json(),
        }


def certify(
    positives: Sequence[float | None],
    negatives: Sequence[float | None],
    *,
    sensitivity: float,
    confidence: float,
    data: Mapping[str, Any],
    made: str,
    scorer: Mapping[str, Any],
    reference: Reference,
    audit_share: float = SHARE,
) -> Certificate:
    """The certificate of calibration scores; raises `UsageError` with the number that lacks when they are too few."""
    kept = tuple(sorted((_rounded(score) for score in positives), key=_order))
    threshold = learn_then_test(kept, sensitivity, confidence)
    rest = tuple(sorted((_rounded(score) for score in negatives), key=_order))
    drawn = Certificate(sensitivity, confidence, threshold, kept, rest, data, made, scorer, audit_share, reference)
    return replace(drawn, sha256=_digest(drawn._body()))


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Writes it whole or not at all; raises `UsageError` when it cannot be written."""
    try:
        write_atomically(path, json.dumps(certificate.as_json(), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path.name}: {error.strerror}: name another --out") from None


def read_certificate(path: Path) -> Certificate:
    """A certificate from its file, everything in it computed anew from its scores.

    One that was altered is read with its `fault`, so that it can be told and releases nothing. Raises `UsageError`
    for a file that is no certificate.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.get("kind") != KIND or record.get("version") != VERSION:
            raise ValueError
        return from_json(record)
    except OSError as error:
        raise UsageError(f"cannot read {path.name or path}: {error.strerror}: name a certificate.json") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path.name} is no certificate: name what pathcopilot calibrate-triage wrote") from None


def from_json(record: Mapping[str, Any]) -> Certificate:
    """As `read_certificate`, of what was read; raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    scores = record["calibration"]
    try:
        computed = certify(
            scores["positives"],
            scores["negatives"],
            sensitivity=float(record["sensitivity"]),
            confidence=float(record["confidence"]),
            data=record["data"],
            made=str(record["made"]),
            scorer={"name": str(record["scorer"]["name"]), "hashes": dict(record["scorer"]["hashes"])},
            reference=Reference.from_json(record["drift"]),
            audit_share=float(record["audit_share"]),
        )
    except UsageError as error:
        raise ValueError(str(error)) from None
    told = {name: value for name, value in record.items() if name != "sha256"}
    if record.get("sha256") != computed.sha256 or _digest(told) != computed.sha256:
        return replace(computed, fault="it was altered after it was made: it does not follow from its own scores")
    return computed


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(float(score), 8)


def _order(score: float | None) -> tuple[bool, float]:
    return score is None, score or 0.0
