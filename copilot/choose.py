"""A choice among options, made by the findings: each option is read as classes of heads and weighed by their odds.

For an option that names classes C of a head with K classes the weight is K · Σ p(c) over C, so an option that a
head cannot speak about keeps weight 1. Heads share one feature vector, so their log weights are discounted before
they are added (naive Bayes with exponents, as in Bella, Ferri et al. 2013 for dependent classifiers). The
language model's likelihood is a small last term and never decides alone. The order of the options has no influence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slides import Finding
from vision_encoder.observation import Observation

from .answer import Question
from .meaning import Meaning, bare_option, category_weights, meaning, organs_in
from .terms import MARKER, canonical, surfaces, term_pattern

if TYPE_CHECKING:
    from instruction_data.knowledge import Knowledge

    from .language.model import LanguageModel, Message

TRUST = {"stain": 1.0, "stain_colour": 0.7, "focus": 1.0, "organ": 0.8, "category": 0.8, "tissue": 1.0, "disease": 1.0}
"""Exponent of each kind of finding; below 1 because heads share features."""
BESIDE = 0.5
"""Factor of the general category head where a head for this very organ speaks to the same options."""
FLOOR = 0.01
"""Least probability of a class: no head rules anything out."""
NOVEL = 0.05
LIKENESS = 2.0
"""Weight of the nearest reference case, times its measured agreement."""
CONTEXT = 0.7
"""Log weight of an organ that the clinical context names: it helps, and a confident finding overrules it."""
LANGUAGE = 0.1
"""Most that the language model may add to or take from a log weight."""
LIKELIER_RIGHT = 0.5
"""Least probability of a choice, as of any class that is said: below it a choice is likelier wrong than right."""
MARGIN = 0.05
"""Least distance of the first from the second option; below it there is no choice."""
SPECIFIC = 0.6
"""Share of a yes that is left when a question names a disease and the findings only bear out its category."""
LABELLED = 0.9
"""Probability lent to a label that is measured and has no distribution."""
OTHER_ORGAN = "another organ"
MAGNIFICATION_MPP = 10.0
"""Objective times µm/px of common scanners: 40x at 0.25, 20x at 0.5."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The option chosen, or None with `abstained`; probabilities in the order the options were given, sum 1."""

    index: int | None
    probabilities: tuple[float, ...]
    why: str
    used: tuple[str, ...]
    abstained: bool


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Options in canonical order with their log weights, and what gave them."""

    weights: list[float]
    used: tuple[str, ...]
    why: str


def choose_option(
    options: Sequence[str],
    observations: Sequence[Observation],
    question: Question,
    *,
    language: LanguageModel | None,
    knowledge: Knowledge | None,
) -> Choice:
    """The option that the findings favour; abstains when they separate none, or when the picture cannot show it.

    Permuting the options permutes the probabilities exactly. Options may carry letters or numbers in front,
    and may be "none of these" or "cannot be told".
    """
    texts = [bare_option(option) for option in options]
    order = sorted(range(len(texts)), key=lambda i: (canonical(texts[i]), texts[i]))
    said = [meaning(texts[i], knowledge) for i in order]
    weighed, refused = _weigh(said, observations, question, language, knowledge)
    probabilities = _softmax(weighed.weights)
    index: int | None = None
    if refused is None:
        index, refused = _first(probabilities)
    if refused is not None:
        index, probabilities = _withheld(said, observations)
    placed = [0.0] * len(texts)
    for position, original in enumerate(order):
        placed[original] = probabilities[position]
    why = weighed.why if refused is None else refused
    return Choice(None if index is None else order[index], tuple(placed), why, weighed.used, index is None)


def _weigh(
    said: Sequence[Meaning],
    observations: Sequence[Observation],
    question: Question,
    language: LanguageModel | None,
    knowledge: Knowledge | None,
) -> tuple[_Weighed, str | None]:
    """Log weights of the options, and why there can be no choice, None when there can."""
    nothing = _Weighed([0.0] * len(said), (), "")
    seen = [observation for observation in observations if observation.usable]
    if not said:
        return nothing, "there is no option"
    if any(one.stain == "not histology" for one in said) and not seen:
        weights = [math.log(9.0) if one.stain == "not histology" else 0.0 for one in said]
        return _Weighed(weights, ("stain",), "the view shows no tissue section"), None
    if scaled := _by_scale(said, question):
        return scaled, None
    if not seen:
        return nothing, next((o.reason for o in observations if o.reason), "there is no tissue to speak about")
    if _by_origin(said):
        return nothing, "whether a tumour arose here or came from elsewhere cannot be read from such a section"
    asked = meaning(question.text, knowledge)
    if {one.special for one in said} >= {"yes", "no"}:
        return _yes_or_no(said, asked, seen)
    found = _by_findings(said, seen, knowledge)
    if max(found.weights) - min(found.weights) < 1e-9:
        beyond = any(one.beyond for one in said) or asked.beyond or bool(MARKER.search(canonical(question.text)))
        return found, "this cannot be read from such a section" if beyond else "no finding separates these options"
    weights = _with_context(said, found.weights, question)
    if language is not None:
        weights = [w + t for w, t in zip(weights, _spoken(said, question, found.why, language), strict=True)]
    return _Weighed(weights, found.used, found.why), None


def _by_origin(said: Sequence[Meaning]) -> bool:
    """True where options tell a primary tumour from a metastasis."""
    texts = [canonical(one.text) for one in said]
    primary = any(re.match(r"(?:a )?primary\b", text) for text in texts)
    return primary and any(re.search(r"\b(?:metasta|secondary\b)", text) for text in texts)


def _by_findings(said: Sequence[Meaning], seen: Sequence[Observation], knowledge: Knowledge | None) -> _Weighed:
    """Log weights by every finding that separates the options, averaged over the views."""
    total = [0.0] * len(said)
    used: dict[str, str] = {}
    names = dict.fromkeys(item.finding.name for observation in seen for item in observation.evidence)
    narrow = [any(_narrower(item.finding, said) for item in observation.evidence) for observation in seen]
    for name in names:
        gathered = []
        for observation, narrowed in zip(seen, narrow, strict=True):
            item = observation.find(name)
            if item is None or not speaks(item.finding, observation):
                continue
            finding = item.finding
            weights = _likeness(said, finding, knowledge) if name == "resembles" else _odds(said, finding)
            if weights is not None:
                gathered.append([w * BESIDE for w in weights] if narrowed and name == "category" else weights)
                used[name] = f"{name}: {finding.label} ({finding.probability or LABELLED:.2f})"
        for weights in gathered:
            total = [t + w / len(gathered) for t, w in zip(total, weights, strict=True)]
    return _Weighed(total, tuple(used), "; ".join(used.values()))


def speaks(finding: Finding, observation: Observation) -> bool:
    """True when a finding's distribution may be used between given options.

    One that abstains only because its first class is not probable enough still tells options apart; one that is
    novel, at a scale it was not validated at, or on another stain than it was validated on, does not.
    """
    if finding.label is None:
        return False
    if not finding.abstained:
        return True
    if finding.novelty is None or finding.novelty < NOVEL or not finding.distribution:
        return False
    stain = observation.find("stain")
    other = stain is not None and not stain.finding.abstained and stain.finding.label not in (finding.label, "HE")
    return finding.name == "stain" or not (other or "µm/px" in (finding.reason or ""))


def _narrower(finding: Finding, said: Sequence[Meaning]) -> bool:
    """True for a head of one organ that speaks to these options."""
    kind, _, organ = finding.name.partition(" ")
    if kind != "disease" or not organ or finding.abstained:
        return False
    return _odds(said, finding) is not None


def _odds(said: Sequence[Meaning], finding: Finding) -> list[float] | None:
    """Discounted log weights of the options by one head; None when it tells none of them apart."""
    kind = finding.name.partition(" ")[0]
    if kind not in TRUST:
        return None
    chances = dict(finding.distribution) or _lent(finding)
    mapped = [classes_of(one, kind, tuple(chances)) for one in said]
    if kind == "organ" and not {label for classes in mapped for label in classes} - {OTHER_ORGAN}:
        return None
    named = {label for classes in mapped if classes for label in classes}
    for position, one in enumerate(said):
        rest = [label for label in chances if label not in named]
        if one.special == "none" and named and rest:
            mapped[position] = dict.fromkeys(rest, 1.0 / len(rest))
    if not any(mapped):
        return None
    weights = []
    for classes in mapped:
        share = sum(w * max(chances[label], FLOOR) for label, w in classes.items()) * len(chances) if classes else 1.0
        weights.append(TRUST[kind] * math.log(share))
    return weights if max(weights) - min(weights) > 1e-9 else None


def _lent(finding: Finding) -> dict[str, float]:
    label = finding.label or ""
    others = {"focus": ("sharp", "soft", "blurred"), "stain_colour": ("H&E-like", "brown chromogen", "dark field")}
    rest = [name for name in others.get(finding.name, ()) if name != label]
    return {label: LABELLED, **dict.fromkeys(rest, (1 - LABELLED) / max(len(rest), 1))}


def classes_of(one: Meaning, kind: str, classes: Sequence[str]) -> dict[str, float]:
    """The classes of a head that an option names, with shares that sum to 1; empty when it names none."""
    if one.special is not None:
        return {}
    if kind == "stain":
        return {one.stain: 1.0} if one.stain and one.stain in classes else {}
    if kind == "stain_colour":
        colour = {"HE": "H&E-like", "IHC": "brown chromogen"}.get(one.stain or "")
        return {colour: 1.0} if colour and colour in classes else {}
    if kind == "category":
        return _shared({label: dict(one.categories).get(label, 0.0) for label in classes})
    if kind == "organ":
        hit = [label for label in classes if organs_in(label) & one.organs]
        if not hit and one.organs and OTHER_ORGAN in classes:
            hit = [OTHER_ORGAN]
        return {label: 1.0 / len(hit) for label in hit}
    exact = _exact(one, classes)
    if exact or kind != "disease" or not one.categories:
        return exact
    wanted = dict(one.categories)
    return _shared(
        {label: sum(wanted.get(c, 0.0) * w for c, w in category_weights(label).items()) for label in classes}
    )


_TISSUE_WORDS: dict[str, str] = {
    "adipose tissue": r"adipose|\bfat(?:ty)?\b|adipocytes?",
    "background": r"background|glass|empty|blank",
    "debris": r"debris|necros\w*|necrotic",
    "lymphocytes": r"lymphocyt\w*|lymphoid|immune (?:cells?|infiltrate)|inflammatory cells?",
    "mucus": r"mucus|mucin\w*",
    "smooth muscle": r"muscle|muscularis|myocytes?",
    "normal colon mucosa": r"normal|(?:colon\w*|benign) mucosa",
    "cancer-associated stroma": r"stroma(?:l tissue)?\b|connective tissue",
    "adenocarcinoma epithelium": r"adenocarcinoma|carcinoma|tumou?r(?! stroma)|cancer(?!-)|malignan\w*",
    "sharp": r"in focus|sharp",
    "blurred": r"out of focus|blur\w*",
}


def _exact(one: Meaning, classes: Sequence[str]) -> dict[str, float]:
    """Classes that the option names by their own words, the longest first."""
    said = canonical(one.text)
    if one.negated:
        return {}
    for label in sorted(classes, key=lambda name: (-len(name), name)):
        if any(re.search(rf"(?<![\w-]){term_pattern(form)}(?![\w-])", said) for form in surfaces(label)):
            return {label: 1.0}
    for label in classes:
        pattern = _TISSUE_WORDS.get(label)
        if pattern and re.search(rf"(?:{pattern})", said):
            return {label: 1.0}
    return {}


def _shared(weights: Mapping[str, float]) -> dict[str, float]:
    whole = math.fsum(weights.values())
    return {label: w / whole for label, w in weights.items() if w > 0} if whole else {}


def _likeness(said: Sequence[Meaning], finding: Finding, knowledge: Knowledge | None) -> list[float] | None:
    """Log weights by the nearest reference case: the same diagnosis, or words in common."""
    if finding.abstained or finding.probability is None or finding.label is None:
        return None
    case = meaning(finding.label, knowledge)
    weights = []
    for one in said:
        both = one.words & case.words
        alike = len(both) / len(one.words | case.words) if both else 0.0
        same = 1.0 if one.entity is not None and one.entity == case.entity else alike
        weights.append(0.0 if one.special or one.negated else math.log(1.0 + LIKENESS * finding.probability * same))
    return weights if max(weights) - min(weights) > 1e-9 else None


def _yes_or_no(said: Sequence[Meaning], asked: Meaning, seen: Sequence[Observation]) -> tuple[_Weighed, str | None]:
    """Weights of yes and no by the probability that what the question names is so."""
    nothing = _Weighed([0.0] * len(said), (), "")
    if asked.beyond or (MARKER.search(canonical(asked.text)) and asked.stain in (None, "HE")):
        return nothing, "this cannot be read from such a section"
    odds: list[float] = []
    used: dict[str, str] = {}
    for observation in seen:
        gathered: dict[str, float] = {}
        for item in observation.evidence:
            finding, kind = item.finding, item.finding.name.partition(" ")[0]
            if kind not in TRUST or not speaks(finding, observation):
                continue
            spread = dict(finding.distribution) or _lent(finding)
            classes = [label for label, share in classes_of(asked, kind, tuple(spread)).items() if share > 0.1]
            if classes and len(classes) < len(spread):
                gathered[finding.name] = TRUST[kind] * _even_odds(spread, classes)
                used[finding.name] = f"{finding.name}: {finding.label} ({finding.probability or LABELLED:.2f})"
        if gathered:
            if any(name.startswith("disease ") for name in gathered):
                gathered.pop("category", None)
            # a claim of two parts is as good as its weaker part
            odds.append(min(gathered.values()) + (math.log(SPECIFIC) if asked.entity is not None else 0.0))
    if not odds:
        return nothing, "no finding answers this with yes or no"
    weight = math.fsum(odds) / len(odds)
    weights = [{"yes": weight, "no": 0.0}.get(one.special or "", math.log(FLOOR)) for one in said]
    return _Weighed(weights, tuple(used), "; ".join(used.values())), None


def _even_odds(spread: Mapping[str, float], classes: Sequence[str]) -> float:
    """Log odds of some classes against the rest if a question were as often right as wrong."""
    inside = math.fsum(max(spread[label], FLOOR) for label in classes)
    outside = math.fsum(max(p, FLOOR) for label, p in spread.items() if label not in classes)
    prior = len(classes) / (len(spread) - len(classes))
    return math.log(inside / outside / prior)


def _with_context(said: Sequence[Meaning], weights: Sequence[float], question: Question) -> list[float]:
    """Adds what the clinical context says about the site."""
    sites = organs_in(question.context) if question.context else frozenset()
    return [w + (CONTEXT if one.organs & sites else 0.0) for w, one in zip(weights, said, strict=True)]


def _by_scale(said: Sequence[Meaning], question: Question) -> _Weighed | None:
    """Weights of magnifications by what the slide's file states; None when that is not asked or not stated."""
    powers = [
        re.fullmatch(r"(?:about |~)?(\d+(?:\.\d+)?)\s?(?:x|×|-?fold)(?: .*)?", canonical(one.text)) for one in said
    ]
    slides = [view.slide for view in question.views]
    if sum(power is not None for power in powers) < 2 or not slides:
        return None
    known = slides[0].objective or (MAGNIFICATION_MPP / slides[0].mpp if slides[0].mpp else None)
    if known is None:
        return None
    weights = [-4.0 * abs(math.log(float(power[1]) / known)) if power and float(power[1]) else -8.0 for power in powers]
    return _Weighed(weights, ("scale",), f"the slide states a scale of about {known:.3g}x")


