"""What an answer says, in order: the statements that a plan and the observations call for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import wording
from .answer import Turn
from .differential import Conflict
from .plan import Intent, Plan
from .slide_words import at_low_power, second_look, where_suspicious
from .statements import Seen, Statement, listed

HOUSE = ("house rule",)
CHROMOGEN = ("positive_nuclei_share", "chromogen_share")
MEASURES = (
    "nuclei_density", "nuclear_area", "nuclear_elongation", "clear_space_share", *CHROMOGEN,
)  # fmt: skip
MORE_MEASURES = (
    "nuclear_spacing", "nuclear_area_variation", "nuclear_share", "nuclear_eccentricity", "nuclear_hyperchromasia",
)  # fmt: skip
"""Said only where a question asks for measures: their intervals are wide."""

BRIEF = ("nuclei_density", *CHROMOGEN)
"""Said of each of several views, and of a whole slide only where the question asks for measures."""

BEYOND: tuple[Intent, ...] = ("grade", "outcome", "patient", "objects")
"""Intents that no finding answers."""

LIMITS: dict[str, tuple[str, ...]] = {
    "immunophenotype": (
        "Protein expression and molecular results cannot be read from this section; they need their own test.",
        "No marker or molecular result can be read from this section; it needs its own test.",
    ),
    "marker": (
        "Which marker was stained is not in the picture; what is measured is the chromogen, not a score of the marker.",
    ),
    "grade": (
        "Grade, stage, margins, invasion and mitoses are not assessed here: no validated measure stands behind them.",
        "No validated measure of grade, stage, margins, invasion or mitoses exists here, so they are not assessed.",
    ),
    "outcome": (
        "Prognosis and treatment are not told from a picture of tissue; they rest on the whole case and on those who "
        "treat the patient.",
    ),
    "patient": ("Nothing of the patient is read, neither from the file nor from the picture.",),
    "objects": (
        "Organisms and single kinds of cells are not looked for here: no validated measure stands behind them.",
    ),
    "self": ("This is research software that describes tissue on a slide; it is not a medical device.",),
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
    settling: tuple[Statement, ...] = ()
    """Which test would settle the differential, from the knowledge tables with sources."""
    choice: Statement | None = None
    entries: tuple[Statement, ...] = field(default=())
    """Knowledge entries that the question names."""


def compose(plan: Plan, material: Material, history: Sequence[Turn] = ()) -> list[Statement]:
    """The statements of an answer, most wanted first; each names its evidence or its source.

    What an earlier answer of the conversation said already is said again only where it is asked for.
    """
    if plan.wants("greeting", "self"):
        return [limit(name) for name in ("self", "greeting") if name == "greeting" or plan.wants("self")]
    if not material.seen:
        return [*material.entries, *([] if material.entries else [limit("no view")])]
    named = material.entries if plan.wants("knowledge") else ()
    wanted = [*named, *_beyond(plan, material.seen)]
    wanted += [Statement((conflict.text,), conflict.evidence) for conflict in material.conflicts]
    wanted += [material.choice] if material.choice else []
    usual: list[Statement] = []
    several = len(material.seen) > 1
    for seen in material.seen:
        asked, rest = _view(plan, seen, brief=several)
        wanted += [*asked, *_not_in(history, rest)] if several else asked  # all of a view, then the next
        usual += [] if several else rest
    openings = [s for seen in material.seen for s in opening(plan, seen, history)]
    comparison = _comparison(material.seen) if several else []
    if any(seen.observation.usable for seen in material.seen):
        settling = list(material.settling) or ([limit("no tests")] if plan.wants("tests") else [])
        wanted, usual = (wanted + settling, usual) if plan.wants("tests") else (wanted, usual + settling)
    wanted += material.entries
    fresh = _not_in(history, usual)
    return _unique([*openings, *comparison, *wanted, *(fresh if wanted or comparison or fresh else usual)])


def _not_in(history: Sequence[Turn], statements: Sequence[Statement]) -> list[Statement]:
    """The statements that no earlier answer of the conversation made."""
    earlier = " ".join(turn.answer for turn in history)
    return [s for s in statements if not any(text in earlier for text in s.wordings)]


def opening(plan: Plan, seen: Seen, history: Sequence[Turn] = ()) -> list[Statement]:
    """What a whole slide shows at low power: the first words on it, which can be said before a field is read.

    Nothing where the question is of something else, or an earlier answer said it.
    """
    if not plan.wants("describe", "category", "where", "organ", "quality"):
        return []
    return _not_in(history, wording.of_slide(seen, at_low_power))


def _beyond(plan: Plan, views: Sequence[Seen]) -> list[Statement]:
    """The limits that a question runs into; on a chromogen stain, what is measured of it comes right behind."""
    said = [limit(name) for name in BEYOND if plan.wants(name)]
    if not plan.wants("immunophenotype"):
        return said
    chromogen = [s for seen in views for name in CHROMOGEN for s in wording.measured(seen, name)]
    return said + ([limit("marker"), *chromogen] if chromogen else [limit("immunophenotype")])


def limit(name: str) -> Statement:
    """A closed list of sentences on what the method cannot do; their source is the house rule."""
    return Statement(LIMITS[name], sources=HOUSE)


def _view(plan: Plan, seen: Seen, *, brief: bool) -> tuple[list[Statement], list[Statement]]:
    """What was asked about a view, and what else there is to tell of it; less of that where views are compared, and
    of a whole slide, whose measures are of a few fields."""
    if not seen.observation.usable:
        return [wording.unusable(seen)], [*wording.classified(seen, "stain"), *wording.coverage(seen)]
    slide = seen.at("tissue_pieces") is not None
    names = ("category", "disease", "tissue", "organ", "stain")
    told = {name: wording.classified(seen, name) for name in names}
    untold = {name: wording.unclassified(seen, name, why=True) for name in names}
    places = [*wording.of_slide(seen, where_suspicious), *wording.of_slide(seen, second_look)]
    told["where"] = places
    untold["category"] += places
    told["measure"] = [s for name in _measures(plan, brief=brief, slide=slide) for s in wording.measured(seen, name)]
    told["quality"] = wording.focus(seen)
    chromogen = [s for name in CHROMOGEN for s in wording.measured(seen, name)]
    if chromogen and (slide or brief):
        chromogen.append(limit("marker"))
    asked: list[Statement] = []
    wanted = [n for intent in plan.intents for n in (("category", "disease") if intent == "category" else (intent,))]
    if not places:  # a picture of one place: where it is from
        wanted = ["organ" if name == "where" else name for name in wanted]
    if merged := wording.of_another_stain(seen, ("category", "organ")):
        untold |= {"category": merged, "organ": merged}
        if {"category", "organ", "where"} & {*wanted}:  # what can be read of such a stain comes first
            asked += [*told["stain"], *chromogen]
    for name in wanted:
        asked += told.get(name, []) + untold.get(name, [])
    rest = [s for name in ("category", "disease", "tissue", "organ") for s in told[name]]
    if not brief:  # what it is, or looks like, before what was measured; a head out of its organ has no say unasked
        rest += _unasked(seen, wanted)
        rest += places if slide else []
        rest += wording.resembles(seen)
    rest += told["measure"] + chromogen + told["stain"]
    focus = seen.at("focus")
    if focus is not None and focus[1].finding.label != "sharp":
        rest += told["quality"]
    unmeasured = wording.unmeasured(seen) if plan.wants("measure") or not (slide or brief) else []
    return asked, [*rest, *wording.coverage(seen), *unmeasured]


def _measures(plan: Plan, *, brief: bool, slide: bool) -> tuple[str, ...]:
    if not plan.wants("measure"):
        usual = MEASURES if plan.wants("describe", "compare") else (*BRIEF, "nuclear_area")
        return BRIEF if brief else CHROMOGEN if slide else usual
    return MEASURES if brief else (*MEASURES, *MORE_MEASURES)


def _unasked(seen: Seen, wanted: Sequence[str]) -> list[Statement]:
    """That the organ, process or stain is not classified, shortly, where the question did not ask for it."""
    names = [name for name in ("organ", "category", "stain") if name not in wanted]
    merged = wording.of_another_stain(seen, [name for name in names if name != "stain"])
    rest = [name for name in names if not merged or name == "stain"]
    return [*merged, *(s for name in rest for s in wording.unclassified(seen, name, why=False))]


def _comparison(seen: Sequence[Seen]) -> list[Statement]:
    """Where several views agree or differ, by the labels of their findings."""
    said = []
    for name in ("stain", "organ", "category"):
        found = [(view.label, at) for view in seen if (at := view.at(name)) and not at[1].finding.abstained]
        labels = {at[1].finding.label for _, at in found}
        if len(found) < 2:
            continue
        indices = tuple(index for _, (index, _) in found)
        each = listed([f"{label} {_as_said(at[1].finding.label or '')}" for label, at in found], "and")
        if name == "stain" and len(labels) == 1:
            continue
        if len(labels) == 1:
            said.append(Statement((f"The views agree on the {name}: {labels.pop()}.",), indices))
        else:
            said.append(Statement((f"The views differ on the {name}: {each}.",), indices))
    return said


def _as_said(label: str) -> str:
    return "H&E" if label == "HE" else label


def _unique(statements: Sequence[Statement]) -> list[Statement]:
    """The statements without repeats, first kept."""
    return list({s.wordings[0]: s for s in statements}.values())
