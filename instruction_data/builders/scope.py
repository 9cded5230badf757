"""What lies around a reading: greetings, what this is, what no finding answers, and what is asked back."""

from __future__ import annotations

from itertools import count

from ..answering import exchange, standing
from ..grounding import Asked, Told
from ..material import Made, Material, conversation_of
from ..phrases.questions import ask

KINDS = ("self", "grade", "outcome", "scale", "objects", "no view", "unscaled", "patient", "greeting", "unnamed tests")

SCALES = ("scale", "unscaled")
"""Kinds that are answered by the µm/px, or by asking for it."""


def scope(material: Material) -> Made:
    """The kinds in turn; greetings and words about itself without a picture."""
    unscaled = [one for one in material.histology if one.picture.mpp is None]
    pools = {
        "unscaled": material.in_turn("scope unscaled", unscaled),
        "other": material.in_turn("scope", material.histology),
    }
    for number in count():
        kind = KINDS[number % len(KINDS)]
        draw = material.draw("scope", number)
        bare = kind in ("self", "greeting", "no view")
        record = None if bare else next(pools["unscaled" if kind == "unscaled" else "other"], None)
        if record is None and not bare:
            if not material.histology:
                return
            yield None
            continue
        intent = {"unscaled": "measure", "unnamed tests": "tests"}.get(kind, kind)
        text = ask(intent, draw, framed=not bare, number=f"{draw.randint(1, 40)}/{draw.randint(21, 26)}")
        asked = Asked(text, () if record is None else (record,))
        told = material.grounding.facts(asked)
        shown = _scale_first(told) if kind in SCALES else told
        last = standing(material, asked, "look again" if bare else "advice", draw) if draw.random() < 0.4 else []
        said = exchange(
            material,
            asked,
            draw,
            told=shown,
            most=draw.choice((1, 2, 2)),
            lead=1,
            last=last,
        )
        if said is not None:
            said = said.with_facts(told.lines)
        yield conversation_of("scope", said, [] if record is None else [record])


def _scale_first(told: Told) -> Told:
    """What is said of the scale before all else."""
    first = [fact for fact in told.facts if "µm/px" in fact.text and fact.kind in ("note", "coverage")]
    return Told((*first, *(fact for fact in told.facts if fact not in first)), told.choice, told.abstains)
