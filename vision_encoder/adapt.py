"""A laboratory's own labelled tiles → a calibrated head with its report, in minutes on two cores.

The head is fitted and calibrated as the shipped ones are. Its figures are those of a head that never saw the
group: for each of five folds over groups a whole head (penalty, temperature, sets, level of speaking) is made
from the other folds and read on the fold. Tiles that a split column holds out are read by the head that is
written, and by nothing before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFilter

from slides.errors import SetupError, UsageError
from slides.files import write_atomically
from slides.finding import Finding

from .bags import Positions
from .catalog import load_encoder
from .colour_baseline import BALANCE, PENALTY, ColourBaseline, colour_features
from .encoder import Encoder, Features
from .evaluate import HeadResult, head_result
from .features import Progress, encode_all, silent, tile_features
from .fit_heads import View, grouped_folds, held_out_logits
from .heads import HeadSet, assemble, load_heads
from .lab_tiles import Columns, LabTiles, read_lab_tiles
from .negatives import negatives
from .novelty import NOVELTY_LEVEL
from .reference_tiles import ReferenceTiles
from .sampling import TILE_UM
from .shipped import write_trained
from .train_heads import Material, fit, prepare

SETTINGS: Mapping[str, Any] = {
    "seed": 7,
    "changed_views": ["half", "stained"],
    "changed_per_group": 12,
    "dimensions": 256,
    "whitening": 0.5,
    "penalties": [0.1, 0.3, 1.0, 3.0, 10.0],
    "balance": 0.75,
    "folds": 5,
    "coverage": 0.9,
    "negatives_per_kind": 0,
    "novelty": {"dimensions": 128, "tiles_per_group": 16},
}
"""As `recipes/heads.toml` has them, but for the negatives, which teach the stain head alone."""
LEAST_A_CLASS = 5
"""Groups of a class, so that each fold can hold one out."""
LEAST_IN_ALL = 20
"""Groups: of fewer, no p-value of novelty can fall below 0.05, and the head would never be silent on strange tissue."""
MOST_TILES = 96
"""Tiles of one group and label that are used: a bag is read by at most half as many."""
LARGEST_BAG = 48
SCALE_BAND = 1.5
UNKNOWN_MPP = (0.2, 1.5)
"""Where a head may speak whose tiles' µm/px is not known: where the shipped ones may."""
KINDS: Mapping[str, tuple[bool, float]] = {"disease": (False, 0.9), "tissue": (True, 0.8)}
"""Whether a bag is a composition (one region holds several classes), and how often it must be right to speak."""


@dataclass(frozen=True)
class Asked:
    """What a head is to be: its kind, and where it may speak; an empty organ means any."""

    kind: str = "disease"
    organ: str = ""
    stain: str = "HE"
    mpp: float | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.organ}".strip()


@dataclass(frozen=True)
class Adapted:
    """What adapting gave: the head as written to `path` (without suffix), and the figures of the report.

    `results` are read in grouped folds (`group`, `tile`) and, where a split holds tiles out, on those.
    `flagged` is the share of bags with novelty p below 0.05, by kind of picture.
    """

    path: Path
    heads: HeadSet
    results: Sequence[HeadResult]
    flagged: Mapping[str, float]
    notes: Sequence[str]


