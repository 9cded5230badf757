"""How a fact is said in other words: the same class, the same certainty, the same figures, copied.

Every rule keeps to what the checker can follow: a class word with a cue of certainty, figures right behind what they
belong to. What a drawing gives is still put to the checker; what it strikes is drawn again.
"""

from __future__ import annotations

import random
import re

from ..grammar import Rules, capital, lowered, read_rules, say, tidy
from ..grounding import Fact

SPOKEN = {
    "HE": ("H&E", "haematoxylin and eosin"),
    "malignant": ("a malignant process", "malignancy", "a malignant lesion"),
    "benign tumour": ("a benign tumour", "a benign neoplasm"),
    "pre-malignant": ("a pre-malignant process", "a pre-malignant lesion"),
    "inflammatory/infectious": ("an inflammatory or infectious process", "an inflammatory or infectious lesion"),
    "normal": ("normal tissue",),
    "IHC": ("an immunohistochemical stain", "IHC"),
    "brain/CNS": ("brain", "brain/CNS"),
    "salivary": ("salivary gland",),
    "esophagus": ("oesophagus", "esophagus"),
    "fallopian tube/adnexa": ("fallopian tube",),
    "special stain": ("a special stain",),
    "not histology": ("not histology",),
}
"""How a class may be said in a sentence, where its name alone would not read well."""
ADJECTIVES = {
    "malignant": "malignant",
    "pre-malignant": "pre-malignant",
    "inflammatory/infectious": "inflammatory or infectious",
    "normal": "normal",
}
"""How it is said of the process itself, behind `is`, `is likely` and `is probably`."""
NOUNS = {
    "malignant": "malignancy",
    "pre-malignant": "a pre-malignant lesion",
    "inflammatory/infectious": "an inflammatory or infectious lesion",
}
"""How it is said of the process itself behind other words."""

RULES: Rules = read_rules("answers")


def reworded(fact: Fact, draw: random.Random) -> str:
    """The fact in other words, its view in front where it has one; its line where no other words are known."""
    said = _by_kind(fact, draw)
    if said is None:
        return draw.choice(fact.wordings)
    return f"{fact.view}: {said}" if fact.view else said


def _by_kind(fact: Fact, draw: random.Random) -> str | None:
    text = fact.text.removeprefix(f"{fact.view}: ") if fact.view else fact.text
    if fact.kind == "class":
        return _class(fact, draw)
    if fact.kind == "unclassified":
        return _untold(fact, text, draw)
    if fact.kind == "measure":
        return _measure(fact, text, draw)
    if fact.kind in ("coverage", "conflict", "likeness", "choice", "focus"):
        return _PLAIN[fact.kind](fact, text, draw)
    return None


def spoken(label: str, draw: random.Random) -> str:
    """One way to say a class inside a sentence."""
    return draw.choice(SPOKEN.get(label, (label,)))


def _class(fact: Fact, draw: random.Random) -> str | None:
    finding, figure = fact.finding, _figure(fact.text)
    if finding is None or figure is None or not fact.word:
        return None
    kind, _, organ = finding.name.partition(" ")
    own = kind == "stain" or (kind != "disease" and draw.random() < 0.5)
    subject = say(RULES, kind if own else "picture", draw)
    itself = own and not subject.startswith(("This field", "As the organ", "The picture"))
    verb = say(RULES, f"itself {fact.word}" if itself else fact.word, draw).lower()
    named = finding.label or ""
    own_words = ADJECTIVES if verb in ("is", "is likely", "is probably") else NOUNS
    label = own_words[named] if itself and named in own_words else spoken(named, draw)
    where = f" in {organ}" if organ and organ not in label else ""
    role = " as the organ" if kind == "organ" and "organ" not in subject.lower() else ""
    behind = say(RULES, "figure", draw, p=figure) if draw.random() < 0.9 else ""
    return tidy(f"{subject} {verb} {label}{where}{role} {_low(behind)}{_set(fact, draw)}.")


def _set(fact: Fact, draw: random.Random) -> str:
    held = fact.finding.prediction_set if fact.finding else ()
    if len(held) < 2 or "; 90 % set: " not in fact.text:
        return ""
    others = [label for label in held if fact.finding and label != fact.finding.label]
    said = say(RULES, "set", draw, set=", ".join(held), listed=_listed(held), others=_listed(others))
    return _low(said)


