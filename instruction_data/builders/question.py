"""One question about one picture, at whatever magnification it has: findings into sentences."""

from __future__ import annotations

from ..answering import exchange
from ..grounding import Asked
from ..material import Made, Material, conversation_of
from ..phrases.questions import ask

INTENTS = (
    "describe", "describe", "describe", "organ", "organ", "category", "category", "category", "stain", "tissue",
    "measure", "measure", "quality", "scale",
)  # fmt: skip
"""What is asked, as often as it stands here."""


def question(material: Material) -> Made:
    """Conversations of one exchange, intents drawn anew for each picture."""
    for number, record in enumerate(material.in_turn("question", material.histology)):
        draw = material.draw("question", number)
        asked = Asked(ask(draw.choice(INTENTS), draw), (record,))
        said = exchange(material, asked, draw)
        yield conversation_of("question", said, [record])
