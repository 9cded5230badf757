"""The report of a laboratory's own head: every number in it was measured in the run that made the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .evaluate import HeadResult, Interval
from .held_out import NEVER
from .model_card import summary_table

if TYPE_CHECKING:
    from .adapt import Adapted


def report(adapted: Adapted) -> str:
    """The Markdown report."""
    head, card = adapted.heads.heads[0], adapted.heads.card
    row = card["heads"][0]
    groups = ", ".join(f"{name} {count}" for name, count in row["groups_per_class"].items())
    lines = [
        f"# Head `{head.name}`",
        "",
        "Made by `pathcopilot adapt`; nothing here is written by hand. Research software, not a medical device.",
        "",
        f"- Encoder `{card['encoder']['name']}` (weights {card['encoder']['sha256'][:12]}).",
        f"- Head {card['sha256'][:12]}.",
        f"- Learned from {card['tiles']} tiles of {card['groups']} groups (data {card['data_sha256'][:12]}). "
        f"Groups per class: {groups}.",
        f"- Scope: {head.scope.words}.",
        *(f"- **{note}**" for note in adapted.notes),
        "",
        "**How to read it.** `folds`: for each of five folds over groups a whole head was made from the other "
        "four and read on it; `held out`: tiles of another split, read by the head as written. By `group`, all "
        "tiles of one group and label (at most 48) are one bag; by `tile`, each stands alone. Balanced accuracy "
        "has a 95 % bootstrap interval over groups; *colour* is the same regression on a colour histogram in the "
        "same folds; ECE has ten bins of equal mass; coverage is of the 90 % sets; *silent* is the share of "
        "readings in which the head abstains. Tiles of a set that the encoder itself learned from (its card lists "
        "them) flatter the folds.",
        "",
        *summary_table({head.name: adapted.results})[2:],
        *_verdict(adapted.results[0]),
        *_speaking(head.accepted),
        "",
        "## Novelty",
        "",
        "Share of single tiles flagged as unlike what it was trained on (p < 0.05); of ordinary tissue one in "
        "twenty is meant.",
        "",
        *(f"- {kind}: {share:.2f}" for kind, share in adapted.flagged.items()),
        "",
        "## Not for",
        "",
        *(f"- {line}" for line in _not_for(head.scope.stain, head.scope.organ, head.classes)),
    ]
    return "\n".join(lines) + "\n"


def summary(adapted: Adapted) -> str:
    """What was made and how well it does, in a few lines for a terminal."""
    head, by_group = adapted.heads.heads[0], adapted.results[0]
    right, spoken = by_group.right_when_speaking
    lines = [
        f"{adapted.path.name}.json: head '{head.name}' for {', '.join(head.classes)}; {head.scope.words}",
        f"  in folds over {by_group.groups} groups: balanced accuracy {_words(by_group.balanced_accuracy)}, "
        f"colour alone {_words(by_group.colour)}, ECE {by_group.ece:.2f}",
        f"  90 % sets held {by_group.covered} of {by_group.bags}; it spoke on {spoken} of {by_group.bags} "
        f"and was right on {right}",
        f"  {_verdict(by_group)[0].replace('**', '')}",
        *(f"  note: {note}" for note in adapted.notes),
        f"  report: {adapted.path.name}.md; use it with --head {adapted.path.name}.json",
    ]
    return "\n".join(lines)


def _words(value: Interval) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"


def _verdict(result: HeadResult) -> list[str]:
    gain = result.balanced_accuracy[0] - result.colour[0]
    if result.balanced_accuracy[1] <= result.majority:
        return ["By group it is **not surely better than always naming one class**: do not use it.", ""]
    if gain <= 0.005:
        return [f"By group it is **no better than colour alone** ({gain:+.2f}): it may have learned the stain.", ""]
    return [f"Against colour alone, by group: {gain:+.2f} balanced accuracy.", ""]


def _speaking(accepted: Mapping[int, Mapping[str, float]]) -> list[str]:
    levels = {size: strata["all"] for size, strata in accepted.items()}
    said = ", ".join(
        f"{size} {'tile' if size == 1 else 'tiles'} {'never' if level >= NEVER else f'from {level:.2f}'}"
        for size, level in levels.items()
    )
    return [f"It speaks, by tiles read together: {said}."]


def _not_for(stain: str, organ: str, classes: Sequence[str]) -> list[str]:
    return [
        f"Tissue other than {stain or 'the stain'} of {organ or 'the organs it was shown'}: there it abstains where "
        "the stain, the organ or its novelty tells so, and may err where they do not.",
        f"Anything that is none of {', '.join(classes)}: it has no other word, and novelty catches only part of it.",
        "Other laboratories and scanners: all figures are from the tiles given, and groups of one laboratory "
        "resemble each other.",
        "Diagnosis. The groups held out are few, and no figure here is a clinical performance.",
    ]


def as_json(adapted: Adapted) -> dict[str, Any]:
    """The figures of the report as plain types."""
    head, card = adapted.heads.heads[0], adapted.heads.card
    return {
        "name": head.name,
        "sha256": card["sha256"],
        "encoder": card["encoder"],
        "classes": list(head.classes),
        "tiles": card["tiles"],
        "groups": card["groups"],
        "groups_per_class": card["heads"][0]["groups_per_class"],
        "scope": head.scope.words,
        "figures": [_figures(result) for result in adapted.results],
        "novelty_flagged": {kind: round(share, 4) for kind, share in adapted.flagged.items()},
        "notes": list(adapted.notes),
    }


def _figures(result: HeadResult) -> dict[str, Any]:
    right, spoken = result.right_when_speaking
    return {
        "reading": result.reading,
        "tiles": result.tiles,
        "groups": result.groups,
        "balanced_accuracy": _interval(result.balanced_accuracy),
        "colour": _interval(result.colour),
        "majority": round(result.majority, 4),
        "ece": round(result.ece, 4),
        "coverage": round(result.covered / result.bags, 4),
        "set_size": round(result.set_size, 4),
        "silent": round(result.abstained, 4),
        "right_when_speaking": right,
        "spoken": spoken,
    }


def _interval(value: Interval) -> dict[str, float]:
    return {"value": round(value[0], 4), "low": round(value[1], 4), "high": round(value[2], 4)}
