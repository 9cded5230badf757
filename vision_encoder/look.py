"""Looking at one view: tissue, tiles, encoder, heads, likeness and measures, into one observation.

No language here. The order of evidence is the order of use: stain, organ, category, tissue and disease,
likeness, measures, quality.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from slides import Evidence, Finding, Region, RegionUnreadable, Slide, UsageError
from slides.quality import measure_quality
from slides.tissue import TissueMask, tissue_mask

from .encode_fields import Progress as Progress
from .encode_fields import encode_fields as encode_fields
from .evidence_tiles import evidence_tiles
from .field import Field
from .low_power import scan
from .memory import (
    Fields,
    InProcess,
    Memory,
    maker,
    pack_fields,
    pack_observation,
    unpack_fields,
    unpack_observation,
)
from .morphometry import measure, measure_together
from .nothing_to_read import nothing_to_read as nothing_to_read
from .observation import Look, Observation
from .sampling import MOST_IN_BOX, TilePlan, plan_tiles, seen_share, typical
from .slide_findings import disagreement, look_closer, seen_closer, stopped, suspicious

if TYPE_CHECKING:
    from .encoder import Encoder
    from .heads import HeadSet, Reading
    from .retrieval import Atlas, Match

T = TypeVar("T")
FIELDS_SHOWN = 6
FIELDS_MEASURED = 6
ORDER = ("stain", "organ", "category", "tissue", "disease")
NO_HEADS = (
    "No heads were trained for encoder '{}', so neither stain, organ nor disease is read, only measured: "
    "use embedded, or train heads for it."
)
NO_SCALE = "The slide states no µm/px, so sizes and densities are left out: state it with --mpp."


@dataclass
class _Looked:
    """One view while it is looked at: what was planned and read of it, and the findings so far."""

    slide: Slide
    view: Region
    mask: TissueMask
    quality: tuple[Evidence, ...]
    plan: TilePlan
    organ: str | None
    survey: bool
    """A whole slide: more than a box of tissue."""
    looks: list[Look]
    tiles: list[Region]
    shades: list[float]
    features: np.ndarray


class Eye:
    """Encoder, heads and reference cases together; remembers what it saw, in this process unless told where.

    Without heads it measures only; `note` is then said with every observation.
    """

    def __init__(
        self,
        encoder: Encoder,
        heads: HeadSet | None,
        atlas: Atlas | None,
        note: str = "",
        memory: Memory | None = None,
    ) -> None:
        self.encoder = encoder
        self.heads = heads
        self.atlas = atlas
        self.note = note
        self.memory: Memory = memory or InProcess()

    @property
    def weights_sha256(self) -> dict[str, str]:
        """Hash of each weights file that looking uses."""
        hashes = {"encoder": self.encoder.sha256}
        if self.heads is not None:
            hashes["heads"] = str(self.heads.card["sha256"])
            for own in self.heads.added:
                hashes |= {f"head {name}": str(own.card["sha256"]) for name in own.names}
        return hashes if self.atlas is None else {**hashes, "atlas": str(self.atlas.card["sha256"])}

    def look(
        self,
        slide: Slide,
        region: Region | None = None,
        *,
        organ: str | None = None,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, Observation]:
        """The observation of a region, or of the whole slide; yields progress while it looks.

        `organ` is the organ where the request states it: the heads of that organ may then speak.
        Raises `UsageError` for a region outside the slide. Parts that cannot be read are left out and
        named in `notes`. Once `halted()` is true it returns what it has and remembers nothing.
        """
        view = (region or slide.bounds).clamp(slide.size)
        if view is None:
            width, height = slide.size
            raise UsageError(f"the region lies outside the slide, which is {width} x {height} px")
        # what is said of the file depends on more than its content: on the scale that the user states
        told = hashlib.sha256(repr((slide.mpp, slide.conditions)).encode()).hexdigest()[:16]
        kind = f"observation of {','.join(map(str, view.xywh))} {told} {region is None} {organ or ''}"
        made_by = maker({**self.weights_sha256, "note": self.note})
        known = unpack_observation(self.memory.memory(slide.fingerprint, kind, made_by), slide.name)
        if known is not None:
            return known
        observation = yield from self._look(slide, view, region is None, organ, halted)
        if not halted():
            self.memory.remember(slide.fingerprint, kind, pack_observation(observation), made_by)
        return observation

    def _look(
        self, slide: Slide, view: Region, whole: bool, organ: str | None, halted: Callable[[], bool]
    ) -> Generator[Progress, None, Observation]:
        yield Progress("finding tissue")
        try:
            mask = tissue_mask(slide, view)
            yield Progress("judging quality")
            quality = tuple(measure_quality(slide, view, mask))
        except RegionUnreadable as error:
            return Observation(slide.name, view, slide.mpp, (), 0, 0, False, str(error), slide.conditions)
        notes = [*([self.note] if self.note else []), *slide.conditions, *mask.removed]
        if (reason := nothing_to_read(slide, view, quality)) is not None:
            return Observation(slide.name, view, slide.mpp, quality, 0, 0, False, reason, tuple(notes))
        plan = plan_tiles(slide, view, mask, whole=whole)
        notes += plan.notes
        if slide.mpp is None and not any("µm/px" in note for note in notes):
            notes.append(NO_SCALE)
        overview: tuple[Evidence, ...] = ()
        looks: list[Look] = []
        survey = whole and not plan.framed and plan.available > MOST_IN_BOX
        if survey:
            overview, look = scan(slide, view, mask)
            looks.append(look)
            yield Progress("scanning the slide at low power", looks=(look,), glimpse=overview)
        # features that no head reads would only cost time
        encoder = self.encoder if self.heads is not None else None
        tiles, shades, features = yield from self._fields(encoder, slide, plan, halted)
        unread = len(plan.tiles) - len(tiles)
        if unread and not halted():
            notes.append(f"{unread} of {len(plan.tiles)} fields could not be read and were left out.")
        if not tiles:
            why = "stopped before any tissue was read" if halted() else "no part of the tissue here can be read"
            return Observation(slide.name, view, plan.mpp, quality, 0, plan.available, False, why, tuple(notes))
        looked = _Looked(slide, view, mask, quality, plan, organ, survey, looks, tiles, shades, features)
        found, reason = yield from self._findings(looked, halted)
        gist = features.mean(axis=0) if features.size else None
        return Observation(
            slide.name,
            view,
            plan.mpp,
            (*overview, *found),
            len(tiles),
            plan.available,
            reason is None,
            reason,
            tuple(notes),
            gist,
            tuple(looks),
        )

    def fields(self, slide: Slide) -> Generator[Progress, None, tuple[list[Region], np.ndarray]]:
        """The fields spread over a whole slide and their features (n, d), remembered; none where there is no tissue."""
        plan = plan_tiles(slide, slide.bounds, tissue_mask(slide, slide.bounds), whole=True)
        tiles, _, features = yield from self._fields(self.encoder, slide, plan, lambda: False)
        return tiles, features

    def _fields(
        self, encoder: Encoder | None, slide: Slide, plan: TilePlan, halted: Callable[[], bool]
    ) -> Generator[Progress, None, tuple[list[Region], list[float], np.ndarray]]:
        """As `encode_fields`, from memory where the same tiles were encoded: another organ reads the same features."""
        planned = hashlib.sha256(repr((plan.tiles, plan.sizes)).encode()).hexdigest()[:16]
        kind, made_by = f"fields {planned}", maker({"encoder": self.encoder.sha256 if encoder else ""})
        known = unpack_fields(self.memory.memory(slide.fingerprint, kind, made_by))
        if known is not None:
            return known.tiles, known.shades, known.features
        tiles, shades, features = yield from encode_fields(encoder, slide, plan, halted)
        if not halted() and len(plan.tiles) > MOST_IN_BOX:  # a box is read again in no time
            self.memory.remember(slide.fingerprint, kind, pack_fields(Fields(tiles, shades, features)), made_by)
        return tiles, shades, features

    def _findings(
        self, looked: _Looked, halted: Callable[[], bool]
    ) -> Generator[Progress, None, tuple[tuple[Evidence, ...], str | None]]:
        """The findings of the fields in the order of use, and why there is nothing to speak about, if so."""
        slide, plan, quality = looked.slide, looked.plan, looked.quality
        tiles = looked.tiles
        looked.looks += [Look(slide.name, tile, plan.mpp, "spread over the tissue") for tile in tiles]
        readings = self._read_heads(looked)
        heads = tuple(
            Evidence(slide.name, looked.view, plan.mpp, item.finding, _speaking(item, tiles, survey=looked.survey))
            for item in readings
        )
        stain = next((item.finding for item in heads if item.finding.name == "stain"), None)
        if stain is not None and stain.label == "not histology" and not stain.abstained:
            return (*heads[:1], *quality), "this does not look like a stained tissue section"
        likeness, match = self._resembles(looked, heads)
        further: tuple[Evidence, ...] = ()
        if looked.survey:
            process = next((item for item in readings if item.finding.name == "category"), None)
            if process is not None:
                heads, further = yield from self._survey(looked, process, heads, match, halted)
        yield Progress("measuring nuclei", len(tiles), len(plan.tiles))
        measures = self._measure(looked, _stain_of(stain, quality))
        if not plan.framed:
            share = Finding("seen_share", value=seen_share(looked.mask, tiles), unit="share", source="measured")
            quality = (*quality, Evidence(slide.name, looked.view, plan.mpp, share))
        return (*heads, *likeness, *further, *measures, *quality), None

    def _survey(
        self,
        looked: _Looked,
        process: Reading,
        heads: tuple[Evidence, ...],
        match: Match | None,
        halted: Callable[[], bool],
    ) -> Generator[Progress, None, tuple[tuple[Evidence, ...], tuple[Evidence, ...]]]:
        """A whole slide's heads, the process stopped where other readings disagree, and what places or tests it."""
        slide, plan = looked.slide, looked.plan
        whole = next(item for item in heads if item.finding.name == "category")
        stain = next((item.finding for item in heads if item.finding.name == "stain"), None)
        further: list[Evidence] = []
        second = None
        if stain is None or stain.label == "HE":  # the process was learned on H&E only
            further.append(suspicious(slide, looked.view, plan, looked.tiles, process))
            closer = look_closer(slide, plan, whole, looked.quality)
            if closer is not None and not halted():
                tiles, _, features = yield from encode_fields(
                    self.encoder, slide, closer.plan, halted, what="looking again", why=closer.why
                )
                looked.looks += [Look(slide.name, tile, closer.plan.mpp, closer.why) for tile in tiles]
                again = self._process(features, closer.plan, looked.organ) if tiles else None
                if again is not None:
                    second = seen_closer(whole, closer, tiles, again)
                    further.append(second)
        why = disagreement(whole.finding, process, match, None if second is None else second.finding)
        if why is not None:
            heads = tuple(stopped(item, why) if item is whole else item for item in heads)
        return heads, tuple(further)

    def _process(self, features: np.ndarray, plan: TilePlan, organ: str | None) -> Reading | None:
        """The reading of the process in fields at another scale, None where the head was not validated there."""
        assert self.heads is not None
        mpp = None if plan.tile_um is None else plan.tile_um / self.encoder.tile_px
        reading = next(
            item for item in self.heads.read(features, mpp=mpp, organ=organ) if item.finding.name == "category"
        )
        return None if (reading.finding.reason or "").startswith("seen at") else reading

    def _read_heads(self, looked: _Looked) -> tuple[Reading, ...]:
        """What the heads say, in the order of use; an organ's own heads only where it is, or is stated, that organ."""
        if self.heads is None:
            return ()
        # the heads know the scale at the side the encoder sees
        tile_um = looked.plan.tile_um
        mpp = None if tile_um is None else tile_um / self.encoder.tile_px
        readings = self.heads.read(looked.features, mpp=mpp, organ=looked.organ)
        organ = looked.organ or next((item.finding.label for item in readings if item.finding.name == "organ"), None)
        kept = [item for item in readings if _of_organ(item.finding.name) in (None, organ)]
        kept.sort(key=lambda item: ORDER.index(item.finding.name.split(" ")[0]))
        return tuple(kept)

    def _resembles(self, looked: _Looked, heads: Sequence[Evidence]) -> tuple[tuple[Evidence, ...], Match | None]:
        """The nearest reference case, where an atlas is loaded; it holds H&E only.

        It abstains where the heads speak against it: a likeness that their 90 % sets leave out misleads.
        """
        matches = self.atlas.nearest(looked.features, k=3) if self.atlas is not None else ()
        if not matches:
            return (), None
        first = matches[0]
        found = {item.finding.name: item.finding for item in heads}
        reason = None
        other_stain = "stain" in found and found["stain"].label != "HE"
        if other_stain:
            reason = "the reference cases are stained with H&E, and this does not read as that"
        elif _left_out(found.get("organ"), first.organ) or _left_out(found.get("category"), first.category):
            reason = "the nearest reference case is one that the 90 % sets of the heads leave out"
        finding = Finding(
            "resembles",
            label=first.diagnosis or first.title,
            probability=first.agreement,
            abstained=reason is not None,
            reason=reason,
            scope=f"nearest of the H&E reference cases: {first.title}, {first.organ or 'organ not stated'}",
            source=f"atlas@{self.weights_sha256['atlas'][:8]}",
        )
        evidence = Evidence(looked.slide.name, looked.view, looked.plan.mpp, finding)
        return (evidence,), None if other_stain else first

    def _measure(self, looked: _Looked, stain: str) -> tuple[Evidence, ...]:
        """Measures over a whole small view, or over fields from the palest to the most cellular."""
        slide, view, plan = looked.slide, looked.view, looked.plan
        if plan.framed:
            pixels = slide.read(view) if plan.mpp is None else slide.read(view, mpp=plan.mpp)
            return measure(pixels, plan.mpp, view, slide.name, stain)
        sides = dict(zip(plan.tiles, plan.sizes, strict=True))
        chosen = [looked.tiles[index] for index in typical(looked.shades, FIELDS_MEASURED)]
        looked.looks += [Look(slide.name, tile, plan.mpp, "nuclei measured") for tile in chosen]
        fields = [Field(slide.read_size(tile, (sides[tile], sides[tile])), tile) for tile in chosen]
        return measure_together(fields, plan.mpp, view, slide.name, stain)