def adapt(
    source: Path,
    out: Path,
    *,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    asked: Asked = Asked(),
    encoder: str = "embedded",
    progress: Progress = silent,
) -> Adapted:
    """Writes OUT.safetensors, OUT.json and the report OUT.md from the labelled tiles of `source`.

    Parameters
    ----------
    source : a CSV, a Parquet file, or a folder, as `lab_tiles` reads them
    out : the head's path; `.json` or `.safetensors` at its end is left out
    columns : names of the columns
    asked : what the head is to be
    encoder : as `load_encoder` takes it
    progress : called with (what, done, total)

    Raises
    ------
    UsageError : tiles that are unfit (see `read_lab_tiles`), too few groups, or a folder that cannot be written
    SetupError : the extra `train` or the encoder's weights are missing
    """
    from .adapt_card import report

    out = _target(out)
    if asked.kind not in KINDS:
        raise UsageError(f"no kind '{asked.kind}': a head is of {' or '.join(KINDS)}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise SetupError('adapting needs: pip install -c constraints.txt "pathcopilot[train]"') from error
    lab = read_lab_tiles(source, columns, asked.stain, progress)
    own = np.flatnonzero(lab.tiles.split == "train")
    _require_groups(lab.tiles.where(own))
    kept = own[_spread(lab.tiles.where(own))]
    tiles = lab.tiles.where(kept)
    model = load_encoder(encoder)
    head = _head_row(asked, _mpp_range(lab, kept, asked, model))
    material = prepare(SETTINGS, model, tiles, progress)
    features = tile_features(model, tiles, "whole", progress)
    colours = colour_features(tiles)
    results, usual = _in_folds(head, material, features, colours, progress)
    progress(f"head {head['name']}", 0, 1)
    arrays, rows = fit([head], SETTINGS, material)
    card = {
        "encoder": {"name": model.name, "sha256": model.sha256, "dimension": model.dimension},
        "made_by": "pathcopilot adapt",
        "settings": SETTINGS,
        "data_sha256": tiles.sha256(),
        "tiles": len(tiles),
        "groups": len(set(tiles.group)),
        "attribution": [],
        "heads": rows,
    }
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        sha256 = write_trained(out.parent, out.name, arrays, card)
    heads = assemble(arrays, {"sha256": sha256, **card})
    held_out = lab.tiles.where(lab.tiles.split != "train")
    if len(held_out):
        results += _on_held_out(heads, model, held_out, (tiles, colours), progress)
    flagged = {**usual, **_foreign(heads, model, tiles, progress)}
    adapted = Adapted(out, heads, results, flagged, _notes(lab, len(own) - len(kept), tiles, head, model))
    with _writing(out):
        write_atomically(out.parent / f"{out.name}.md", report(adapted))
    return adapted


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out.name} cannot be written: {error.strerror}: name another place with --out") from error


