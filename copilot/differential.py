"""The differential: diagnoses of the knowledge tables ranked by findings and by the words of the request.

Naive Bayes over calibrated heads with the discounts of `choose`. No prevalence is known here: ties go to what the
tables hold more staining figures of, and otherwise the ranking says what the picture and the request favour,
not what is common. Study groups are never ranked; of close kin (a tumour and its site-specific name) one is named.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slides import Evidence, Finding
from vision_encoder.observation import Observation

from .certainty import certainty
from .choose import FLOOR, LIKENESS, TRUST, classes_of, speaks
from .meaning import Meaning, category_weights, entity_category, entity_organs, is_organ_name, organs_in, stain_in
from .statements import figure
from .terms import MARKER, NEGATIONS, canonical

if TYPE_CHECKING:
    from instruction_data.knowledge import Entity, Knowledge

OF_DIAGNOSES = frozenset({"organ", "category", "disease"})
"""Kinds of heads whose classes diagnoses fall into."""
UNSURE = 0.5
"""Factor of a head that abstains because its first class is not probable enough."""
STUDIED = 0.03
"""Log weight for each e-fold of staining figures in the tables: it only breaks ties."""
OTHER = 0.10
"""Share kept for what the tables do not hold."""
SITE = 2.0
"""Log weight of a diagnosis whose organ the request names; one of another organ loses half of it."""
NAMED = 1.5
"""Log weight of a diagnosis that the request names."""
CONFLICT = 0.80
"""Least probability of a finding that is set against the request."""
SET_FIELDS = 8
"""Fewest fields for a 90 % set to be set against it: for bags it held 74 of 75 organs, for single tiles fewer."""
NARROW_SET = 4
FAMILIAR = 0.05
"""Least novelty p of tissue that a head may be held to."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A diagnosis with its share and what speaks for it; `entity_id` is empty for a name the tables do not hold."""

    entity_id: str
    name: str
    probability: float
    why: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A word of the request that a finding speaks against; `evidence` counts through all observations in order."""

    text: str
    evidence: tuple[int, ...]


def differential(
    observations: Sequence[Observation],
    *,
    context: str | None,
    given: Sequence[str] = (),
    knowledge: Knowledge,
    limit: int = 6,
) -> tuple[Candidate, ...]:
    """Up to `limit` diagnoses, most favoured first; the shares sum to less than 1, the rest is "other".

    With `given`, only those are ranked, and a name that the tables do not hold comes last with share 0 and an
    empty id. Empty when neither the findings nor the request favour anything.
    """
    entities: Sequence[Entity] = knowledge.diagnoses
    unknown: list[Candidate] = []
    prior = Counter(entity for entity, _, _ in knowledge.rates)
    if given:
        found = {name: knowledge.find_entity(name) for name in dict.fromkeys(given)}
        entities = list({entity.id: entity for entity in found.values() if entity is not None}.values())
        unknown = [Candidate("", name, 0.0, "not in the knowledge tables") for name, e in found.items() if e is None]
        prior.clear()
    likeness = _likeness(observations, knowledge)
    heads = _by_findings(knowledge.diagnoses, observations)
    favour = {entity.id: _favour(entity, heads[entity.id], context, likeness) for entity in entities}
    spread = [weight for weight, _ in favour.values()]
    if not spread or (max(spread) - min(spread) < 1e-9 and not given):
        return tuple(unknown)
    weights = {id: weight + STUDIED * math.log1p(prior[id]) for id, (weight, _) in favour.items()}
    top = max(weights.values())
    whole = math.fsum(math.exp(weight - top) for weight in weights.values())
    shares = {id: (1 - OTHER) * math.exp(weight - top) / whole for id, weight in weights.items()}
    ranked = sorted(entities, key=lambda entity: (-shares[entity.id], entity.name, entity.id))
    named = [
        Candidate(entity.id, entity.name, share, "; ".join(favour[entity.id][1]) or "nothing speaks for it")
        for entity, share in (_given(ranked, shares) if given else _without_kin(ranked, shares))
    ]
    return (*named[:limit], *unknown)


def _given(ranked: Sequence[Entity], shares: Mapping[str, float]) -> list[tuple[Entity, float]]:
    return [(entity, shares[entity.id]) for entity in ranked]


def _without_kin(ranked: Sequence[Entity], shares: Mapping[str, float]) -> list[tuple[Entity, float]]:
    """The ranking without near namesakes: beside colorectal adenocarcinoma, colon adenocarcinoma counts as "other"."""
    kept: list[Entity] = []
    for entity in ranked:
        akin = (other for other in kept if entity.id in other.kin or other.id in entity.kin)
        if not any(entity_organs(entity) & entity_organs(other) for other in akin):
            kept.append(entity)
    return [(entity, shares[entity.id]) for entity in kept]


def _likeness(observations: Sequence[Observation], knowledge: Knowledge) -> dict[str, tuple[float, str]]:
    """By diagnosis: log weight of the nearest reference cases, and the words for it."""
    found: dict[str, tuple[float, str]] = {}
    for observation in observations:
        item = observation.find("resembles")
        if not observation.usable or item is None or item.finding.abstained or not item.finding.label:
            continue
        near, p = knowledge.find_entity(item.finding.label), item.finding.probability or 0.0
        if near is not None:
            found[near.id] = (math.log(1 + LIKENESS * p), f"resembles {item.finding.label} ({figure(p)})")
    return found


def _by_findings(entities: Sequence[Entity], observations: Sequence[Observation]) -> dict[str, tuple[float, list[str]]]:
    """By diagnosis: log weight of the heads, and what speaks for it.

    A class of a head shares its probability among the diagnoses that fall into it, so that "another organ", into
    which very many fall, says little for each.
    """
    weights = {entity.id: 0.0 for entity in entities}
    why: dict[str, list[str]] = {entity.id: [] for entity in entities}
    said = {entity.id: _as_meaning(entity) for entity in entities}
    seen = [observation for observation in observations if observation.usable]
    for observation in seen:
        for item in observation.evidence:
            finding, kind = item.finding, item.finding.name.partition(" ")[0]
            if kind not in OF_DIAGNOSES or not finding.distribution or not speaks(finding, observation):
                continue
            spread = dict(finding.distribution)
            trust = TRUST[kind] * (UNSURE if finding.abstained else 1.0) / len(seen)
            mapped = {id: found for id, one in said.items() if (found := classes_of(one, kind, tuple(spread)))}
            usual: dict[str, float] = defaultdict(float)
            least = FLOOR * len(spread)
            for classes in mapped.values():
                for label, share in classes.items():
                    usual[label] += share / len(mapped)
            for id, classes in mapped.items():
                # the floor is of the odds: on the probability it would favour what few diagnoses fall into
                odds = max(math.fsum(w * spread[label] / usual[label] for label, w in classes.items()), least)
                weights[id] += trust * math.log(odds)
                best = max(classes, key=lambda label: (classes[label] * spread[label], label))
                if odds > 1:
                    why[id].append(f"{finding.name}: {best} ({figure(spread[best])})")
    return {id: (weight, why[id]) for id, weight in weights.items()}


def _favour(
    entity: Entity, found: tuple[float, list[str]], context: str | None, likeness: Mapping[str, tuple[float, str]]
) -> tuple[float, list[str]]:
    """Log weight of a diagnosis by findings, likeness and request, and what speaks for it."""
    weight, why = found
    if entity.id in likeness:
        weight += likeness[entity.id][0]
        why = [*why, likeness[entity.id][1]]
    gain, words = _by_request(entity, context)
    return weight + gain, list(dict.fromkeys([*why, *words]))


def _by_request(entity: Entity, context: str | None) -> tuple[float, list[str]]:
    """Log weight by the words of the request, and what in them speaks for the diagnosis."""
    if not context:
        return 0.0, []
    weight, why = 0.0, []
    organs, sites = entity_organs(entity), organs_in(context)
    if organs & sites:
        # a tumour of the whole gut is less expected at one site than one that lives only there
        weight += SITE - 0.5 * math.log(len(organs))
        why.append(f"request names {', '.join(sorted(organs & sites))}")
    elif organs and sites:
        weight -= SITE / 2
    if _names(entity, context):
        weight += NAMED
        why.append("request names it")
    return weight, why


def _names(entity: Entity, context: str) -> bool:
    """True when the request names the diagnosis and does not deny it."""
    words = canonical(context)
    for name in (entity.name, *entity.synonyms):
        if len(name) > 3 and (match := _pattern(name).search(words)) and not _denied(words[: match.start()]):
            return True
    return False


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(canonical(name))}(?![\w-])")


def _as_meaning(entity: Entity) -> Meaning:
    category = entity_category(entity)
    return Meaning(
        entity.name,
        organs=entity_organs(entity),
        categories=((category, 1.0),) if category else (),
        entity=entity.id,
    )


def conflicts(observations: Sequence[Observation], context: str | None) -> tuple[Conflict, ...]:
    """Where the request names an organ, a stain or a category that a confident finding speaks against."""
    if not context:
        return ()
    found: list[Conflict] = []
    offset = 0
    for observation in observations:
        for position, item in enumerate(observation.evidence):
            if observation.usable and (word := _contradicted(item, context, observation.fields_seen)):
                found.append(Conflict(_worded(word, item), (offset + position,)))
        offset += len(observation.evidence)
    return tuple({conflict.text: conflict for conflict in found}.values())


def _contradicted(item: Evidence, context: str, fields: int) -> str | None:
    """The word of the request that this finding speaks against, as the user wrote it."""
    finding = item.finding
    if finding.name == "organ" and finding.abstained and fields >= SET_FIELDS and _narrow(finding):
        classes = frozenset().union(*(organs_in(label) for label, _ in finding.distribution))
        return _against([part for part in _asserted(context) if organs_in(part) <= classes], finding, organs_in)
    if finding.abstained or finding.label is None or (finding.probability or 0.0) < CONFLICT:
        return None
    parts = _asserted(context)
    if finding.name == "organ":
        return _against(parts, finding, organs_in)
    if finding.name == "stain":
        return _against([part for part in parts if _about_stain(part)], finding, _stains)
    return _against(parts, finding, _categories) if finding.name == "category" else None


def _narrow(finding: Finding) -> bool:
    """True where the 90 % set of a finding that names no class still rules most of them out, on familiar tissue."""
    few = 1 <= len(finding.prediction_set) <= NARROW_SET and len(finding.distribution) > 2 * NARROW_SET
    return few and (finding.novelty or 0.0) >= FAMILIAR


def _stains(text: str) -> frozenset[str]:
    stain = "HE" if text == "HE" else stain_in(text)
    return frozenset([stain] if stain else [])


def _categories(text: str) -> frozenset[str]:
    """Categories that a word may stand for; a disease of two categories contradicts neither."""
    return frozenset(name for name, weight in category_weights(text).items() if weight > 0.05)


def _against(parts: Sequence[str], finding: Finding, read: Callable[[str], frozenset[str]]) -> str | None:
    """The first words of the request that name only what is outside the finding's label and set."""
    own = read(finding.label or "")
    held = own.union(*(read(one) for one in finding.prediction_set))
    if not own or any(read(part) & held for part in parts):
        return None
    for part in parts:
        words = re.findall(r"[^\s:()\[\]]+", part)
        spans = [" ".join(words[i : i + n]) for n in (1, 2, 3) for i in range(len(words) - n + 1)]
        telling = [span for span in spans if read(span)]
        if telling:
            return next((span for span in reversed(telling) if is_organ_name(span)), telling[0])
    return None


