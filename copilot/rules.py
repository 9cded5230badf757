"""The rules by which class words and figures of a sentence are held against the findings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slides import Evidence, Finding

from .certainty import certainty
from .claims import COVERAGE, HOUSE_FIGURES, MARK, ONE_FIELD, Clause, Figure, Mention, Struck

if TYPE_CHECKING:
    from .check import Ground

OF_TISSUE = frozenset({"organ", "category", "tissue", "disease", "resembles"})
"""Kinds of findings that speak of tissue and fall silent where there is none."""
SURE = 0.95
"""Least probability of a class that is said outright, without a word of certainty."""
LIKELY = 0.80
SPOKEN = 0.50
REST = 0.01
"""Least probability of a class that may be named as the next one."""
PHYSICAL = frozenset({"per mm²", "µm²", "mm²", "µm", "mm", "cm"})

_SUBJECTS = (
    (re.compile(r"\bstain\b"), frozenset({"stain", "stain_colour"})),
    (re.compile(r"\borgan\b"), frozenset({"organ"})),
    (re.compile(r"\b(?:process|category)\b"), frozenset({"category", "disease"})),
    (re.compile(r"\bfocus\b"), frozenset({"focus"})),
)
_NOUNS: dict[str, str] = {
    "nuclei_density": r"\bnuclei\b(?! measure| cover| take| are)|\bdensity\b",
    "nuclear_elongation": r"\bas long as wide\b",
    "nuclear_spacing": r"\bapart\b",
    "nuclear_eccentricity": r"\beccentricity\b",
    "nuclear_hyperchromasia": r"\bas dark with haematoxylin as\b",
    "nuclear_area": r"\bnuclear area\b|\bmedian area\b|\bnuclei measure\b|\bnuclear size\b(?! varies)|\bmedian size\b",
    "nuclear_area_variation": r"\bvariation\b",
    "nuclear_share": r"\bnuclei (?:cover|take up|make up)\b|\bnuclear share\b",
    "clear_space_share": r"\bclear space\b",
    "chromogen_share": r"\bchromogen\b",
    "positive_nuclei_share": r"\bnuclei\b.*\bchromogen\b|\bchromogen\b.*\bnuclei\b",
    "tissue_share": r"\btissue (?:covers|takes|makes up|share)\b|\bof (?:it|the (?:view|region|slide)) is tissue\b",
    "seen_share": r"\bfields? were looked at\b|\brests on\b",
    "pen": r"\b(?:pen|ink)\b",
}
_LIKENESS = re.compile(r"\bheld-out cases\b")


@dataclass(slots=True)
class Support:
    """What a sentence was found to rest on so far."""

    evidence: set[int] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    asked: bool = False
    unclassified: bool = False
    """The sentence says that something is not classified."""
    untold: frozenset[str] = frozenset()
    """Kinds of findings that it says so of; empty when it names none."""
    seen: bool = False
    """It states how much was looked at, which is true of an observation."""


def subjects(text: str) -> frozenset[str]:
    """Kinds of findings that a text names as what it speaks of; empty when it names none."""
    return frozenset(kind for pattern, names in _SUBJECTS if pattern.search(text) for kind in names)


def probability(finding: Finding, label: str | None) -> float | None:
    """The calibrated probability of a class, None when the finding has none."""
    if label is not None and label == finding.label and finding.probability is not None:
        return finding.probability
    return dict(finding.distribution).get(label or "")


def judge_mentions(clause: Clause, ground: Ground, support: Support) -> None:
    """Keeps for each class word the findings that bear it out as it is said; raises `Struck` when none does."""
    kinds = subjects(clause.text)
    several = sum(bool(pattern.search(clause.text)) for pattern, _ in _SUBJECTS) > 1
    for mention in clause.mentions:
        held: list[tuple[int, str]] = []
        reasons: list[str] = []
        for index, label in mention.readings:
            item = ground.evidence[index]
            kind = item.finding.name.partition(" ")[0]
            if mention.view is not None and not in_view(ground, index, mention.view):
                continue
            if kinds and not several and label is not None and kind not in kinds | {"resembles", "choice"}:
                continue
            reason = _objection(clause, mention, item, label, kind, ground, support)
            if reason is None:
                held.append((index, label or ""))
            else:
                reasons.append(reason)
        if not held:
            raise Struck(reasons[0] if reasons else f"no finding here says “{mention.text}”")
        mention.held = tuple(held)
        support.evidence.update(index for index, _ in held)
    _complete_sets(clause, ground)
    if clause.comparison is not None:
        _compare(clause, ground)


def _objection(
    clause: Clause, mention: Mention, item: Evidence, label: str | None, kind: str, ground: Ground, support: Support
) -> str | None:
    """Why this finding does not bear the class word out as it is said, or None when it does."""
    finding, role, word = item.finding, mention.role, mention.text
    if kind in OF_TISSUE and not _has_tissue(ground, item):
        return "there is no tissue in this view to speak about"
    if label is None:
        return _as_site(clause, mention, finding)
    if ("reference case" in clause.text) != (kind == "resembles"):
        return f"“{word}” is a likeness to a reference case and is said as one" if kind == "resembles" else (
            f"no reference case is “{word}”"
        )  # fmt: skip
    if bool(re.search(r"\boptions?\b", clause.text)) != (kind == "choice"):
        return f"“{word}” is an option, not a finding" if kind == "choice" else f"“{word}” is not the option taken"
    told_so = support.unclassified and (not support.untold or kind in support.untold)
    if finding.abstained and (kind in ("resembles", "choice") or not told_so):
        return f"“{word}”: {finding.name} abstains"
    top = label == finding.label or (finding.distribution[:1] and label == finding.distribution[0][0])
    p = probability(finding, label)
    if p is None:
        if label == finding.label and role in ("plain", "most like"):
            return None
        return None if role in ("set", "possible") and label in finding.prediction_set else f"no finding says “{word}”"
    if role in ("set", "possible"):
        return None if label in finding.prediction_set else f"“{word}” is not in the 90 % set"
    if role == "next":
        fit = p >= REST or label in finding.prediction_set
        return None if fit else f"“{word}” has no probability worth naming"
    if clause.comparison is not None:
        return None
    if not top:
        return f"“{word}” is not what {finding.name} says"
    if kind in ("resembles", "choice"):
        return None
    return _overstated(mention, finding, p, ground, support)


def _overstated(mention: Mention, finding: Finding, p: float, ground: Ground, support: Support) -> str | None:
    role, word = mention.role, mention.text
    if role == "most like":
        said = support.unclassified or (p >= SPOKEN and not finding.abstained)
        return None if said else f"“{word}” at {p:.2f} is said as not classified"
    if role in ("agree", "differ"):
        labels = {
            e.finding.label for e in ground.evidence if e.finding.name == finding.name and not e.finding.abstained
        }
        views = [e for e in ground.evidence if e.finding.name == finding.name and not e.finding.abstained]
        fit = len(views) > 1 and (len(labels) == 1) == (role == "agree") and not finding.abstained
        return None if fit else "the views do not compare that way"
    if role == "plain":
        return None if p >= SURE and not finding.abstained else f"“{word}” at {p:.2f} is not said outright"
    if role == "likely":
        return None if p >= LIKELY and not finding.abstained else f"“{word}” at {p:.2f} is not likely enough"
    due = certainty(p, abstained=finding.abstained)
    return None if role == due else f"“{word}” at {p:.2f} is worded “{due}”"


def _as_site(clause: Clause, mention: Mention, finding: Finding) -> str | None:
    """A head for one organ lets that organ be named as the place: `tumour epithelium in colon`."""
    before = clause.text[: mention.position]
    others = [m for m in clause.mentions if m is not mention and any(label for _, label in m.readings)]
    if re.search(r"\b(?:in|of|from)(?: the)? $", before) and others and not finding.abstained:
        return None
    return f"no finding says “{mention.text}”"


def _has_tissue(ground: Ground, item: Evidence) -> bool:
    """False where the view is unusable or its stain says that it is no histology."""
    for seen in ground.observations:
        if seen.slide == item.slide and seen.region == item.region and not seen.usable:
            return False
    for other in ground.evidence:
        stain = other.finding
        same = other.slide == item.slide and other.region == item.region
        if same and stain.name == "stain" and not stain.abstained and stain.label == "not histology":
            return (stain.probability or 0.0) < SPOKEN
        if same and stain.name == "stain_colour" and stain.label == "blank" and not stain.abstained:
            return False
    return True


def _complete_sets(clause: Clause, ground: Ground) -> None:
    """A 90 % set that is listed is listed whole: leaving a class out would hide it."""
    listed = [m for m in clause.mentions if m.role == "set"]
    if not listed:
        return
    for index in {index for m in listed for index, _ in m.held}:
        named = {label for m in clause.mentions for i, label in m.readings if i == index and label}
        missing = set(ground.evidence[index].finding.prediction_set) - named - {ground.evidence[index].finding.label}
        if not missing:
            return
    raise Struck(f"the 90 % set also holds {', '.join(sorted(missing))}")


def _compare(clause: Clause, ground: Ground) -> None:
    assert clause.comparison is not None
    before = [m for m in clause.mentions if m.position < clause.comparison]
    behind = [m for m in clause.mentions if m.position > clause.comparison]
    for more in before[-1:]:
        for less in behind[:1]:
            for index, label in more.held:
                for other, least in less.held:
                    p, q = (probability(ground.evidence[index].finding, one) for one in (label, least))
                    if index == other and p is not None and q is not None and p > q:
                        return
    raise Struck("the findings do not compare that way")


def in_view(ground: Ground, index: int, view: int) -> bool:
    """True when a piece of evidence belongs to the view of that number, from 1; one box may be given twice."""
    item = ground.evidence[index]
    keys = [(o.slide, o.region) for o in ground.observations] or list(
        dict.fromkeys((e.slide, e.region) for e in ground.evidence)
    )
    return 0 < view <= len(keys) and keys[view - 1] == (item.slide, item.region)


def bind_figures(clause: Clause, words: tuple[str, ...], ground: Ground, support: Support) -> None:
    """Raises `Struck` unless every figure is one of a finding that the words beside it speak of."""
    _coverage(clause, ground, support)
    bounds = _interval_figures(clause)
    measured: Finding | None = None
    previous = 0
    for number, figure in enumerate(clause.figures):
        following = clause.figures[number + 1].position if number + 1 < len(clause.figures) else len(clause.text)
        if figure in bounds:
            if measured is None or measured.interval is None:
                raise Struck("no finding gives that interval")
            if not _prints(figure, measured.interval[bounds.index(figure) % 2], measured.unit, bound=True):
                raise Struck(f"{figure.text} is not the bound of the interval")
        elif figure.unit == "µm/px":
            _scale(figure, ground, support)
        elif not _as_probability(clause, figure, previous, ground):
            segments = (clause.text[previous : figure.end], clause.text[figure.end : following])
            found = _measure(figure, segments, ground, clause, support)
            measured = found or measured
            if (
                found is None
                and not _named_after(clause, figure, ground)
                and not _likeness(clause, figure, ground, support)
            ):
                raise Struck(f"no finding holds the figure {figure.printed}")
        previous = figure.end
    if words and measured is None:
        raise Struck(f"“{words[0]}”: no measured figure is given with it")


def _interval_figures(clause: Clause) -> list[Figure]:
    found: list[Figure] = []
    for match in HOUSE_FIGURES.finditer(clause.text):
        if "interval" in match[0]:
            found += [figure for figure in clause.figures if figure.position >= match.end()][:2]
    return found


def _prints(figure: Figure, value: float, unit: str | None, *, bound: bool = False) -> bool:
    if unit == "share":
        return figure.says(100 * value) if figure.unit == "%" else not figure.unit and figure.says(value, least=2)
    if unit in (None, "ratio"):
        return not figure.unit and figure.says(value, least=1)
    return (figure.unit == unit or (bound and not figure.unit)) and figure.says(value)


def _as_probability(clause: Clause, figure: Figure, previous: int, ground: Ground) -> bool:
    """True when the figure is the probability of the class word before it; raises when it is another's."""
    near = [m for m in clause.mentions if previous <= m.position < figure.position and any(c for _, c in m.held)]
    if not near or not _like_probability(figure):
        return False
    if any(re.search(pattern, clause.text[near[-1].position : figure.position]) for pattern in _NOUNS.values()):
        return False
    # "carcinoma in oral cavity (0.93)": the site is a class of another head, the figure is of what lies there
    spoken = near[-2:] if any(not label for _, label in near[-1].held) else near[-1:]
    if not any(_is_probability_of(mention, figure, ground) for mention in spoken):
        raise Struck(f"{figure.printed} is not the probability of “{near[-1].text}”")
    return True


