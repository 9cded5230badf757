"""Sentences from rules: many ways to say one thing, drawn by a seeded generator.

A template holds plain words, `[this|that|]` for alternatives (one may be empty, and they may nest), `<rule>` for
one of the templates of a rule, and `{name}` for a value that is given. Spaces are tidied at the end.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

Rules = Mapping[str, Sequence[str]]
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_RULE = re.compile(r"<(\w+)>")
_SLOT = re.compile(r"\{(\w+)\}")


def say(rules: Rules, rule: str, draw: random.Random, **values: str) -> str:
    """One expansion of a rule; raises `KeyError` for a rule or a value that there is not."""
    return tidy(_SLOT.sub(lambda slot: values[slot[1]], _expanded(draw.choice(rules[rule]), rules, draw)))


def _expanded(template: str, rules: Rules, draw: random.Random) -> str:
    while match := _INNERMOST.search(template):
        template = template[: match.start()] + draw.choice(match[1].split("|")) + template[match.end() :]
    while match := _RULE.search(template):
        chosen = _expanded(draw.choice(rules[match[1]]), rules, draw)
        template = template[: match.start()] + chosen + template[match.end() :]
    return template


@lru_cache(maxsize=8)
def read_rules(name: str) -> Rules:
    """The rules of one table in the folder phrases."""
    text = resources.files(__package__).joinpath("phrases", f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def tidy(text: str) -> str:
    """Single spaces, none before a stop, a capital at the head; lines stay lines."""
    lines = []
    for line in text.split("\n"):
        line = re.sub(r"\s+([,.;:?!)])(?=\s|$|[)\"”])", r"\1", " ".join(line.split()))
        lines.append(capital(line))
    return "\n".join(lines)


def capital(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """The text as it stands inside a sentence: a capital that only begins it is dropped."""
    return text if text[1:2].isupper() or text[:1] == text[:1].lower() else text[:1].lower() + text[1:]


def seeded(seed: int, *names: str | int) -> random.Random:
    """A generator that depends on the seed and the names alone, on every machine alike."""
    return random.Random("/".join(str(part) for part in (seed, *names)))
