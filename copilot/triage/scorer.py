"""What triage sees of one slide, and who may say it: the score is behind a small protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from slides import Finding, PathcopilotError, Slide, open_slide
from slides.naming import shown_name
from vision_encoder.memory import FORMAT
from vision_encoder.novelty import NOVELTY_LEVEL
from vision_encoder.observation import Observation

from .profile import Profile, measure_profile

if TYPE_CHECKING:
    from vision_encoder.look import Eye

    from ..store import Store

SERIOUS = ("malignant", "pre-malignant")
# An abstention for one of these reasons leaves the probabilities calibrated: the order by them still means something.
UNDECIDED = "does not settle it"
UNSETTLED = (UNDECIDED, "too seldom on held-out cases", "it speaks from")
LEAST_TISSUE = 0.001
"""Share of tissue below which a slide is as good as empty."""
MOST_PEN = 0.02
"""Share of a slide under pen above which nothing is released: what lies under it was not seen."""
FIELDS = 6

Progress = Callable[[str], None]
SlidesProgress = Callable[[int, int, str], None]


class Step(Protocol):
    """One step of a look."""

    @property
    def what(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


T = TypeVar("T")
Look = Callable[[Slide], Generator[Step, None, Observation]]


@dataclass(frozen=True, slots=True)
class Sight:
    """One slide as triage sees it.

    Attributes
    ----------
    slide : shown name, never a path
    fingerprint : content hash, None for a slide that does not open
    score : in [0, 1], the higher the sooner to be read; None where it cannot be had
    why : what the score says, or why there is none, in one clause
    uncertain : why the slide must not be released whatever its score, None when nothing speaks against it
    alternatives : 90 % set of the kind of process
    fields : the top fields, level-0 (x, y, width, height), strongest first
    not_seen : what was not looked at
    profile : scanner, scale, stain and features, to compare with the calibration set
    """

    slide: str
    fingerprint: str | None
    score: float | None
    why: str
    uncertain: str | None = None
    alternatives: tuple[str, ...] = ()
    fields: tuple[tuple[int, int, int, int], ...] = ()
    not_seen: tuple[str, ...] = ()
    profile: Profile | None = field(default=None, compare=False)

    @property
    def held(self) -> str | None:
        """Why the slide can be no part of a released case."""
        return self.why if self.score is None else self.uncertain

    def as_record(self) -> dict[str, Any]:
        """Plain types without the slide's name, for the store."""
        profile = None if self.profile is None else self.profile.as_record()
        return {
            "score": self.score,
            "why": self.why,
            "uncertain": self.uncertain,
            "alternatives": list(self.alternatives),
            "fields": [list(box) for box in self.fields],
            "not_seen": list(self.not_seen),
            "profile": profile,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], slide: str, fingerprint: str) -> Sight:
        """The sight that `as_record` wrote, of a slide by this name."""
        return cls(
            slide,
            fingerprint,
            record["score"],
            record["why"],
            record["uncertain"],
            tuple(record["alternatives"]),
            tuple((box[0], box[1], box[2], box[3]) for box in record["fields"]),
            tuple(record["not_seen"]),
            None if record["profile"] is None else Profile.from_record(record["profile"]),
        )


class Scorer(Protocol):
    """Gives a slide its score. A slide model takes the place of the heads by being one of these.

    Attributes
    ----------
    name : what the certificate calls it
    hashes : of everything that the score depends on, recomputed from what is loaded
    """

    @property
    def name(self) -> str: ...
    @property
    def hashes(self) -> Mapping[str, str]: ...

    def score(self, slide: Slide, progress: Progress) -> Sight:
        """The sight of an open slide; raises `PathcopilotError` when it cannot be looked at."""
        ...


def joined_hash(scorer: Scorer) -> str:
    """One hash for a scorer: another network, head, or version of pathcopilot gives another."""
    return hash_of([scorer.name, dict(scorer.hashes)])


class HeadScorer:
    """The calibrated probability, by the head of the kind of process, that a slide is malignant or pre-malignant.

    Parameters
    ----------
    look : looks at a slide, yielding steps, and returns the observation
    hashes : of the weights that look
    """

    name = "head category: malignant or pre-malignant"

    def __init__(self, look: Look, hashes: Mapping[str, str]) -> None:
        self._look = look
        self.hashes: Mapping[str, str] = {**hashes, "pathcopilot": version("pathcopilot")}

    @classmethod
    def of(cls, eye: Eye) -> HeadScorer:
        """The scorer of a loaded eye."""
        return cls(lambda slide: eye.look(slide), hashes_of(eye))

    def score(self, slide: Slide, progress: Progress) -> Sight:
        """The sight of the whole slide."""
        seen = through(self._look(slide), progress)
        return replace(sight_of(seen), fingerprint=slide.fingerprint, profile=measure_profile(slide, seen))


def hashes_of(eye: Eye) -> dict[str, str]:
    """Of everything that an eye's look depends on.

    The encoder's and the heads' arrays were hashed anew and compared when they were loaded; the heads' hash here is
    over their whole card, so that thresholds and scopes count too. `looking` is the version of how a slide is read.
    """
    hashes = {"encoder": eye.encoder.sha256, "looking": str(FORMAT)}
    if eye.heads is not None:
        cards = [dict(part.card) for part in (eye.heads, *eye.heads.added)]
        hashes["heads"] = hash_of(cards)
    return hashes