def _named_after(clause: Clause, figure: Figure, ground: Ground) -> bool:
    """True for `0.71 for colon`, when it is so."""
    match = re.match(rf"\s*(?:for|of)(?: the)? ([{chr(MARK)}-\uf8ff])", clause.text[figure.end :])
    if not match or not _like_probability(figure):
        return False
    position = figure.end + match.start(1)
    return any(m.position == position and _is_probability_of(m, figure, ground) for m in clause.mentions)


def _like_probability(figure: Figure) -> bool:
    return figure.unit == "%" or (not figure.unit and figure.decimals >= 2 and figure.value <= 1)


def _is_probability_of(mention: Mention, figure: Figure, ground: Ground) -> bool:
    for index, label in mention.held:
        p = probability(ground.evidence[index].finding, label)
        if p is not None and _prints(figure, p, "share"):
            return True
    return False


def _likeness(clause: Clause, figure: Figure, ground: Ground, support: Support) -> bool:
    """True when the figure says how often a likeness to a reference case was right."""
    if not _LIKENESS.search(clause.text) or not _like_probability(figure):
        return False
    for index, item in enumerate(ground.evidence):
        finding = item.finding
        told = finding.name == "resembles" and not finding.abstained and finding.probability is not None
        if told and _prints(figure, finding.probability or 0.0, "share"):
            support.evidence.add(index)
            return True
    return False


