"""How people ask: rules for questions by what they want, in the many tones of a laboratory."""

from __future__ import annotations

import random

from ..grammar import Rules, read_rules, say

RULES: Rules = {**read_rules("questions"), **read_rules("asides")}


def ask(rule: str, draw: random.Random, *, framed: bool = True, **values: str) -> str:
    """A question of that kind; `framed` puts now and then a word of the day around it."""
    question = say(RULES, rule, draw, **values)
    if not framed:
        return question
    opening, closing = say(RULES, "open", draw), say(RULES, "close", draw)
    if opening and draw.random() < 0.5:
        lower = question if question[:2] == "I " or question[1:2].isupper() else question[:1].lower() + question[1:]
        question = f"{opening} {lower}" if opening.endswith(":") or opening.endswith(",") else f"{opening} {question}"
    if closing and draw.random() < 0.5:
        question = f"{question} {closing}"
    return question[:1].upper() + question[1:]
