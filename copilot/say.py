"""What an answer says, in order: the statements that a plan and the observations call for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import wording
from .differential import Candidate, Conflict
from .plan import Intent, Plan
from .statements import Seen, Statement, listed

HOUSE = ("house rule",)
MEASURES = ("nuclei_density", "nuclear_area", "clear_space_share", "positive_nuclei_share", "chromogen_share")
MORE_MEASURES = ("nuclear_area_variation", "nuclear_share")
"""Said only where a question asks for measures: their intervals are wide."""

LIMITS: dict[str, tuple[str, ...]] = {
    "immunophenotype": (
        "Protein expression and molecular results cannot be read from this section; they need their own test.",
        "No marker or molecular result can be read from this section; it needs its own test.",
    ),
    "grade": (
        "Grade, stage, margins, invasion and mitoses are not assessed here: no validated measure stands behind them.",
        "No validated measure of grade, stage, margins, invasion or mitoses exists here, so they are not assessed.",
    ),
    "greeting": (
        "Open a slide, draw a box on it and ask what is seen; the answer points at the tissue it rests on.",
        "Draw a box on a slide and ask; each sentence of the answer points at the tissue it rests on.",
    ),
    "no view": (
        "No image came with this question, so nothing visual can be said.",
        "Without an image nothing visual can be said.",
    ),
    "no tests": ("Nothing seen here narrows the differential enough to rank tests; name candidates to compare.",),
}


@dataclass(frozen=True, slots=True)
class Material:
    """Everything an answer may draw on, gathered before the first word."""

    seen: tuple[Seen, ...]
    conflicts: tuple[Conflict, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    settling: tuple[Statement, ...] = ()
    """Which test would settle the differential, from the knowledge tables with sources."""
    choice: Statement | None = None
    entries: tuple[Statement, ...] = field(default=())
    """Knowledge entries that the question names."""


def compose(plan: Plan, material: Material) -> list[Statement]:
    """The statements of an answer, most wanted first; each names its evidence or its source."""
    if plan.wants("greeting"):
        return [limit("greeting")]
    said: list[Statement] = []
    if not material.seen:
        return [*material.entries, *([] if material.entries else [limit("no view")])]
    asked_beyond: tuple[Intent, ...] = ("immunophenotype", "grade")
    said += [limit(intent) for intent in asked_beyond if plan.wants(intent)]
    said += _conflicts(material)
    if material.choice:
        said.append(material.choice)
    for seen in material.seen:
        said += _view(plan, seen)
    if len(material.seen) > 1:
        said += _comparison(material.seen)
    if any(seen.observation.usable for seen in material.seen):
        said += material.settling or ((limit("no tests"),) if plan.wants("tests") else ())
    said += material.entries
    return _unique(said)


def limit(name: str) -> Statement:
    """A closed list of sentences on what the method cannot do; their source is the house rule."""
    return Statement(LIMITS[name], sources=HOUSE)


def _view(plan: Plan, seen: Seen) -> list[Statement]:
    if not seen.observation.usable:
        return [wording.unusable(seen), *wording.classified(seen, "stain"), *wording.coverage(seen)]
    names = ("category", "disease", "tissue", "organ", "stain")
    told = {name: wording.classified(seen, name) for name in names}
    untold = {name: wording.unclassified(seen, name) for name in names}
    measures = (*MEASURES, *MORE_MEASURES) if plan.wants("measure") else MEASURES
    told["measure"] = [s for name in measures for s in wording.measured(seen, name)]
    told["quality"] = wording.focus(seen)
    said: list[Statement] = []
    for asked in plan.intents:  # what was asked comes first, told or not
        for name in ("category", "disease") if asked == "category" else (asked,):
            said += told.get(name, []) + untold.get(name, [])
    for name in (*names, "measure"):
        said += told[name]
    said += [s for name in ("category", "organ", "stain") for s in untold[name]]  # a head out of its organ has no say
    said += wording.resembles(seen)
    focus = seen.at("focus")
    if focus is not None and focus[1].finding.label != "sharp":
        said += told["quality"]
    return [*said, *wording.coverage(seen), *wording.unmeasured(seen)]


def _conflicts(material: Material) -> list[Statement]:
    return [Statement((conflict.text,), conflict.evidence) for conflict in material.conflicts]


def _comparison(seen: Sequence[Seen]) -> list[Statement]:
    """Where several views agree or differ, by the labels of their findings."""
    said = []
    for name in ("organ", "category"):
        found = [(view.label, at) for view in seen if (at := view.at(name)) and not at[1].finding.abstained]
        labels = {at[1].finding.label for _, at in found}
        if len(found) < 2:
            continue
        indices = tuple(index for _, (index, _) in found)
        each = listed([f"{label} {at[1].finding.label}" for label, at in found], "and")
        if len(labels) == 1:
            said.append(Statement((f"The views agree on the {name}: {labels.pop()}.",), indices))
        else:
            said.append(Statement((f"The views differ on the {name}: {each}.",), indices))
    return said


def _unique(statements: Sequence[Statement]) -> list[Statement]:
    """The statements without repeats, first kept."""
    return list({s.wordings[0]: s for s in statements}.values())