def hash_of(value: Any) -> str:
    """SHA-256 of plain types in canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def through(looking: Generator[Step, None, T], progress: Progress) -> T:
    """What a look gives, each of its steps told."""
    while True:
        try:
            step = next(looking)
        except StopIteration as end:
            found: T = end.value
            return found
        progress(f"{step.what} {step.done} of {step.total}" if step.total else step.what)


def look_once(scorer: Scorer, slide: Slide, store: Store | None, progress: Progress, name: str | None = None) -> Sight:
    """The sight of a slide, from the store where this very scorer has seen it before; else made, and kept there.

    A scale that a person states changes the look, so it is part of the key.
    """
    maker = f"{joined_hash(scorer)[:40]} {'' if slide.mpp is None else f'{slide.mpp:.5g}'}"
    shown = name or slide.name
    if store is not None and (kept := store.memory(slide.fingerprint, "triage", maker)) is not None:
        return Sight.from_record(json.loads(kept), shown, slide.fingerprint)
    seen = replace(scorer.score(slide, progress), slide=shown, fingerprint=slide.fingerprint)
    if store is not None:
        store.remember(slide.fingerprint, "triage", json.dumps(seen.as_record()).encode(), maker)
    return seen


def look_at_file(scorer: Scorer, path: Path, store: Store | None, progress: Progress) -> Sight:
    """As `look_once`, of a file; one that cannot be opened or read gives a sight without a score."""
    try:
        with open_slide(path) as slide:
            return look_once(scorer, slide, store, progress)
    except PathcopilotError as error:
        return Sight(shown_name(path), None, None, str(error).rstrip("."))


def look_at_files(scorer: Scorer, paths: Sequence[Path], store: Store | None, progress: SlidesProgress) -> list[Sight]:
    """The sights of files, in order; `progress` is told the slides done, how many there are, and the present step."""
    sights = []
    for done, path in enumerate(paths):
        progress(done, len(paths), "")
        sights.append(look_at_file(scorer, path, store, partial(progress, done, len(paths))))
    progress(len(paths), len(paths), "")
    return sights


def sight_of(seen: Observation) -> Sight:
    """What an observation of the head of the kind of process says about its slide."""
    found = seen.find("category")
    places = () if found is None else tuple(place.xywh for place in (found.fields or (found.region,)))
    unread = seen.fields_available - seen.fields_seen
    not_seen = ((f"{unread} of {seen.fields_available} fields",) if unread > 0 else ()) + seen.notes
    finding = None if found is None else found.finding
    blank = Sight(seen.slide, None, None, "", fields=places[:FIELDS], not_seen=not_seen)
    if (reason := _unscorable(seen, finding)) is not None:
        return replace(blank, why=reason)
    assert finding is not None
    why = ", ".join(f"{name} {share:.2f}" for name, share in finding.distribution if name in SERIOUS)
    if finding.abstained:
        why += f"; not classified: {(finding.reason or '').rstrip('.')}"
    score = min(1.0, sum(share for name, share in finding.distribution if name in SERIOUS))
    undecided = finding.abstained and UNDECIDED in (finding.reason or "")
    doubt = "its 90 % set holds every class: the picture does not settle it" if undecided else doubt_of(seen)
    return replace(blank, score=score, why=why, uncertain=doubt, alternatives=finding.prediction_set)


def _unscorable(seen: Observation, finding: Finding | None) -> str | None:
    """Why a view has no score, in one clause; None when it has one."""
    if not seen.usable:
        return (seen.reason or "nothing in it can be read").rstrip(".")
    tissue, focus = seen.find("tissue_share"), seen.find("focus")
    if tissue is not None and tissue.finding.value is not None and tissue.finding.value < LEAST_TISSUE:
        return "no tissue was found"
    if focus is not None and focus.finding.label == "blurred":
        return "the picture is out of focus"
    if finding is None or not finding.distribution:
        return "no calibrated class of process is available for it"
    if finding.abstained and not any(words in (finding.reason or "") for words in UNSETTLED):
        return (finding.reason or "the tissue is unlike what the classifier was calibrated on").rstrip(".")
    return None


def doubt_of(seen: Observation) -> str | None:
    """Why a scored view must not be released, whatever scores it: quality or novelty off, or parts of it not read."""
    focus, pen, process = seen.find("focus"), seen.find("pen"), seen.find("category")
    if focus is None or focus.finding.abstained:
        return "its focus could not be judged"
    if focus.finding.label != "sharp":
        return f"its focus is {focus.finding.label}"
    if pen is not None and (pen.finding.value or 0.0) > MOST_PEN:
        return f"pen covers {100 * (pen.finding.value or 0.0):.0f} % of it"
    if any("could not be read" in note or "could not be decoded" in note for note in seen.notes):
        return "a part of it could not be read"
    novelty = None if process is None else process.finding.novelty
    if novelty is not None and novelty < NOVELTY_LEVEL:
        return f"its tissue is unlike the calibration tissue (p = {novelty:.2g})"
    return None