def _about_stain(part: str) -> bool:
    """True for `PAS stain` and `PAS`, not for `CD20 positive`, which reports another section."""
    return bool(_ABOUT_STAIN.search(part)) or (len(part.split()) <= 2 and not MARKER.search(canonical(part)))


_SENTENCE = re.compile(r"([,;.?!\n]|\bbut\b|\band\b)")
_ABOUT_STAIN = re.compile(r"\bstain|\bslide\b|\bsection\b", re.IGNORECASE)
_PAST = re.compile(
    r"\b(?:history|previous|prior|known|former|past|earlier|rule out|r/o|exclude|query|suspic\w*|suspected|"
    r"possible|screening|"
    r"family|metasta\w*|status post|s/p|after|treated|differential|vs|versus)\b"
)


def _asserted(context: str) -> list[str]:
    """The parts of a request that state what the tissue is: not history, not a question, not a denial."""
    return [
        part.strip()
        for part, stop in zip(*[iter([*_SENTENCE.split(context), ""])] * 2, strict=True)
        if part.strip() and stop != "?" and not _PAST.search(canonical(part)) and not _denied(canonical(part))
    ]


def _denied(words: str) -> bool:
    return any(word in NEGATIONS for word in re.findall(r"[\w']+", words)[-6:])


def _worded(word: str, item: Evidence) -> str:
    finding = item.finding
    if finding.abstained:
        held = ", ".join(finding.prediction_set)
        narrowed = f"the organ is not classified, but its 90 % set holds {held}"
        return f"The request says “{word}”; {narrowed}: this is a conflict."
    wording = {
        "consistent with": "is rather consistent with",
        "favours": "rather favours",
    }[certainty(finding.probability or 0.0)]
    noun = {"organ": "as the organ", "category": "as the process", "stain": "as the stain"}[finding.name]
    p = figure(finding.probability or 0.0)
    label = "H&E" if finding.label == "HE" else finding.label
    return f"The request says {word}; the picture {wording} {label} {noun} ({p}): this is a conflict."
