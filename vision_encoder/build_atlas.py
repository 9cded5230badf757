"""Builds the reference atlas of a recipe: a feature index of cases, and how far its matches can be trusted.

The agreement table is measured on training groups left out one at a time; the split `dev` is never opened.

    python -m vision_encoder.build_atlas recipes/atlas.toml --data DIR [--out FOLDER]
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from .bags import Positions, Unit, draw_bags, units_of
from .catalog import load_encoder
from .encoder import Features
from .features import Progress, silent, tile_features
from .novelty import ALL, CASES, novelty_axes, novelty_components, novelty_without_own_group
from .projection import Projection, principal_axes, unit
from .recipe import run_recipe
from .reference_tiles import ATTRIBUTION, ReferenceTiles, attribution, slide_descriptions, training_tiles
from .retrieval import RANKS, ReferenceCase, tile_likeness
from .shipped import WEIGHTS, write_trained

BINS = 6
Found = tuple[int, list[tuple[float, bool, bool]]]
"""A bag's unit number, and of its best matches the similarity and whether category and organ were right."""
Knots = list[tuple[float, float]]
Bag = tuple[int, int, Positions]
"""Size, number of the unit, positions of its tiles."""


def build(recipe: Path, data: Path, progress: Progress = silent, out: Path = WEIGHTS) -> str:
    """Writes `atlas.safetensors` and `atlas.json`; returns the hash of the first.

    Raises
    ------
    UsageError : no case of a known organ and category in the data
    SetupError : the extra `train` or the encoder's weights are missing
    """
    text = recipe.read_bytes()
    settings = tomllib.loads(text.decode())
    encoder = load_encoder(settings["encoder"])
    everything = training_tiles(settings, data)
    features = tile_features(encoder, everything, "whole", progress)
    usable = (everything.stain == "HE") & everything.certain
    usable &= (everything.organ != "") & (everything.category != "")
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        raise UsageError(f"no case of a known organ and category under {data}")
    tiles = everything.where(chosen)
    fitted = principal_axes(features[chosen], settings["dimensions"], settings["whitening"])
    mean, axes = fitted.mean.astype(np.float16), fitted.axes.astype(np.float16)
    # Compared as shipped, in half precision.
    projection = Projection(mean.astype(np.float32), axes.astype(np.float32))
    components = unit(projection(features[chosen]))
    cases, kept = _cases(tiles, slide_descriptions(data), settings["tiles_per_case"], settings["seed"])
    reference = components[kept].astype(np.float16)
    progress("agreement on cases left out", 0, 1)
    units = units_of(tiles.group, tiles.kind, _kinds(tiles))
    bags = list(draw_bags(units, tiles.downsample, settings["draws"], settings["seed"]))
    likeness = _left_out_likeness(
        components,
        tiles.group,
        reference.astype(np.float32),
        tiles.group[kept],
        cases,
        settings["neighbours"],
    )
    novelty, arrays = _novelty(tiles, features[chosen], kept, bags, settings["novelty_dimensions"])
    card = {
        "encoder": {"name": encoder.name, "sha256": encoder.sha256, "dimension": encoder.dimension},
        "recipe": recipe.name,
        "recipe_sha256": hashlib.sha256(text).hexdigest(),
        "data_sha256": tiles.sha256(),
        "attribution": attribution(tiles.source),
        "neighbours": settings["neighbours"],
        "agreement": _agreement(likeness, tiles, cases, units, bags),
        "novelty": novelty,
        "cases": [{name: getattr(case, name) for name in ReferenceCase.__slots__} for case in cases],
    }
    arrays |= {"reference": reference, "projection.mean": mean, "projection.axes": axes}
    return write_trained(out, "atlas", arrays, card)


def _cases(
    tiles: ReferenceTiles, captions: Mapping[str, str], at_most: int, seed: int
) -> tuple[list[ReferenceCase], Positions]:
    """Cases, and the positions of their reference tiles, case by case.

    A whole-slide case is a case; single tiles of one set and disease stand together as one.
    """
    keys = [
        (source, f"{group}/{title}" if kind == CASES else disease)
        for source, kind, group, title, disease in zip(
            tiles.source, tiles.kind, tiles.group, tiles.title, tiles.disease, strict=True
        )
    ]
    members: dict[tuple[str, str], list[int]] = {}
    for position, key in enumerate(keys):
        members.setdefault(key, []).append(position)
    cases, kept, start = [], [], 0
    for number, key in enumerate(sorted(members)):
        order = np.random.default_rng([seed, number]).permutation(members[key])[:at_most]
        first = members[key][0]
        cases.append(
            ReferenceCase(
                title=tiles.title[first],
                diagnosis=tiles.disease[first],
                organ=tiles.organ[first],
                category=tiles.category[first],
                start=start,
                stop=start + len(order),
                caption=captions.get(tiles.id[first].rpartition("/")[0], ""),
                attribution=ATTRIBUTION.get(tiles.source[first], ""),
            )
        )
        kept.append(np.sort(order))
        start += len(order)
    return cases, np.concatenate(kept)


def _kinds(tiles: ReferenceTiles) -> NDArray[np.int64]:
    """A number (n,) for each pair of organ and category."""
    names = [f"{organ}/{category}" for organ, category in zip(tiles.organ, tiles.category, strict=True)]
    return np.unique(names, return_inverse=True)[1]


