"""From a recipe and its material to checked conversations: so many of each builder, in a fixed order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slides.errors import UsageError

from .builders import BUILDERS
from .checks import Check, HeldOut, Licence, run_checks
from .conversation import Conversation, Part
from .grammar import seeded
from .material import Material

PATIENCE = 12
"""Conversations that a builder may bring for each one that is kept, before it counts as used up."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Built:
    """Conversations in the order a trainer reads them, and the checks they passed or failed."""

    conversations: tuple[Conversation, ...]
    checks: tuple[Check, ...]
    wanted: Mapping[str, int]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.holds)

    def within(self, part: Part) -> tuple[Conversation, ...]:
        """The conversations of one part, in order."""
        return tuple(one for one in self.conversations if one.part == part)


def build(recipe: Mapping[str, Any], material: Material, held_out: HeldOut, progress: Progress) -> Built:
    """What the recipe asks for; the same recipe and material give the same conversations.

    Raises `UsageError` for a builder that there is not or a source without a licence.
    """
    wanted = {str(name): int(count) for name, count in recipe["builders"].items()}
    if unknown := sorted(set(wanted) - set(BUILDERS)):
        raise UsageError(f"no builder '{unknown[0]}': a recipe may name {', '.join(BUILDERS)}")
    valid = float(recipe["valid"])
    kept: list[Conversation] = []
    seen: set[str] = set()
    for name, count in wanted.items():
        own = _of_builder(name, count, material, valid, seen)
        kept += own
        progress(f"builder {name}", len(own), len(own))
    kept = even_verdicts(kept)
    seeded(material.seed, "order").shuffle(kept)
    checks = run_checks(kept, held_out, licences_of(recipe), recipe["limits"], material.records, material.grounding)
    return Built(tuple(kept), tuple(checks), wanted)


def licences_of(recipe: Mapping[str, Any]) -> dict[str, Licence]:
    """The licences that a recipe states for its sources."""
    return {name: Licence(row["terms"], row["licence"], row["attribution"]) for name, row in recipe["licence"].items()}


def _of_builder(name: str, count: int, material: Material, valid: float, seen: set[str]) -> list[Conversation]:
    """About `count` conversations, the last item whole, that were not there yet and lie in one part."""
    kept: list[Conversation] = []
    for tried, one in enumerate(BUILDERS[name](material)):
        whole = one is None or not one.item or not kept or one.item != kept[-1].item
        if (len(kept) >= count and whole) or tried >= PATIENCE * count:
            break
        part = part_of(one, material.seed, valid) if one else None
        if one is None or part is None or one.id in seen:
            continue
        seen.add(one.id)
        kept.append(one.within(part))
    return kept


def part_of(one: Conversation, seed: int, valid: float) -> Part | None:
    """The part that all groups and the item of a conversation fall into; None where they fall into both."""
    names = [*one.groups, *([one.item] if one.item and not one.groups else [])] or [one.id]
    found: set[Part] = {"valid" if seeded(seed, "part", name).random() < valid else "train" for name in names}
    return found.pop() if len(found) == 1 else None


def even_verdicts(conversations: Sequence[Conversation]) -> list[Conversation]:
    """As many answers yes as no: of the more frequent, the last ones are left out."""
    found = Counter(one.exchanges[0].verdict for one in conversations)
    most = min(found["yes"], found["no"])
    kept, counted = [], Counter[str]()
    for one in conversations:
        verdict = one.exchanges[0].verdict
        counted[verdict] += 1
        if not verdict or counted[verdict] <= most:
            kept.append(one)
    return kept
