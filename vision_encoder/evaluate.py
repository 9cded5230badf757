"""Measures heads, novelty and the reference atlas on groups that training never opened.

python -m vision_encoder.evaluate heads --data DIR --out docs/model_cards/heads.md
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from slides.errors import UsageError
from slides.finding import Finding

from .calibration import expected_calibration_error
from .catalog import load_encoder
from .colour_baseline import ColourBaseline, colour_features
from .encoder import Encoder, Features
from .features import Progress, encode_all, silent, tile_features
from .heads import Head, HeadSet, load_heads
from .negatives import negatives
from .novelty import novelty_components, tile_novelty
from .reference_tiles import ReferenceTiles, load_reference_tiles
from .retrieval import Atlas, load_atlas
from .train_heads import head_labels

LARGEST_BAG = 48
RESAMPLES = 2000
SEED = 11
Interval = tuple[float, float, float]
"""Estimate, lower and upper end of the 95 % bootstrap interval over groups."""


@dataclass(frozen=True)
class HeadResult:
    """One head on one reading of the held-out groups (`group`: one bag a group; `tile`: one bag a tile)."""

    reading: str
    tiles: int
    groups: int
    per_class: Mapping[str, int]
    balanced_accuracy: Interval
    colour: Interval
    majority: float
    ece: float
    covered: int
    bags: int
    set_size: float
    abstained: float
    right_when_speaking: tuple[int, int]


@dataclass(frozen=True)
class NoveltyResult:
    """Novelty of one kind of picture against ordinary held-out H&E tiles, by the organ head."""

    kind: str
    tiles: int
    auroc: float
    flagged: float
    any_tissue_head_speaks: float


@dataclass(frozen=True)
class RetrievalResult:
    """The best match of held-out whole-slide cases."""

    cases: int
    without_match: int
    category: int
    organ: int
    stated_category: float
    stated_organ: float


@dataclass(frozen=True)
class HeldOutBags:
    """Bags of held-out tiles: features, true class number, group, and positions of each bag."""

    features: Features
    colour: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.object_]
    bags: Sequence[NDArray[np.int64]]


def evaluate_heads(
    data: Path, recipe: Path, progress: Progress = silent
) -> tuple[HeadSet, dict[str, list[HeadResult]], list[NoveltyResult], RetrievalResult]:
    """Everything the model card states, measured on the split `dev` of the data.

    Raises
    ------
    UsageError : no held-out tiles under `data`
    """
    settings = tomllib.loads(recipe.read_text(encoding="utf-8"))
    encoder = load_encoder(settings["encoder"])
    heads, atlas = load_heads(encoder), load_atlas(encoder)
    tiles = load_reference_tiles(data, settings["rename"])
    tiles = tiles.where(np.isin(tiles.downsample, settings["downsamples"]))
    held_out = tiles.where(tiles.split == "dev")
    if not len(held_out):
        raise UsageError(f"no held-out tiles under {data}")
    training = tiles.where((tiles.split == "train") & tiles.permissive)
    features = tile_features(encoder, held_out, "whole", progress)
    progress("colours", 0, 1)
    colours = colour_features(held_out), colour_features(training)
    results = {}
    for number, row in enumerate(settings["head"]):
        progress(f"head {row['name']}", number, len(settings["head"]))
        results[row["name"]] = _head_results(row, heads, (held_out, features), training, colours)
    return (
        heads,
        results,
        _novelty_results(encoder, heads, held_out, features),
        _retrieval_result(atlas, held_out, features),
    )


def _head_results(
    row: Mapping[str, Any],
    heads: HeadSet,
    held_out: tuple[ReferenceTiles, Features],
    training: ReferenceTiles,
    colours: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> list[HeadResult]:
    head = heads[row["name"]]
    tiles, features = held_out
    # Only rows whose terms admit training are of the population the head was calibrated on.
    names = head_labels(row, tiles, head.classes)
    names[~tiles.permissive] = ""
    chosen = np.flatnonzero(names != "")
    labels = np.array([head.classes.index(name) for name in names[chosen]])
    learned = head_labels(row, training, head.classes)
    known = np.flatnonzero(learned != "")
    baseline = ColourBaseline(
        colours[1][known],
        np.array([head.classes.index(name) for name in learned[known]]),
        training.group[known],
    )
    groups = tiles.group[chosen]
    keys = [f"{group}\n{label}" for group, label in zip(groups, labels, strict=True)]
    rng = np.random.default_rng(SEED)
    whole = [rng.permutation(np.flatnonzero(np.array(keys) == key))[:LARGEST_BAG] for key in sorted(set(keys))]
    single = [np.array([position]) for position in range(len(chosen))]
    results = []
    for reading, bags in (("group", whole), ("tile", single)):
        material = HeldOutBags(features[chosen], colours[0][chosen], labels, groups, bags)
        results.append(_measure(reading, head, heads, baseline, material))
    return results


def _measure(reading: str, head: Head, heads: HeadSet, baseline: ColourBaseline, material: HeldOutBags) -> HeadResult:
    truth = np.array([material.labels[bag[0]] for bag in material.bags])
    groups = np.array([material.groups[bag[0]] for bag in material.bags])
    said = [
        next(found.finding for found in heads.read(material.features[bag]) if found.finding.name == head.name)
        for bag in material.bags
    ]
    colour = np.stack([baseline.logits(material.colour[bag]).mean(axis=0) for bag in material.bags])
    sizes = [len(bag) for bag in material.bags]
    return head_result(reading, head.classes, said, truth, groups, sizes, colour.argmax(axis=1) == truth)


def head_result(
    reading: str,
    classes: Sequence[str],
    said: Sequence[Finding],
    truth: NDArray[np.int64],
    groups: NDArray[np.object_],
    sizes: Sequence[int],
    colour_right: NDArray[np.bool_],
) -> HeadResult:
    """The figures of one head over m held-out bags.

    Parameters
    ----------
    reading : how the bags were drawn, `group` or `tile`
    classes : the head's
    said : its finding on each bag
    truth, groups, sizes : (m,) number of the true class, group and tiles of each bag
    colour_right : (m,) whether colour alone named the true class
    """
    right = np.array([finding.label == classes[label] for finding, label in zip(said, truth, strict=True)])
    covered = [classes[label] in finding.prediction_set for finding, label in zip(said, truth, strict=True)]
    spoken = np.array([not finding.abstained for finding in said])
    present, counts = np.unique(truth, return_counts=True)
    return HeadResult(
        reading=reading,
        tiles=int(sum(sizes)),
        groups=len(set(groups)),
        per_class={classes[label]: int(count) for label, count in zip(present, counts, strict=True)},
        balanced_accuracy=_over_groups(right, truth, groups),
        colour=_over_groups(colour_right, truth, groups),
        majority=1 / len(present),
        ece=expected_calibration_error(np.array([finding.probability for finding in said]), right),
        covered=sum(covered),
        bags=len(covered),
        set_size=float(np.mean([len(finding.prediction_set) for finding in said])),
        abstained=float(1 - spoken.mean()),
        right_when_speaking=(int(right[spoken].sum()), int(spoken.sum())),
    )


def _balanced(right: NDArray[np.bool_], truth: NDArray[np.int64]) -> float:
    return float(np.mean([right[truth == label].mean() for label in np.unique(truth)]))


def _over_groups(right: NDArray[np.bool_], truth: NDArray[np.int64], groups: NDArray[np.object_]) -> Interval:
    """Balanced accuracy, and its percentile interval over resampled groups."""
    names = sorted(set(groups))
    members = [np.flatnonzero(groups == name) for name in names]
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[pick] for pick in rng.integers(0, len(names), len(names))])
        drawn.append(_balanced(right[rows], truth[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return _balanced(right, truth), float(low), float(high)


def _novelty_results(
    encoder: Encoder, heads: HeadSet, tiles: ReferenceTiles, features: Features
) -> list[NoveltyResult]:
    """Kinds of pictures that tissue heads must not speak about, beside ordinary H&E."""
    ordinary = tiles.permissive & (tiles.stain == "HE") & ((tiles.kind == "tiles") | tiles.certain)
    foreign = tiles.source == "ood_nonhistology"
    some = np.flatnonzero(ordinary)[::8]
    blurred = encode_all(encoder, len(some), lambda i: tiles.image(int(some[i])).filter(ImageFilter.GaussianBlur(6)))
    made = [picture for _, picture in negatives(4, SEED)]
    glass = [Image.new("RGB", (256, 256), (shade, shade - 2, shade)) for shade in (235, 243, 250)]
    kinds = {
        "ordinary H&E, held out": features[ordinary],
        "H&E of sets never trained on": features[~tiles.permissive & (tiles.stain == "HE")],
        "immunohistochemistry": features[tiles.stain == "IHC"],
        "special stains": features[tiles.stain == "special stain"],
        "cytology and blood": features[tiles.stain == "cytology"],
        "not histology (radiology, skin, aerial, fluorescence)": features[foreign & (tiles.stain == "not histology")],
        "generated pictures and photographs": encode_all(encoder, len(made), made.__getitem__),
        "H&E blurred by 6 px": blurred,
        "empty glass": encode_all(encoder, len(glass), glass.__getitem__),
    }
    usual = _organ_novelty(heads, features[ordinary])
    return [_novelty_result(heads, kind, rows, usual) for kind, rows in kinds.items() if len(rows)]


def _organ_novelty(heads: HeadSet, features: Features) -> NDArray[np.float64]:
    novelty = heads["organ"].novelty
    return tile_novelty(novelty_components(features, heads.axes), novelty.reference, novelty.of_cases)[0]


def _novelty_result(heads: HeadSet, kind: str, features: Features, usual: NDArray[np.float64]) -> NoveltyResult:
    scores = _organ_novelty(heads, features)
    # Mann–Whitney: the chance that such a picture scores above an ordinary tile.
    above = (scores[:, None] > usual).mean() + 0.5 * (scores[:, None] == usual).mean()
    flagged, speaks = [], []
    for row in features:
        findings = [reading.finding for reading in heads.read(row[None])]
        organ = next(finding for finding in findings if finding.name == "organ")
        flagged.append((organ.novelty or 0) < 0.05)
        speaks.append(any(not f.abstained for f in findings if f.name != "stain"))
    return NoveltyResult(kind, len(features), float(above), float(np.mean(flagged)), float(np.mean(speaks)))


def _retrieval_result(atlas: Atlas, tiles: ReferenceTiles, features: Features) -> RetrievalResult:
    usable = (tiles.kind == "cases") & (tiles.stain == "HE") & tiles.certain & (tiles.category != "")
    rng = np.random.default_rng(SEED)
    rows = []
    for group in sorted(set(tiles.group[usable])):
        own = np.flatnonzero(usable & (tiles.group == group))
        matches = atlas.nearest(features[rng.permutation(own)[:LARGEST_BAG]])
        rows.append((own[0], matches[0] if matches else None))
    found = [(position, match) for position, match in rows if match is not None]
    return RetrievalResult(
        cases=len(rows),
        without_match=len(rows) - len(found),
        category=sum(match.category == tiles.category[position] for position, match in found),
        organ=sum(match.organ == tiles.organ[position] for position, match in found),
        stated_category=float(np.mean([match.agreement for _, match in found] or [0.0])),
        stated_organ=float(np.mean([match.organ_agreement for _, match in found] or [0.0])),
    )


def main() -> None:
    """The command line: `heads`, the data folder, the card to write."""
    import argparse

    from slides.errors import PathcopilotError

    from .model_card import write_card
    from .recipe import show_progress

    parser = argparse.ArgumentParser(prog="python -m vision_encoder.evaluate", description=__doc__)
    parser.add_argument("what", choices=["heads"])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds atlas/ and tiles/")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/heads.toml"))
    parser.add_argument("--out", type=Path, required=True, help="the card to write")
    options = parser.parse_args()
    try:
        write_card(options.out, *evaluate_heads(options.data, options.recipe, show_progress))
    except PathcopilotError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
