"""From findings to sentences: one small function for each kind of finding. No number or class is made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slides import Evidence, Finding

from .certainty import Certainty, certainty
from .choose import Choice
from .slide_words import NAMES as OF_SLIDES
from .spoken import SPOKEN as SPOKEN
from .statements import Seen, Statement, figure, listed, quantity, runners_up

SUBJECTS = {
    "stain": "the stain",
    "organ": "the organ",
    "category": "the process",
    "tissue": "the tissue",
    "disease": "the lesion",
}
VERBS = {"consistent with": "is consistent with", "favours": "favours", "suggestive of": "is suggestive of"}


def classified(seen: Seen, name: str) -> list[Statement]:
    """Statements of the findings called `name` (or `name <organ>`) that stand: one each."""
    return [
        Statement(_with_view(seen, _told(name, item.finding, VERBS[word])), (index,))
        for index, item in seen.all(name)
        if item.finding.label and (word := _certainty(item.finding)) != "not classified"
    ]


def unclassified(seen: Seen, name: str, *, why: bool) -> list[Statement]:
    """Statements of the findings called `name` that do not stand: what it looks most like, and why it is no more."""
    return [
        Statement(_with_view(seen, _unclassified(name, item.finding, explain=why)), (index,))
        for index, item in seen.all(name)
        if item.finding.label and _certainty(item.finding) == "not classified"
    ]


def of_another_stain(seen: Seen, names: Sequence[str]) -> list[Statement]:
    """One statement for all the findings of these names that are silent because of the stain; nothing for fewer
    than two."""
    found = [
        (name, index, item.finding.reason.partition(";")[0])
        for name in names
        for index, item in seen.all(name)
        if item.finding.abstained and (item.finding.reason or "").startswith(ANOTHER_STAIN) and item.finding.reason
    ]
    if len({reason for _, _, reason in found}) != 1 or len({name for name, _, _ in found}) < 2:
        return []
    subjects = listed(list(dict.fromkeys(SUBJECTS[name] for name, _, _ in found)), "and")
    text = f"{subjects[:1].upper()}{subjects[1:]} are not classified: {found[0][2]}."
    return [Statement(_with_view(seen, (text,)), tuple(index for _, index, _ in found))]


def _certainty(finding: Finding) -> Certainty:
    return certainty(finding.probability or 0.0, abstained=finding.abstained)


def _told(name: str, finding: Finding, verb: str) -> tuple[str, ...]:
    """The class with its probability and, where it holds more, the 90 % set."""
    label = finding.label or ""
    organ = finding.name.partition(" ")[2]
    where = f" in {organ}" if organ else ""
    more = f"; 90 % set: {', '.join(finding.prediction_set)}" if len(finding.prediction_set) > 1 else ""
    figures = f"({figure(finding.probability or 0.0)}{more})"
    role = " as the organ" if name == "organ" else ""
    said = f"{verb} {SPOKEN.get(label, label)}{where}{role} {figures}."
    if name == "stain":
        return (f"The stain {said}", f"By its colours the stain {said}")
    return (f"The picture {said}", f"What is seen {said}")


def _unclassified(name: str, finding: Finding, *, explain: bool) -> tuple[str, ...]:
    """That no class is given, and still what it looks most like; the 90 % set where it rules something out."""
    subject = SUBJECTS[name]
    figures = [(finding.label or "", finding.probability or 0.0)]
    if finding.label != OUTSIDE:  # what comes next misleads where the list does not hold the organ
        figures += runners_up(finding)
    nearest = "it looks most like " + ", then ".join(
        f"{SPOKEN.get(label, label)} ({figure(p)})" for label, p in figures
    )
    within = ""
    if 1 < len(finding.prediction_set) <= TELLING_SET:
        within = f"; 90 % set: {', '.join(finding.prediction_set)}"
    reason = finding.reason.partition(";")[0].rstrip(".") if finding.abstained and finding.reason else ""
    if reason.startswith(ANOTHER_STAIN) or (name in OF_ONE_ORGAN and reason.startswith("validated on")):
        # a head that never saw such a stain or organ has no likeness worth telling
        return (f"{subject.capitalize()} is not classified: {reason}.",)
    why = reason if explain else ""
    plain = f"{subject.capitalize()} is not classified; {nearest}{within}"
    if not why:
        return (f"{plain}.",)
    return (f"{subject.capitalize()} is not classified: {why}; {nearest}{within}.",)


TELLING_SET = 3
OUTSIDE = "another organ"
OF_ONE_ORGAN = frozenset({"tissue", "disease"})
ANOTHER_STAIN = "the picture reads as"
"""How a head begins its reason where the stain is not the one it was validated on."""
LEAST_LIKENESS = 0.5
"""A likeness that was wrong more often than right in held-out cases would mislead more than it tells."""


def resembles(seen: Seen) -> list[Statement]:
    """The nearest reference case, said as a likeness and never as a diagnosis."""
    found = seen.at("resembles")
    if found is None or found[1].finding.label is None:
        return []
    index, item = found
    finding = item.finding
    if finding.abstained or (finding.probability or 0.0) < LEAST_LIKENESS:
        return []
    p = figure(finding.probability or 0.0)
    return [
        Statement(
            _with_view(
                seen,
                (
                    f"Among the reference cases it looks most like {finding.label}; "
                    f"such a likeness was right about the kind of process in {p} of held-out cases.",
                    f"The nearest reference case is {finding.label}; "
                    f"such a likeness was right about the kind of process in {p} of held-out cases.",
                ),
            ),
            (index,),
        )
    ]


MEASURES: dict[str, tuple[str, ...]] = {
    "nuclei_density": (
        "Nuclei number about {number} per mm²{interval}.",
        "There are about {number} nuclei per mm²{interval}.",
    ),
    "nuclear_area": (
        "The median nuclear area is {value}{interval}.",
        "Nuclei measure {value} at the median{interval}.",
    ),
    "nuclear_area_variation": (
        "Nuclear size varies with a coefficient of variation of {value}{interval}.",
        "The coefficient of variation of nuclear area is {value}{interval}.",
    ),
    "nuclear_share": (
        "Nuclei cover {value} of the tissue{interval}.",
        "Nuclei take up {value} of the tissue area{interval}.",
    ),
    "clear_space_share": (
        "Clear space (lumina, fat or glass) makes up {value} of the tissue{interval}.",
        "Lumina, fat or other clear space take {value} of the tissue{interval}.",
    ),
    "nuclear_elongation": (
        "Nuclei are {value} times as long as wide at the median{interval}.",
        "At the median nuclei are {value} times as long as wide{interval}.",
    ),
    "nuclear_spacing": (
        "Nuclei lie {value} apart at the median{interval}.",
        "At the median nuclei lie {value} apart{interval}.",
    ),
    "nuclear_eccentricity": (
        "The median eccentricity of nuclei is {value}{interval}.",
        "Nuclear eccentricity is {value} at the median{interval}.",
    ),
    "nuclear_hyperchromasia": (
        "Nuclei are {value} times as dark with haematoxylin as the tissue between them at the median{interval}.",
        "At the median nuclei are {value} times as dark with haematoxylin as the tissue between them{interval}.",
    ),
    "chromogen_share": (
        "Chromogen covers {value} of the tissue{interval}.",
        "{value} of the tissue carries chromogen{interval}.",
    ),
    "positive_nuclei_share": (
        "In this field {value} of the nuclei carry chromogen{interval}.",
        "{value} of the nuclei in this field carry chromogen{interval}.",
    ),
}


def measured(seen: Seen, name: str) -> list[Statement]:
    """The statement of a measured finding; nothing when it abstains (see `unmeasured`)."""
    found = seen.at(name)
    if found is None or found[1].finding.abstained or found[1].finding.value is None:
        return []
    index, finding = found[0], found[1].finding
    value = quantity(found[1].finding.value, finding.unit)
    interval = ""
    if finding.interval is not None:
        low, high = (_number(quantity(v, finding.unit), finding.unit) for v in finding.interval)
        interval = f" (95 % interval {low} to {high})" if low != high else ""
    words = [w.format(value=value, number=_number(value, finding.unit), interval=interval) for w in MEASURES[name]]
    return [Statement(_with_view(seen, tuple(words)), (index,))]


def _number(text: str, unit: str | None) -> str:
    return text.removesuffix(f" {unit}")


def unmeasured(seen: Seen) -> list[Statement]:
    """One sentence on what could not be measured, with the reason the finding gives."""
    reasons: dict[str, list[int]] = {}
    for position, item in enumerate(seen.observation.evidence):
        finding = item.finding
        if finding.name in OF_SLIDES:
            continue
        if finding.abstained and finding.reason and finding.value is None and finding.label is None:
            reasons.setdefault(finding.reason, []).append(seen.offset + position)
    return [
        Statement(_with_view(seen, (f"{_sentence(reason)}",)), tuple(indices)) for reason, indices in reasons.items()
    ]


def focus(seen: Seen) -> list[Statement]:
    """A sentence on focus, said first only when it limits the answer."""
    found = seen.at("focus")
    if found is None or found[1].finding.label is None:
        return []
    label = found[1].finding.label
    return [Statement(_with_view(seen, (f"Focus is {label}.", f"The picture is {label} in focus.")[:1]), (found[0],))]


def coverage(seen: Seen) -> list[Statement]:
    """How much of the tissue was looked at."""
    o = seen.observation
    if not o.fields_available:
        return []
    found = seen.at("tissue_share")
    evidence = (found[0],) if found else ()
    scale = f", at {o.mpp:.2f} µm/px" if o.mpp else ""
    some = "field" if o.fields_available == 1 else "fields"
    share = ""
    if (seen_share := seen.at("seen_share")) is not None and seen_share[1].finding.value is not None:
        evidence = (*evidence, seen_share[0])
        share = f", {quantity(seen_share[1].finding.value, 'share')} of the tissue"
    words: tuple[str, ...] = (
        f"{o.fields_seen} of {o.fields_available} tissue {some} were looked at{share}{scale}.",
        f"This rests on {o.fields_seen} of {o.fields_available} tissue {some}{share}{scale}.",
    )
    if o.fields_available == 1:
        words = (f"This rests on one tissue field{scale}.",)
    return [Statement(_with_view(seen, words), evidence)]


def of_slide(seen: Seen, tell: Callable[[Sequence[Evidence], int], list[Statement]]) -> list[Statement]:
    """What one of the sentences of `slide_words` says of a view."""
    told = tell(seen.observation.evidence, seen.offset)
    return [Statement(_with_view(seen, one.wordings), one.evidence) for one in told]


def unusable(seen: Seen) -> Statement:
    """Why there is nothing to say about a view."""
    reason = seen.observation.reason or "There is no tissue here to speak about"
    indices = tuple(seen.offset + i for i, _ in enumerate(seen.observation.evidence))
    return Statement(_with_view(seen, (_sentence(reason),)), indices)


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _with_view(seen: Seen, wordings: tuple[str, ...]) -> tuple[str, ...]:
    """Each wording, with the view named in front where an answer holds several."""
    return tuple(f"{seen.label}: {text}" for text in wordings) if seen.label else wordings


def chosen(options: tuple[str, ...], choice: Choice, index: int) -> tuple[Statement, Finding]:
    """What is said of a choice among options, and the finding it is recorded as."""
    ranked = sorted(zip(options, choice.probabilities, strict=True), key=lambda pair: -pair[1])
    label, p = ranked[0]
    finding = Finding(
        "choice",
        label=None if choice.index is None else label,
        probability=p,
        distribution=tuple(ranked),
        abstained=choice.index is None,
        reason=choice.why if choice.index is None else None,
        source="findings and scored likelihood",
    )
    if choice.index is None:
        return Statement(
            ("The findings do not settle this choice, so none of the options is taken.",), (index,)
        ), finding
    return Statement((f"Of the options given, “{label}” fits the findings best ({figure(p)}).",), (index,)), finding
