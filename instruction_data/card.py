"""The data card: counts, diversity and checks of a build, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .build import Built, licences_of
from .checks import evenly, texts_of
from .conversation import Conversation
from .repeats import distinct, words

PURPOSE = {
    "describe": "a picture and its labels, for aligning a projector; no findings",
    "question": "one question about one picture: findings → sentences",
    "dialogue": "two to four questions about one picture",
    "several": "two or three pictures in one question, of one slide at several magnifications or of two",
    "choice": "lettered options, the right one at every letter",
    "verdict": "yes or no",
    "context": "clinical context given, withheld or contradictory",
    "tests": "differential → ancillary tests, from the knowledge tables",
    "report": "findings → report paragraph",
    "fields": "findings → synoptic lines",
    "summary": "report → summary",
    "case_text": "the atlas's text on a case, quoted",
    "knowledge": "diagnoses, markers, staining figures and rules, quoted; no picture",
    "guard": "what cannot be told: no histology, no picture, blur, markers on H&E, claims, injected commands",
    "scope": "greetings, what it is, grade, outcome, patient, organisms, scale",
}


def card(built: Built, recipe: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The card as Markdown; `told` holds what the command knows (recipe's name, weights, counts of pictures)."""
    parts = [
        "# Instruction data",
        f"Made by `pathcopilot build-data {told['recipe']} --data DIR --out DIR`; the files are not in this "
        "repository, building again gives them. For research; not a medical device.",
        _counts(built.conversations),
        _builders(built),
        _kinds(built.conversations, recipe),
        _diversity(built.conversations),
        "## Checks\n\nThe build stops where one fails.\n\n| check | holds | counted |\n|---|---|---|\n"
        + "\n".join(f"| {one.name} | {'yes' if one.holds else 'NO'} | {one.told} |" for one in built.checks),
        _pictures(told),
        _sources(built.conversations, recipe),
        _samples(built.conversations),
        LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


LIMITS = """## Limits

- Findings are those of the shipped heads on pictures that the heads were trained on: they are surer and abstain less often than on new tissue.
- Every visual sentence was passed by the copilot's checker against the findings (or, for `describe`, the labels) of its pictures. The checker knows classes, certainty, figures and absence; it is no pathologist.
- A label of a picture sampled from a whole slide is the case's; it is said as the case's.
- Questions and paraphrases come from grammars of our own (`instruction_data/phrases`), not from people: their variety is measured above and is narrower than a clinic's.
- Texts of the knowledge tables are textbook knowledge in our own words, unchecked; figures carry their source in the tables."""  # noqa: E501


def _counts(all_: Sequence[Conversation]) -> str:
    exchanges = [e for one in all_ for e in one.exchanges]
    rows = [
        ("conversations", len(all_)),
        ("… to train on, to validate on", f"{_of(all_, 'train')}, {_of(all_, 'valid')}"),
        ("exchanges (a question and its answer)", len(exchanges)),
        ("… with several exchanges (conversations)", sum(len(one.exchanges) > 1 for one in all_)),
        ("conversations with a picture", sum(bool(one.pictures) for one in all_)),
        ("… with several", sum(len(one.pictures) > 1 for one in all_)),
        ("different pictures", len({p.id for one in all_ for p in one.pictures})),
        ("patients or what stands for them", len({g for one in all_ for g in one.groups})),
        ("words of an answer, median", _median([len(words(e.answer)) for e in exchanges])),
        ("words of findings before a question, median", _median([len(words(" ".join(e.facts))) for e in exchanges])),
        ("exchanges that abstain", sum(e.abstains for e in exchanges)),
    ]
    return "## Counts\n\n| what | count |\n|---|---|\n" + "\n".join(f"| {name} | {count} |" for name, count in rows)


def _of(all_: Sequence[Conversation], part: str) -> int:
    return sum(one.part == part for one in all_)


def _builders(built: Built) -> str:
    made = Counter(one.builder for one in built.conversations)
    rows = [f"| {name} | {PURPOSE.get(name, '')} | {made[name]} of {wanted} |" for name, wanted in built.wanted.items()]
    return "## Builders\n\n| builder | what | made of wanted |\n|---|---|---|\n" + "\n".join(rows)


def _kinds(all_: Sequence[Conversation], recipe: Mapping[str, Any]) -> str:
    """Shares of the kinds of task that the recipe groups builders into."""
    exchanges = Counter(one.builder for one in all_ if one.stage == "tune" for _ in one.exchanges)
    whole = sum(exchanges.values())
    rows = []
    for kind, row in recipe["kind"].items():
        share = sum(exchanges[name] for name in row["builders"]) / whole if whole else 0.0
        rows.append(f"| {kind} | {', '.join(row['builders'])} | {100 * share:.0f} % | {100 * row['share']:.0f} % |")
    head = "## Mixture\n\nShares of exchanges of the stage `tune`.\n\n| kind | builders | share | meant |\n"
    return head + "|---|---|---|---|\n" + "\n".join(rows)


def _diversity(all_: Sequence[Conversation]) -> str:
    rows = []
    for what, texts in texts_of(all_).items():
        some = evenly(texts)
        figures = " | ".join(f"{distinct(some, n):.2f}" for n in (1, 2, 3))
        masked = {" ".join("0" if w[:1].isdigit() else w for w in words(text)) for text in texts}
        rows.append(
            f"| {what} | {figures} | {100 * len(set(texts)) / max(len(texts), 1):.0f} % | "
            f"{100 * len(masked) / max(len(texts), 1):.0f} % |"
        )
    head = (
        "## Diversity\n\ndistinct-n over up to 1,000 texts taken evenly; different texts by all texts, as they are "
        "and with every figure made alike.\n\n"
        "| | distinct-1 | distinct-2 | distinct-3 | different | without figures |\n|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows)


def _pictures(told: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {name} | {count} |" for name, count in told["pictures"].items())
    weights = "; ".join(f"{name} `{digest[:12]}`" for name, digest in sorted(told["weights_sha256"].items()))
    return f"## Pictures and findings\n\nLooked at with {weights}.\n\n| what | count |\n|---|---|\n{rows}"


def _sources(all_: Sequence[Conversation], recipe: Mapping[str, Any]) -> str:
    used = Counter(source for one in all_ for source in one.sources)
    rows = [
        f"| {name} | {used[name]} | {row.licence} | {row.attribution} |"
        for name, row in licences_of(recipe).items()
        if used[name]
    ]
    return "## Sources\n\n| source | conversations | licence | attribution |\n|---|---|---|---|\n" + "\n".join(rows)


def _samples(all_: Sequence[Conversation]) -> str:
    """The first conversation of each builder, as it is."""
    first = {one.builder: one for one in reversed(all_)}
    parts = []
    for name in sorted(first):
        one = first[name]
        pictures = f"pictures {', '.join(p.id for p in one.pictures)}" if one.pictures else "no picture"
        lines = [f"**{name}**, {pictures}"]
        for exchange in one.exchanges[:2]:
            facts = f" *Findings: {' / '.join(exchange.facts)}*" if exchange.facts else ""
            lines += [f"> Q:{facts} {_flat(exchange.question)}", f"> A: {_flat(exchange.answer)}"]
        parts.append("\n>\n".join([lines[0] + "\n", *lines[1:]]).replace("\n\n>\n", "\n\n"))
    return "## One of each, unedited\n\n" + "\n\n".join(parts)


def _flat(text: str) -> str:
    return " ⏎ ".join(text.replace("|", "\\|").split("\n"))


def _median(values: Sequence[int]) -> int:
    return sorted(values)[len(values) // 2] if values else 0