def _spoken(said: Sequence[Meaning], question: Question, findings: str, language: LanguageModel) -> list[float]:
    """The language model's small term: mean log-likelihood per token against the options' mean, bounded."""
    prompt: list[Message] = [
        {"role": "system", "content": "Answer the question of a pathologist in a few words."},
        {"role": "user", "content": f"Findings: {findings}.\nQuestion: {question.text}"},
    ]
    likelihoods = language.score(prompt, [one.text for one in said])
    mean = math.fsum(likelihoods) / len(likelihoods)
    return [max(-LANGUAGE, min(LANGUAGE, LANGUAGE * (value - mean))) for value in likelihoods]


def _softmax(weights: Sequence[float]) -> list[float]:
    top = max(weights, default=0.0)
    shares = [math.exp(weight - top) for weight in weights]
    whole = math.fsum(shares)
    return [share / whole for share in shares]


def _first(probabilities: Sequence[float]) -> tuple[int | None, str | None]:
    """The first option, or why it does not stand out."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    if order and probabilities[order[0]] < LIKELIER_RIGHT:
        return None, "no option is likelier right than wrong"
    if len(order) > 1 and probabilities[order[0]] - probabilities[order[1]] < MARGIN:
        return None, "the findings leave the first options level"
    return order[0], None


def _withheld(said: Sequence[Meaning], observations: Sequence[Observation]) -> tuple[int | None, list[float]]:
    """No choice: level probabilities, unless an option says that it cannot be told."""
    told = [position for position, one in enumerate(said) if one.special == "not told"]
    if not said:
        return None, []
    if not told:
        return None, [1.0 / len(said)] * len(said)
    rest = 0.4 / max(len(said) - len(told), 1)
    share = [0.6 / len(told) if position in told else rest for position in range(len(said))]
    if len(told) == len(said):
        share = [1.0 / len(said)] * len(said)
    return told[0] if observations else None, share
