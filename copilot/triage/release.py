"""Which cases are released: only under a certificate that holds here and now, never one with an uncertain slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..store import Store
from ..store.store import CertificateStopped, Placed, Status
from .audit import judge, sampled
from .certificate import Certificate
from .scorer import Scorer, Sight
from .worklist import Row, Worklist, in_order, row_of

RECENT_SLIDES = 200
"""Slides judged under a certificate, newest first, whose distribution is compared with the calibration set."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with one case; `below` when its score is under the threshold and nothing speaks against it."""

    case: str
    sights: tuple[Sight, ...]
    score: float | None
    status: Status
    reason: str
    below: bool = False


def triage(
    cases: Mapping[str, Sequence[Sight]],
    certificate: Certificate | None,
    scorer: Scorer,
    store: Store | None,
    actor: str,
) -> tuple[Worklist, list[Decision]]:
    """Ranks the slides of cases (by pseudonym), and releases what a valid certificate allows.

    Without a certificate the order is all there is. With a store every case goes on its worklist, and each release
    into its audit log; a certificate needs one, for the audit and for earlier slides of a case. A case that a person
    recalled or signed out is left as it is. Slides without a fingerprint did not open and go on no worklist.
    """
    refused = None
    if certificate is not None:
        assert store is not None, "a release is logged, or it is none"
        store.keep_certificate(certificate.sha256, certificate.as_json(), actor)
        refused = why_not(certificate, scorer, store)
        if refused is None:
            refused = _drifted(certificate, cases, store)
    if store is None:
        decisions = [_decide(case, tuple(sights), (), None, None) for case, sights in cases.items()]
    else:
        try:
            decisions = _settled(cases, certificate, refused, store, actor)
        except CertificateStopped as stopped:  # by the audit, while slides were looked at
            refused = str(stopped)
            decisions = _settled(cases, certificate, refused, store, actor)
    rows = [_row(decision, sight, named=store is not None) for decision in decisions for sight in decision.sights]
    told = None
    if certificate is not None:
        told = certificate.summary() | {"valid": refused is None, "refused": refused}
    return Worklist(in_order(rows), told), decisions


def why_not(certificate: Certificate, scorer: Scorer, store: Store) -> str | None:
    """Why a certificate releases nothing here, in one clause; None when it holds."""
    if certificate.fault is not None:
        return certificate.fault
    stated, here = dict(certificate.scorer["hashes"]), dict(scorer.hashes)
    if certificate.scorer["name"] != scorer.name:
        return f"it was made for another score ({certificate.scorer['name']}): calibrate anew"
    for name in sorted(stated.keys() | here.keys()):
        if stated.get(name) != here.get(name):
            return f"the hash of '{name}' differs from that of the calibration: calibrate anew"
    kept = store.certificate(certificate.sha256)
    if kept is not None and kept[1] is not None:
        return f"it was stopped: {kept[1]}"
    verdict = judge(store.reviews(certificate.sha256), certificate.sensitivity, certificate.audit_share)
    return f"the audit refutes it: {verdict.words}" if verdict.refuted else None


def _drifted(certificate: Certificate, cases: Mapping[str, Sequence[Sight]], store: Store) -> str | None:
    """Whether the newest slides together are unlike the calibration set; those of the store count too."""
    reference = certificate.reference
    fresh = [reference.measures(sight.profile) for sights in cases.values() for sight in sights if sight.profile]
    before = [
        slide["measures"]
        for row in sorted(store.worklist(), key=lambda row: row.at, reverse=True)
        if row.record.get("judged") == certificate.sha256 and row.case not in cases
        for slide in row.record.get("slides", ())
    ]
    why = reference.drifted([*fresh, *before][:RECENT_SLIDES])
    return None if why is None else f"drift: {why}: check scanner and stain, then calibrate anew"


def _decide(
    case: str,
    sights: tuple[Sight, ...],
    earlier: Sequence[Mapping[str, Any]],
    certificate: Certificate | None,
    refused: str | None,
) -> Decision:
    scores = [sight.score for sight in sights]
    known = [score for score in scores if score is not None]
    score = None if len(known) < len(scores) else max(known, default=None)

    def read(reason: str) -> Decision:
        return Decision(case, sights, score, "to read", reason)

    if certificate is None or refused is not None:
        return read("" if refused is None else f"not released: {refused}")
    for sight in sights:
        held = sight.held or _unlike(certificate, sight)
        if held is not None:
            return read(f"not released: {held if len(sights) == 1 else f'a slide of the case is held: {held}'}")
    for slide in earlier:
        if slide["held"] is not None:
            return read(f"not released: an earlier slide of the case is held: {slide['held']}")
        if slide["judged"] != certificate.sha256:
            return read("not released: an earlier slide of the case was not judged under this certificate: name it too")
    highest = max([*known, *(slide["score"] for slide in earlier if slide["score"] is not None)])
    threshold = certificate.threshold.value
    if highest >= threshold:
        return read(f"at or above threshold λ = {threshold:.4g}")
    if sampled(certificate.sha256, case, certificate.audit_share):
        reason = f"drawn for the audit, read it: {certificate.statement}"
        return Decision(case, sights, score, "audit", reason, below=True)
    return Decision(case, sights, score, "released", certificate.statement, below=True)


