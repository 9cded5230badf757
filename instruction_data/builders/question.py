"""One question about one picture, at whatever magnification it has: findings into sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ..answering import exchange
from ..conversation import Conversation
from ..grounding import Asked
from ..material import Material, sources_of
from ..phrases.questions import ask

INTENTS = (
    "describe", "describe", "describe", "organ", "organ", "category", "category", "category", "stain", "tissue",
    "measure", "measure", "quality", "scale",
)  # fmt: skip
"""What is asked, as often as it stands here."""


def question(material: Material) -> Iterator[Conversation]:
    """Conversations of one exchange, intents drawn anew for each picture."""
    for number, record in enumerate(material.in_turn("question", material.histology)):
        draw = material.draw("question", number)
        asked = Asked(ask(draw.choice(INTENTS), draw), (record,))
        if (said := exchange(material, asked, draw)) is not None:
            yield Conversation("question", (said,), (record.picture,), sources_of([record]))