def _measure(
    figure: Figure, segments: tuple[str, str], ground: Ground, clause: Clause, support: Support
) -> Finding | None:
    """The measured finding that the words before the figure, else behind it, speak of; raises when it differs."""
    view = next((m.view for m in clause.mentions if m.view), None)
    for segment in segments:
        spoken = [
            (index, item)
            for index, item in enumerate(ground.evidence)
            if item.finding.value is not None
            and _speaks_of(item.finding.name, segment)
            and _fits_unit(item.finding, figure)
        ]
        if not spoken:
            continue
        for index, item in spoken:
            finding = item.finding
            if view is not None and not in_view(ground, index, view):
                continue
            if finding.abstained or (figure.unit in PHYSICAL and item.mpp is None):
                raise Struck("no measure in physical units without the µm/px of the slide" if item.mpp is None else (
                    f"{finding.name} abstains"
                ))  # fmt: skip
            if not _has_tissue(ground, item) and finding.name not in ("tissue_share", "pen", "focus"):
                raise Struck("there is no tissue in this view to speak about")
            if _prints(figure, finding.value or 0.0, finding.unit):
                support.evidence.add(index)
                return finding
        raise Struck(f"{figure.printed} is not what was measured")
    if figure.unit in PHYSICAL and all(item.mpp is None for item in ground.evidence):
        raise Struck("no measure in physical units without the µm/px of the slide")
    return None