def _unlike(certificate: Certificate, sight: Sight) -> str | None:
    return "nothing is known of its scanner" if sight.profile is None else certificate.reference.unlike(sight.profile)


def _settled(
    cases: Mapping[str, Sequence[Sight]],
    certificate: Certificate | None,
    refused: str | None,
    store: Store,
    actor: str,
) -> list[Decision]:
    """Decides each case on what the store knows of it, in one transaction; what a person decided before stands.

    The record of a case keeps, for each certificate, whether it was below its threshold and drawn when last judged
    under it while it held: the audit asks for that later.
    """
    under = certificate.sha256 if certificate is not None and refused is None else None
    fresh = {
        case: _once([_slide_record(store, sight, certificate) for sight in sights]) for case, sights in cases.items()
    }
    decided: dict[str, Decision] = {}

    def decide(case: str, before: Placed | None) -> Placed | None:
        earlier = _earlier(before, fresh[case])
        decision = decided[case] = _decide(case, tuple(cases[case]), earlier, certificate, refused)
        slides = [*earlier, *fresh[case]]
        if not any(slide["hash"] for slide in slides):
            return None
        record: dict[str, Any] = {
            "slides": slides,
            "hashes": sorted(slide["hash"] or slide["file"] for slide in slides),
            "under": dict(before.record.get("under", {})) if before is not None else {},
            "judged": None if certificate is None else certificate.sha256,
        }
        if under is not None:
            record["under"][under] = {"below": decision.below, "drawn": decision.status == "audit"}
        return Placed(case, decision.status, decision.score, decision.reason, under, record)

    for case, sights in cases.items():
        for sight in sights:
            if sight.fingerprint:
                store.add_slide(sight.fingerprint, case)
    stands = {row.case: row for row in store.settle(list(cases), decide, actor, under=under)}
    return [_as_it_stands(decided[case], stands.get(case)) for case in cases]


def _earlier(before: Placed | None, fresh: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Slides of a case that were triaged before and are not among these; a file that opens by now is."""
    here = {slide[name] for slide in fresh for name in ("hash", "file")}
    known = [] if before is None else before.record.get("slides", ())
    return [slide for slide in known if (slide["hash"] or slide["file"]) not in here]


def _file_key(store: Store, sight: Sight) -> str:
    """A pseudonym of a slide's name: it tells a file that did not open from others, and nothing more."""
    return store.case_id(f"file {sight.slide}")


def _once(slides: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slides without the copies of one content."""
    return list({slide["hash"] or slide["file"]: slide for slide in slides}.values())


def _as_it_stands(decision: Decision, row: Placed | None) -> Decision:
    if row is None or row.status == decision.status:
        return decision
    words = "recalled by a person: read it" if row.status == "recalled" else "signed out by a person"
    return replace(decision, status=row.status, reason=words)


def _slide_record(store: Store, sight: Sight, certificate: Certificate | None) -> dict[str, Any]:
    """What the worklist keeps of a slide: no name, no path."""
    measures: Mapping[str, float] = {}
    if certificate is not None and sight.profile is not None:
        measures = certificate.reference.measures(sight.profile)
    return {
        "hash": sight.fingerprint,
        "file": _file_key(store, sight),
        "score": sight.score,
        "judged": None if certificate is None else certificate.sha256,
        "held": sight.held or (None if certificate is None else _unlike(certificate, sight)),
        "why": sight.why,
        "alternatives": list(sight.alternatives),
        "fields": [list(box) for box in sight.fields],
        "measures": {name: round(value, 5) for name, value in measures.items() if value < 1e9},
    }


def _row(decision: Decision, sight: Sight, *, named: bool) -> Row:
    reason = "; ".join(filter(None, (decision.reason, sight.why if sight.why not in decision.reason else "")))
    released, drawn = decision.status == "released", decision.status == "audit"
    return row_of(sight, reason=reason, released=released, drawn=drawn, case=decision.case if named else None)