def _novelty(
    tiles: ReferenceTiles, features: Features, kept: Positions, bags: Sequence[Bag], dimensions: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, NDArray[Any]]]:
    """Novelty scores of left-out groups by bag size, and the arrays that novelty is read with."""
    axes = novelty_axes(features, dimensions)
    components = novelty_components(
        features, Projection(np.zeros(len(axes), dtype=np.float32), axes.astype(np.float32))
    )
    of_cases = tiles.kind[kept] == CASES
    half = components[kept].astype(np.float16)
    scores, _ = novelty_without_own_group(components, tiles.group, half.astype(np.float32), tiles.group[kept], of_cases)
    table: dict[str, dict[int, float]] = {}
    for size, number, positions in bags:
        # One bag a group: the first that was drawn.
        table.setdefault(str(size), {}).setdefault(number, round(float(np.median(scores[positions])), 4))
    arrays: dict[str, NDArray[Any]] = {
        "novelty.axes": axes,
        "novelty.reference": half,
        "novelty.of_cases": of_cases.astype(np.uint8),
    }
    return {size: {ALL: sorted(groups.values())} for size, groups in table.items()}, arrays


def _agreement(
    likeness: NDArray[np.float64],
    tiles: ReferenceTiles,
    cases: Sequence[ReferenceCase],
    units: Sequence[Unit],
    bags: Sequence[Bag],
) -> dict[str, list[tuple[Knots, Knots]]]:
    """Knots of category and organ agreement, by bag size and rank, of left-out likeness (n, c)."""
    rows: dict[int, list[Found]] = {}
    for size, number, positions in bags:
        mean, first = likeness[positions].mean(axis=0), positions[0]
        found = [
            (
                float(mean[index]),
                cases[index].category == tiles.category[first],
                cases[index].organ == tiles.organ[first],
            )
            for index in np.argsort(-mean, kind="stable")[:RANKS]
        ]
        rows.setdefault(size, []).append((number, found))
    return {
        str(size): [
            (_knots(found, units, rank, 1), _knots(found, units, rank, 2)) for rank in range(min(RANKS, len(cases)))
        ]
        for size, found in rows.items()
    }


def _left_out_likeness(
    components: NDArray[np.float32],
    groups: NDArray[np.object_],
    reference: NDArray[np.float32],
    reference_groups: NDArray[np.object_],
    cases: Sequence[ReferenceCase],
    neighbours: int,
) -> NDArray[np.float64]:
    """Likeness (n, c) of each tile to each case without the tile's own group; -1 where nothing is left."""
    likeness = np.full((len(components), len(cases)), -1.0)
    for group in sorted(set(groups)):
        own = groups == group
        columns = [case.start + np.flatnonzero(reference_groups[case.start : case.stop] != group) for case in cases]
        left = [number for number, column in enumerate(columns) if len(column)]
        stops = np.cumsum([len(columns[number]) for number in left])
        shifted = [
            replace(cases[number], start=int(stop - len(columns[number])), stop=int(stop))
            for number, stop in zip(left, stops, strict=True)
        ]
        remaining = reference[np.concatenate([columns[number] for number in left])]
        likeness[np.ix_(own, left)] = tile_likeness(components[own], remaining, shifted, neighbours)
    return likeness


def _weights(numbers: NDArray[np.int64], units: Sequence[Unit]) -> NDArray[np.float64]:
    """Weights of bags: whole-slide cases and single tiles count alike, and in each every group.

    A kind of fewer than nine groups at this size says too little to weigh as much: it weighs as it is.
    """
    kinds = np.array([units[number].kind for number in numbers])
    weights = 1 / np.bincount(numbers)[numbers]
    members = {kind: kinds == kind for kind in set(kinds)}
    if all(len(set(numbers[member])) >= 9 for member in members.values()):
        for member in members.values():
            weights[member] /= weights[member].sum()
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def _knots(found: Sequence[Found], units: Sequence[Unit], rank: int, right_of: int) -> Knots:
    """Rising (similarity, agreement) knots: isotonic regression, read at equal-mass points."""
    from sklearn.isotonic import IsotonicRegression

    similarity = np.array([matches[rank][0] for _, matches in found])
    right = np.array([matches[rank][right_of] for _, matches in found], dtype=np.float64)
    weights = _weights(np.array([number for number, _ in found]), units)
    # Means of equal-mass bins first: isotonic regression alone ends at 0 and 1 on single bags.
    order = np.argsort(similarity, kind="stable")
    bins = np.array_split(order, BINS)
    middles = np.array([np.average(similarity[part], weights=weights[part]) for part in bins])
    shares = np.array([np.average(right[part], weights=weights[part]) for part in bins])
    masses = np.array([weights[part].sum() for part in bins])
    rising = IsotonicRegression().fit_transform(middles, shares, sample_weight=masses)
    return [(round(float(x), 4), round(float(y), 4)) for x, y in zip(middles, rising, strict=True)]


def main() -> None:
    """The command line: recipe, data folder, output folder; progress on stderr."""
    run_recipe("vision_encoder.build_atlas", "atlas", __doc__, build)


if __name__ == "__main__":
    main()
