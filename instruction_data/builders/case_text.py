"""The atlas's sentence on a case, found among others and quoted; no picture, since it describes no single field.

Texts that tell a marker, a molecular result or an immunostain are left out: they would be taken for something seen.
"""

from __future__ import annotations

import re
from itertools import count

from ..conversation import Conversation, Exchange
from ..grounding import Asked, Passage
from ..material import Made, Material
from ..phrases.questions import ask

ATLAS = "atlas"
_BEYOND = re.compile(
    r"::|\b(?:S-?100|CD\d+|CK\d+|HER2|HMB|immuno\w*|markers?|chromogranin|synaptophysin|trypsin|in situ hybridi\w*)\b",
    re.IGNORECASE,
)
DISTRACTORS = 2
MISSING = 0.15
"""Share of questions about a case that is not among the passages."""


def case_text(material: Material) -> Made:
    """A question for one diagnosis, its text and others before it; now and then its text is not there."""
    texts: dict[str, str] = {}
    for record in material.records:
        if record.text and record.label("disease") and not _BEYOND.search(record.text):
            texts.setdefault(record.label("disease"), record.text)
    names = sorted(texts)
    for number in count() if len(names) > DISTRACTORS else ():
        draw = material.draw("case text", number)
        name = names[number % len(names)]
        others = draw.sample([one for one in names if one != name], draw.randint(0, DISTRACTORS))
        missing = draw.random() < MISSING and bool(others)
        shown = others if missing else draw.sample([name, *others], 1 + len(others))
        passages = tuple(Passage(f"{one[:1].upper()}{one[1:]}: {texts[one]}", ATLAS, (one,)) for one in shown)
        asked = Asked(ask("case text", draw, name=name), passages=passages)
        own = next((p.text for p in passages if p.about == (name,)), None)
        answer = own or "No image came with this question, so nothing visual can be said."
        if material.grounding.objection(asked, answer) is not None:
            yield None
            continue
        lines = tuple(passage.text for passage in passages)
        if missing:
            lines = (*lines, answer)
        one = Exchange(asked.question, answer, lines, abstains=missing)
        yield Conversation("case_text", (one,), (), (ATLAS,), item=f"case text/{name}")
