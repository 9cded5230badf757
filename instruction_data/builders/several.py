"""Two or three pictures in one question: one slide at several magnifications, or two patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..answering import exchange
from ..conversation import Conversation
from ..grounding import Asked
from ..material import Material, sources_of
from ..phrases.questions import ask
from ..record import Record

INTENTS = ("compare", "compare", "compare", "organ", "category", "stain", "describe")


def several(material: Material) -> Iterator[Conversation]:
    """Every other conversation is about one slide, from low power on; the next sets two patients side by side."""
    by_slide: dict[str, list[Record]] = defaultdict(list)
    for record in material.histology:
        if record.case and not record.altered:
            by_slide[record.case].append(record)
    many = [own for own in by_slide.values() if len({record.downsample for record in own}) > 1]
    others = material.in_turn("several", material.histology)
    for number, record in enumerate(material.in_turn("several slides", [own[0] for own in many])):
        draw = material.draw("several", number)
        if number % 2 == 0:
            own = sorted(by_slide[record.case], key=lambda one: one.picture.id)
            views = draw.sample(own, min(draw.choice((2, 2, 3)), len(own)))
            views.sort(key=lambda one: -one.downsample)
        else:
            views = [next(others), next(others)]
        if len({view.picture.id for view in views}) < len(views):
            continue
        asked = Asked(ask(draw.choice(INTENTS), draw), tuple(views))
        said = exchange(material, asked, draw, most=draw.choice((3, 4, 5)), lead=1)
        if said is not None:
            pictures = tuple(view.picture for view in views)
            yield Conversation("several", (said,), pictures, sources_of(views))