def _target(out: Path) -> Path:
    """The head's path without suffix; raises `UsageError` where nothing can be written."""
    target = out.with_suffix("") if out.suffix in (".json", ".safetensors", ".md") else out
    if not target.name or target.is_dir():
        raise UsageError(f"--out {out}: name a file, such as heads/breast, not a folder")
    existing = next(folder for folder in target.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UsageError(f"--out {out}: nothing can be written there: name another folder")
    return target


def _require_groups(tiles: ReferenceTiles) -> None:
    """Raises `UsageError` that says how many groups are missing, and of what."""
    counts = {name: len(set(tiles.group[tiles.tissue == name])) for name in sorted(set(tiles.tissue))}
    if len(counts) < 2:
        raise UsageError("fewer than two labels in the split train: a head tells classes apart")
    short = [f"'{name}' has {count}, {LEAST_A_CLASS - count} more" for name, count in counts.items()
             if count < LEAST_A_CLASS]  # fmt: skip
    if short:
        raise UsageError(
            f"too few groups (patients or slides): {'; '.join(short)} needed: {LEAST_A_CLASS} of each class, "
            "so that each of five folds can hold one out"
        )
    groups = len(set(tiles.group))
    if groups < LEAST_IN_ALL:
        raise UsageError(
            f"too few groups (patients or slides): {groups}, {LEAST_IN_ALL - groups} more needed: {LEAST_IN_ALL} "
            "in all, since of fewer none can tell that tissue is unlike them (novelty p below 0.05)"
        )


def _spread(tiles: ReferenceTiles) -> Positions:
    """Positions of at most `MOST_TILES` tiles of each group and label, in order."""
    keys = np.array([f"{group}\n{label}" for group, label in zip(tiles.group, tiles.tissue, strict=True)])
    chosen: list[int] = []
    for number, key in enumerate(sorted(set(keys))):
        rng = np.random.default_rng([SETTINGS["seed"], number])
        chosen += rng.permutation(np.flatnonzero(keys == key))[:MOST_TILES].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _mpp_range(lab: LabTiles, kept: Positions, asked: Asked, encoder: Encoder) -> tuple[float, float]:
    """µm/px at the side that the encoder sees, between which the head may speak."""
    stated = np.full(len(kept), asked.mpp, dtype=np.float64) if asked.mpp else lab.mpp[kept]
    seen = stated * lab.sides[kept] / encoder.tile_px
    if np.isnan(seen).all():
        return UNKNOWN_MPP
    low, high = np.nanquantile(seen, [0.05, 0.95])
    return round(float(low) / SCALE_BAND, 3), round(float(high) * SCALE_BAND, 3)


def _head_row(asked: Asked, mpp: tuple[float, float]) -> dict[str, Any]:
    """The head as a recipe would name it."""
    composition, least_accuracy = KINDS[asked.kind]
    return {
        "name": asked.name,
        "column": "tissue",
        "stain": asked.stain,
        "organ": asked.organ,
        "certain": False,
        "minimum_groups": 1,
        "composition": composition,
        "mpp": list(mpp),
        "least_accuracy": least_accuracy,
    }


def _in_folds(
    head: Mapping[str, Any],
    material: Material,
    features: Features,
    colours: NDArray[np.float32],
    progress: Progress,
) -> tuple[list[HeadResult], dict[str, float]]:
    """Figures by group and by tile, each bag read by a head made without its fold; and the share of tiles flagged.

    Heads of folds that learn from too few groups to flag anything are not asked for the latter.
    """
    tiles = material.tiles
    classes = tuple(sorted(set(tiles.tissue)))
    labels = np.array([classes.index(name) for name in tiles.tissue])
    scaled = (colours - colours.mean(axis=0)) / (colours.std(axis=0) + 1e-6)
    colour = held_out_logits(
        [View(np.arange(len(tiles)), scaled)], labels, tiles.group, PENALTY, {**SETTINGS, "balance": BALANCE}
    )
    said: dict[str, list[tuple[Positions, Finding]]] = {"group": [], "tile": []}
    flagged: list[bool] = []
    for number, (learned, held_out) in enumerate(grouped_folds(labels, tiles.group, SETTINGS)):
        progress("heads of the folds", number, SETTINGS["folds"])
        among = np.zeros(len(tiles), dtype=bool)
        among[learned] = True
        arrays, rows = fit([head], SETTINGS, material, among=among)
        heads = assemble(arrays, {"sha256": "", "heads": rows})
        for reading, bags in _bags(tiles.group, labels, held_out).items():
            said[reading] += [(bag, _said(heads, features[bag])) for bag in bags]
        if len(set(tiles.group[learned])) >= LEAST_IN_ALL:
            flagged += [_unlike(finding) for _, finding in said["tile"][-len(held_out) :]]
    results = [
        _result(f"folds, by {name}", pairs, classes, labels, tiles.group, colour) for name, pairs in said.items()
    ]
    return results, {"held-out tiles of the folds": float(np.mean(flagged))} if flagged else {}


def _on_held_out(
    heads: HeadSet,
    encoder: Encoder,
    tiles: ReferenceTiles,
    learned: tuple[ReferenceTiles, NDArray[np.float32]],
    progress: Progress,
) -> list[HeadResult]:
    """Figures on tiles that the split holds out; those of a class the head does not know are left out."""
    classes = heads.heads[0].classes
    tiles = tiles.where(np.isin(tiles.tissue, classes))
    if not len(tiles):
        return []
    labels = np.array([classes.index(name) for name in tiles.tissue])
    train, colours = learned
    baseline = ColourBaseline(colours, np.array([classes.index(name) for name in train.tissue]), train.group)
    features, colour = tile_features(encoder, tiles, "whole", progress), baseline.logits(colour_features(tiles))
    return [
        _result(
            f"held out, by {name}",
            [(bag, _said(heads, features[bag])) for bag in bags],
            classes,
            labels,
            tiles.group,
            colour,
        )
        for name, bags in _bags(tiles.group, labels, np.arange(len(tiles))).items()
    ]


def _bags(groups: NDArray[np.object_], labels: NDArray[np.int64], among: Positions) -> dict[str, list[Positions]]:
    """By group: at most 48 tiles of one group and label together; by tile: each alone."""
    members: dict[tuple[str, int], list[int]] = {}
    for position in among:
        members.setdefault((str(groups[position]), int(labels[position])), []).append(int(position))
    rng = np.random.default_rng(SETTINGS["seed"])
    together = [rng.permutation(members[key])[:LARGEST_BAG] for key in sorted(members)]
    return {"group": together, "tile": [np.array([position]) for position in among]}


def _said(heads: HeadSet, features: Features) -> Finding:
    return heads.read(features, organ=heads.heads[0].scope.organ or None)[0].finding


def _unlike(finding: Finding) -> bool:
    return (finding.novelty or 0.0) < NOVELTY_LEVEL


def _result(
    reading: str,
    said: Sequence[tuple[Positions, Finding]],
    classes: Sequence[str],
    labels: NDArray[np.int64],
    groups: NDArray[np.object_],
    colour: NDArray[np.float64],
) -> HeadResult:
    first = np.array([bag[0] for bag, _ in said])
    named = np.array([int(colour[bag].mean(axis=0).argmax()) for bag, _ in said])
    truth = labels[first]
    findings = [finding for _, finding in said]
    return head_result(reading, classes, findings, truth, groups[first], [len(bag) for bag, _ in said], named == truth)


def _foreign(heads: HeadSet, encoder: Encoder, tiles: ReferenceTiles, progress: Progress) -> dict[str, float]:
    """Share flagged as unlike (novelty p < 0.05) of pictures that the head must not speak about."""
    made = [picture for _, picture in negatives(2, SETTINGS["seed"])]
    some = np.linspace(0, len(tiles) - 1, min(len(tiles), 24)).astype(int)
    progress("pictures unlike it", 0, 1)
    kinds = {
        "generated pictures and photographs": encode_all(encoder, len(made), made.__getitem__),
        "its own tiles blurred by 6 px": encode_all(
            encoder, len(some), lambda i: tiles.image(int(some[i])).filter(ImageFilter.GaussianBlur(6))
        ),
    }
    return {
        kind: float(np.mean([_unlike(_said(heads, row[None])) for row in features])) for kind, features in kinds.items()
    }


def _notes(lab: LabTiles, left_out: int, tiles: ReferenceTiles, head: Mapping[str, Any], encoder: Encoder) -> list[str]:
    """What a reader of the figures must know of the tiles, in sentences."""
    notes = []
    if lab.unlabelled:
        notes.append(f"{lab.unlabelled} tiles without a label were left out.")
    if left_out:
        notes.append(f"{left_out} tiles were left out: at most {MOST_TILES} of one group and label are used.")
    if len(set(tiles.group)) == len(tiles):
        notes.append(
            "Every tile is a group of its own: if a patient gave several tiles, these figures flatter the head."
        )
    known = load_heads(encoder)["organ"].classes if encoder.name == "embedded" else ()
    if head["organ"] and head["organ"] not in known:
        notes.append(
            f"No head tells {head['organ']} from a picture, so this one speaks only where the request states it."
        )
    low, high = head["mpp"]
    looked = TILE_UM / encoder.tile_px
    if tuple(head["mpp"]) == UNKNOWN_MPP:
        notes.append("The µm/px of the tiles is not stated: state it with --mpp or a column mpp.")
    elif not low <= looked <= high:
        notes.append(
            f"Slides are looked at in tiles {TILE_UM:.0f} µm wide ({looked:.2g} µm/px at the encoder), outside what "
            f"this head was validated on ({low:g} to {high:g}): on slides it will abstain. Cut tiles of that width."
        )
    return notes