def _speaks_of(name: str, segment: str) -> bool:
    pattern = _NOUNS.get(name)
    if pattern is None:
        return all(re.search(rf"\b{re.escape(word)}\b", segment) for word in name.split("_"))
    if name == "chromogen_share" and re.search(_NOUNS["positive_nuclei_share"], segment):
        return False
    return bool(re.search(pattern, segment))


def _fits_unit(finding: Finding, figure: Figure) -> bool:
    if finding.unit == "share":
        return figure.unit == "%" or (not figure.unit and figure.decimals >= 2)
    return figure.unit == ("" if finding.unit in (None, "ratio") else finding.unit)


def _scale(figure: Figure, ground: Ground, support: Support) -> None:
    known = [i for i, item in enumerate(ground.evidence) if item.mpp is not None and figure.says(item.mpp, least=1)]
    if not known and not any(o.mpp is not None and figure.says(o.mpp, least=1) for o in ground.observations):
        raise Struck(f"no view was looked at with {figure.text} µm/px")
    support.seen = True


def _coverage(clause: Clause, ground: Ground, support: Support) -> None:
    """`12 of 240 fields` is true of an observation or is struck."""
    counts = {(o.fields_seen, o.fields_available) for o in ground.observations}
    for match in COVERAGE.finditer(clause.text):
        if (int(match[1].replace(",", "")), int(match[2].replace(",", ""))) not in counts:
            raise Struck(f"{match[0]}: that is not how many were looked at")
        support.seen = True
    if ONE_FIELD.search(clause.text):
        if not any(seen == 1 for seen, _ in counts):
            raise Struck("it was not one field that was looked at")
        support.seen = True