def load_eye(encoder: str = "embedded", own_heads: Sequence[Path] = (), memory: Memory | None = None) -> Eye:
    """Encoder, its heads and a laboratory's own, and its reference cases; of another encoder, what there is.

    `memory` is where it remembers slides, by default in this process.

    Raises
    ------
    SetupError : a part is missing or altered
    UsageError : an own head is missing, was made with another encoder, or has the name of another own head
    """
    # skimage loads its parts on first use: half a second that the first question should not pay
    import skimage.filters
    import skimage.segmentation  # noqa: F401

    from .catalog import load_encoder
    from .heads import load_heads, load_own_head
    from .retrieval import load_atlas
    from .shipped import MadeForAnother

    loaded = load_encoder(encoder)
    own = [load_own_head(loaded, path) for path in own_heads]
    names = [name for heads in own for name in heads.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two heads are called '{twice[0]}': load one of them")

    def shipped(load: Callable[[Encoder], T]) -> T | None:
        """What ships for this encoder; another than the default may have none."""
        try:
            return load(loaded)
        except MadeForAnother:
            if encoder == "embedded":
                raise
            return None

    heads, atlas = shipped(load_heads), shipped(load_atlas)
    if heads is not None:
        return Eye(loaded, heads.with_added(*own), atlas, memory=memory)
    if own:  # a laboratory's own heads speak alone
        return Eye(loaded, own[0].with_added(*own[1:]), atlas, memory=memory)
    return Eye(loaded, None, None, NO_HEADS.format(loaded.name), memory)


def _left_out(finding: Finding | None, label: str) -> bool:
    """True where a head knows a class and its 90 % set does not hold it."""
    known = finding is not None and label in (name for name, _ in finding.distribution)
    return known and finding is not None and label not in finding.prediction_set


def _of_organ(name: str) -> str | None:
    """The organ that a head such as `tissue colon` belongs to."""
    kind, _, organ = name.partition(" ")
    return organ or None if kind in ("tissue", "disease") else None


def _speaking(reading: Reading, tiles: Sequence[Region], *, survey: bool) -> tuple[Region, ...]:
    """The tiles in which the reading's label is most probable, strongest first; those of a slide spread over it."""
    if reading.finding.label not in reading.classes:
        return ()
    column = reading.tile_probabilities[:, reading.classes.index(reading.finding.label)]
    strongest = np.argsort(-column, kind="stable")[:FIELDS_SHOWN]
    return tuple(tiles[index] for index in (evidence_tiles(tiles, column) if survey else strongest))


def _stain_of(stain: Finding | None, quality: Sequence[Evidence]) -> str:
    """The stain to measure by: the head's word, or the colours where it abstains or the brown is red."""
    colour = next((item.finding.label for item in quality if item.finding.name == "stain_colour"), None)
    if stain is None or not stain.label or stain.abstained or (stain.label == "IHC" and colour == "red chromogen"):
        return colour or ""
    return stain.label
