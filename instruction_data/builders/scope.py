"""What lies around a reading: greetings, what this is, what no finding answers, and what is asked back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from ..answering import exchange, standing
from ..conversation import Conversation
from ..grounding import Asked
from ..material import WORDS, Material, sources_of
from ..phrases.questions import ask

KINDS = ("self", "grade", "outcome", "scale", "objects", "no view", "unscaled", "patient", "greeting", "unnamed tests")


def scope(material: Material) -> Iterator[Conversation]:
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
            continue
        intent = {"unscaled": "measure", "unnamed tests": "tests"}.get(kind, kind)
        text = ask(intent, draw, framed=not bare, number=f"{draw.randint(1, 40)}/{draw.randint(21, 26)}")
        asked = Asked(text, () if record is None else (record,))
        told = material.grounding.facts(asked)
        last = standing(material, asked, "look again" if bare else "advice", draw) if draw.random() < 0.4 else []
        said = exchange(material, asked, draw, told=told, most=draw.choice((1, 2, 2)), lead=1, last=last)
        if said is not None:
            records = [] if record is None else [record]
            pictures = tuple(one.picture for one in records)
            yield Conversation("scope", (said,), pictures, sources_of(records) or (WORDS,))