def _untold(fact: Fact, text: str, draw: random.Random) -> str | None:
    """The same figures and reason; where the line gives no likeness it is left as it is."""
    finding = fact.finding
    named = re.search(r"it looks most like (.+?) \((\S+?)\)", text)
    if finding is None or named is None or not finding.label:
        return None
    kind = finding.name.partition(" ")[0]
    reason = re.search(r"is not classified: (.+?); it looks", text)
    subject = f"the {_NOUNS.get(kind, kind)}" + ("" if reason or draw.random() < 0.7 else " of this section")
    why = f": {reason[1]}" if reason else ""
    likeness = f"{say(RULES, 'most like', draw).lower()} {spoken(finding.label, draw)} ({named[2]})"
    rest = ""
    others = re.findall(r", then (.+?) \((\S+?)\)", text)
    if others and draw.random() < 0.7:
        rest = _low(say(RULES, "next", draw, label=others[0][0], p=others[0][1]))
    if "; 90 % set: " in text and draw.random() < 0.7:
        rest += f"; 90 % set: {', '.join(finding.prediction_set)}"
    untold = say(RULES, "untold", draw).lower() if not reason else "is not classified"
    if draw.random() < 0.3 and not reason and not rest:
        return f"{capital(likeness)}, but {subject} {untold}."
    join = draw.choice(("; ", "; ", ": ")) if not why else "; "
    return capital(f"{subject} {untold}{why}{join}{likeness}{rest}.")


_NOUNS = {"category": "process", "disease": "lesion"}


def _measure(fact: Fact, text: str, draw: random.Random) -> str | None:
    finding = fact.finding
    if finding is None or finding.name not in RULES:
        return None
    interval = re.search(r" \(95 % interval .+?\)", text)
    value = _VALUES[finding.unit if finding.unit in _VALUES else ""].search(text)
    if value is None:
        return None
    number = value["number"]
    whole = f"{number} {finding.unit}" if finding.unit in ("µm²", "µm", "per mm²") else number
    whole = f"{number} %" if finding.unit == "share" else whole
    kept = interval[0] if interval and draw.random() < 0.6 else ""
    return say(RULES, finding.name, draw, number=number, value=whole, i=kept)


_NUMBER = r"(?P<number>\d[\d,]*(?:\.\d+)?)"
_VALUES = {
    "share": re.compile(rf"{_NUMBER} %(?! interval)"),
    "per mm²": re.compile(_NUMBER),
    "µm²": re.compile(rf"{_NUMBER} µm²"),
    "µm": re.compile(rf"{_NUMBER} µm"),
    "": re.compile(_NUMBER),
}


def _coverage(fact: Fact, text: str, draw: random.Random) -> str | None:
    scale = re.search(r", at (\S+) µm/px", text)
    behind = draw.choice((f", at {scale[1]} µm/px", f" ({scale[1]} µm/px)", f" at {scale[1]} µm/px")) if scale else ""
    if "one tissue field" in text:
        return say(RULES, "coverage of one", draw, scale=behind)
    counts = re.search(r"([\d,]+) of ([\d,]+) tissue", text)
    return say(RULES, "coverage", draw, seen=counts[1], all=counts[2], scale=behind) if counts else None


def _conflict(fact: Fact, text: str, draw: random.Random) -> str | None:
    parts = re.fullmatch(r"The request says (.+?); (.+): this is a conflict\.", text)
    return say(RULES, "conflict", draw, said=parts[1], found=parts[2]) if parts else None


def _likeness(fact: Fact, text: str, draw: random.Random) -> str | None:
    share = re.search(r"in (\S+) of held-out", text)
    label = fact.finding.label if fact.finding else None
    return say(RULES, "likeness", draw, label=label, p=share[1]) if share and label else None


def _choice(fact: Fact, text: str, draw: random.Random) -> str | None:
    figure = _figure(text)
    label = fact.finding.label if fact.finding else None
    if label is None or figure is None:
        return say(RULES, "no choice", draw)
    return say(RULES, "choice", draw, label=label, p=figure)


def _focus(fact: Fact, text: str, draw: random.Random) -> str | None:
    label = fact.finding.label if fact.finding else None
    return say(RULES, "focus", draw, label=label) if label else None


_PLAIN = {
    "coverage": _coverage,
    "conflict": _conflict,
    "likeness": _likeness,
    "choice": _choice,
    "focus": _focus,
}


def _figure(text: str) -> str | None:
    """The probability of a line as it is printed there."""
    found = re.search(r"\((?P<p>[<>]?\d\.\d\d)(?=[;)])", text)
    return found["p"] if found else None


def _low(text: str) -> str:
    return lowered(text) if text else ""


def _listed(words: tuple[str, ...] | list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def joined(sentences: list[str], draw: random.Random) -> str:
    """The sentences as running text; now and then two short ones become one."""
    said: list[str] = []
    for sentence in sentences:
        last = said[-1] if said else ""
        short = last and ";" not in last + sentence and ":" not in last + sentence and len(last) + len(sentence) < 150
        if short and draw.random() < 0.35 and not sentence[:2].isupper():
            said[-1] = f"{last.rstrip('.')}{draw.choice((', while ', '; ', ', whereas '))}{lowered(sentence)}"
        else:
            said.append(sentence)
    return tidy(" ".join(said))
