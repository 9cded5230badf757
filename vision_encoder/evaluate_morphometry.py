"""How far the measures are from hand-drawn nuclei: writes the model card and the figures that ship.

    python -m vision_encoder.evaluate_morphometry --data DIR --out docs/model_cards/morphometry.md

`DIR` holds the folders `nuclei` and `tiles` of the shared data. Choices were made on the `train` rows, whose
errors also set the intervals; the card reports `dev`. The masks serve for evaluation only.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from slides import Finding, Pixels, Region, UsageError
from slides.files import write_atomically

from . import morphometry
from .field import Field, FieldMeasures, counted, measure_fields
from .nuclear_measures import NUCLEAR_MEASURES
from .nuclei import SMALLEST_PX, WORKING_MPP, Labels, describe
from .validation import FIGURES, Validation

Segmenter = Callable[[Pixels, float], FieldMeasures]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One image with hand-drawn nuclei at the working scale; `mpp` is that of `pixels`."""

    source: str
    organ: str
    split: str
    mpp: float
    pixels: Pixels
    labels: Labels


@dataclass(frozen=True, slots=True)
class Score:
    """Agreement of one image: F1 at IoU 0.5, Dice of all nuclei, count ratio, and ln(measured / drawn)."""

    f1: float
    dice: float
    count_ratio: float
    log_errors: dict[str, float]
    covered: dict[str, bool]


def read_drawn(folder: Path) -> list[Drawn]:
    """The images of known scale; raises `UsageError` where the folder has no index."""
    if not (folder / "index.csv").is_file():
        raise UsageError(f"no index.csv in {folder}: --data is the folder that holds nuclei/")
    with (folder / "index.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["mpp"]]
    return [_read(folder, row) for row in rows]


def match_nuclei(found: Labels, drawn: Labels) -> tuple[float, float]:
    """F1 of objects that overlap by more than half their union (each pairs once), and Dice of all pixels."""
    pairs, shared = np.unique(np.stack([found.ravel(), drawn.ravel()]), axis=1, return_counts=True)
    both = (pairs > 0).all(axis=0)
    areas = [np.bincount(labels.ravel()) for labels in (found, drawn)]
    union = areas[0][pairs[0, both]] + areas[1][pairs[1, both]] - shared[both]
    hits = int((shared[both] / union > 0.5).sum())
    objects = int(found.max(initial=0)) + int(drawn.max(initial=0))
    pixels = int((found > 0).sum() + (drawn > 0).sum())
    return 2 * hits / max(objects, 1), 2 * float(shared[both].sum()) / max(pixels, 1)


def classical(pixels: Pixels, mpp: float) -> FieldMeasures:
    """The measures as they ship."""
    return measure_fields([Field(pixels, _frame(pixels))], mpp, "H&E")[0]


def coarser(pixels: Pixels, mpp: float) -> FieldMeasures:
    """The measures as they ship, from a file of 1 µm/px."""
    size = [round(side * mpp) for side in pixels.shape[1::-1]]
    shrunk = np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.BOX))
    return measure_fields([Field(shrunk, _frame(pixels))], 1.0, "H&E")[0]


def otsu_baseline(pixels: Pixels, mpp: float) -> FieldMeasures:
    """Baseline: Otsu on grey, connected components, nothing else."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    side = [round(length * mpp / WORKING_MPP) for length in pixels.shape[1::-1]]
    grey = np.asarray(Image.fromarray(pixels).resize((side[0], side[1]), Image.Resampling.BOX).convert("L"))
    labels, _ = ndimage.label(grey < threshold_otsu(grey))
    nuclei = describe(numbered(labels.astype(np.int32)))
    empty = np.zeros(grey.shape, np.bool_)
    return counted(_frame(pixels), nuclei, ~empty, empty, empty)


def score(image: Drawn, segment: Segmenter, checked: Validation | None) -> Score:
    """One image's agreement; `covered` says for each measure whether its interval held the drawn value."""
    found = segment(image.pixels, image.mpp)
    empty = np.zeros(found.tissue.shape, np.bool_)
    # the drawn nuclei over the same tissue: only the nuclei are in question
    labels = _at_scale_of(found, image.labels)
    drawn = counted(found.region, describe(labels), found.tissue, empty, empty, found.haematoxylin)
    f1, dice = match_nuclei(found.nuclei.labels, labels)
    errors, covered = {}, {}
    for measure in NUCLEAR_MEASURES:
        rows, true_rows = measure.rows(found), measure.rows(drawn)
        if min(len(rows), len(true_rows)) < (morphometry.FEWEST_NUCLEI if measure.per_nucleus else 1):
            continue
        value, true = float(measure.statistic(rows)), float(measure.statistic(true_rows))
        if min(value, true) <= 0:
            continue
        errors[measure.name] = float(np.log(value / true))
        interval = checked.interval(measure.name, value, measure.spread(rows), measure.most) if checked else None
        if interval is not None:
            covered[measure.name] = interval[0] <= true <= interval[1]
    return Score(f1, dice, len(found.nuclei) / max(len(drawn.nuclei), 1), errors, covered)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the card and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    given = parser.parse_args(arguments)
    images = read_drawn(given.data / "nuclei")
    train = [image for image in images if image.split == "train"]
    held_out = [image for image in images if image.split == "dev"]
    tuned = [score(image, classical, None) for image in train]
    errors = log_errors(train, tuned)
    scope = in_words(held_out, [score(image, classical, None) for image in held_out])
    checked = Validation(scope, errors)
    columns = [*COLUMNS, *(f"{measure.name.replace('_', ' ')} covered" for measure in NUCLEAR_MEASURES)]
    lines = [HEAD, *_how_made(train, errors), TABLE_HEAD]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for name, segment in (
        ("as it ships", classical),
        ("as it ships, file made 1 µm/px", coarser),
        ("Otsu on grey", otsu_baseline),
    ):
        scores = [score(image, segment, checked) for image in held_out]
        for source in dict.fromkeys(image.source for image in held_out):
            mine = [got for image, got in zip(held_out, scores, strict=True) if image.source == source]
            lines.append(_row(f"{source}, {name}", mine))
    lines += [
        "",
        *_by_organ(held_out),
        *_scales(held_out),
        *_by_tissue(given.data / "tiles" / "crc_val_he_7k.parquet"),
        LIMITS,
    ]
    figures = {"scope": scope, "log_error": errors}
    for path in (given.figures, given.out):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(given.figures, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    write_atomically(given.out, "\n".join(lines))


def log_errors(images: Sequence[Drawn], scores: Sequence[Score]) -> dict[str, float]:
    """Root mean square of ln(measured / drawn) of each measure, fields weighted by their area."""
    errors = {}
    for measure in NUCLEAR_MEASURES:
        known = [(image, got) for image, got in zip(images, scores, strict=True) if measure.name in got.log_errors]
        squares = [got.log_errors[measure.name] ** 2 for _, got in known]
        errors[measure.name] = round(float(np.sqrt(np.average(squares, weights=[i.labels.size for i, _ in known]))), 3)
    return errors


def in_words(images: Sequence[Drawn], scores: Sequence[Score]) -> str:
    """The scope that every finding carries."""
    organs = ", ".join(sorted({image.organ for image in images}))
    counts = [abs(got.count_ratio - 1) for got in scores]
    areas = [abs(np.expm1(got.log_errors["nuclear_area"])) for got in scores if "nuclear_area" in got.log_errors]
    return (
        f"H&E at 0.25 to 1 µm/px, checked on hand-drawn nuclei of {len(images)} held-out fields ({organs}): "
        f"median error {np.median(counts):.0%} of the count and {np.median(areas):.0%} of the median area; "
        f"{np.mean([got.f1 for got in scores]):.2f} of objects agree (F1); too many are counted where nuclei are few "
        "(muscle, collagen, mucin)"
    )


HEAD = """# Morphometry: how far the measures are from hand-drawn nuclei

Written by `python -m vision_encoder.evaluate_morphometry --data DIR --out docs/model_cards/morphometry.md`.

Nuclei are found by classical image analysis at 0.5 µm/px: optical density, the field's own haematoxylin and
eosin vectors (Macenko 2009, held within 15° of Ruifrok 2001), a threshold part Otsu and part local mean, a
watershed from the summits of the distance map, sizes from 12 to 300 µm². No weights are trained.

Hyperchromasia is the median over nuclei of their mean haematoxylin over that of the tissue between the nuclei, by
the reference vectors: by the field's own the ratio moved by up to a fifth when only the stain was made paler.
"""
TABLE_HEAD = """## Held-out fields (`dev`)

F1 counts a found and a drawn nucleus as one when they overlap by more than half their union. Errors are
medians over fields of |measured / drawn - 1|; the bias is the median of ln(measured / drawn). Coverage is the
share of 95 % intervals that held the drawn value.
"""
COLUMNS = ("field set", "fields", "F1", "Dice", "count error", "count bias", "area error", "share error")
LIMITS = """## What it does not do
- Shape of single nuclei, mitoses, cell types: not measured. Pale vesicular nuclei are cut smaller or missed,
  crowded ones joined or split; counts and medians over a field bear this better than single objects.
- Tissue with few nuclei (muscle, dense collagen, mucin, keratin) is overcounted: dark clefts and fibres pass for
  nuclei. Mostly clear fields (fat) abstain.
- Frozen sections, thick or over-stained sections, and brown immunohistochemistry were not checked against
  drawn nuclei.
- The drawn nuclei of `consep` come with slivers and fragments; objects under 12 µm² are left out on both sides.
- Without µm/px a field is sized by its own nuclei and nothing in µm is given.
"""


def _how_made(train: Sequence[Drawn], errors: dict[str, float]) -> list[str]:
    sets = {image.source: 0 for image in train}
    for image in train:
        sets[image.source] += 1
    counted_sets = ", ".join(f"{source} {count}" for source, count in sets.items())
    listed = ", ".join(f"{name} {error}" for name, error in errors.items())
    return [
        f"Choices were made on {len(train)} `train` fields ({counted_sets}). Root mean square of",
        "ln(measured / drawn) there, fields weighted by area, which sets the width of every interval:",
        f"{listed}.",
        "The masks are used for checking only; nothing of them ships but these figures.",
        "",
    ]


def _row(name: str, scores: Sequence[Score]) -> str:
    def covered(measure: str) -> str:
        held = [got.covered[measure] for got in scores if measure in got.covered]
        return f"{sum(held)}/{len(held)}"

    counts = [abs(got.count_ratio - 1) for got in scores]
    bias = np.median([np.log(max(got.count_ratio, 0.01)) for got in scores])
    cells = [
        name,
        str(len(scores)),
        f"{np.mean([got.f1 for got in scores]):.2f}",
        f"{np.mean([got.dice for got in scores]):.2f}",
        f"{np.median(counts):.0%}",
        f"{bias:+.2f}",
        _error(scores, "nuclear_area"),
        _error(scores, "nuclear_share"),
        *(covered(measure.name) for measure in NUCLEAR_MEASURES),
    ]
    return "| " + " | ".join(cells) + " |"


def _by_organ(images: Sequence[Drawn]) -> list[str]:
    """Agreement in each organ, and over all fields."""
    lines = [
        "## Held-out fields by organ, as it ships",
        "",
        "| organ | fields | drawn nuclei | F1 | Dice | median count error |",
        "|---|---|---|---|---|---|",
    ]
    scored = [(image, score(image, classical, None)) for image in images]
    for organ in (*sorted({image.organ for image in images}), "all"):
        mine = [(image, got) for image, got in scored if organ in (image.organ, "all")]
        drawn = sum(int(image.labels.max(initial=0)) for image, _ in mine)
        f1, dice = (np.mean([getattr(got, name) for _, got in mine]) for name in ("f1", "dice"))
        count = np.median([abs(got.count_ratio - 1) for _, got in mine])
        lines.append(f"| {organ} | {len(mine)} | {drawn} | {f1:.2f} | {dice:.2f} | {count:.0%} |")
    return [*lines, ""]


def _scales(images: Sequence[Drawn]) -> list[str]:
    """What the measures without unit are worth when a field's scale is withheld, also after making it coarser."""
    lines = [
        "## Fields of unknown scale",
        "",
        "The scale is withheld and the field sized by its own nuclei; medians of |measured / drawn - 1|.",
        "",
        "| field set, µm/px withheld | nuclear share | area variation | elongation |",
        "|---|---|---|---|",
    ]
    for source in dict.fromkeys(image.source for image in images):
        for shrink in (1.0, 0.5):
            mine = [image for image in images if image.source == source]
            scores = [score(image, partial(_unscaled, shrink=shrink), None) for image in mine]
            cells = [_error(scores, name) for name in ("nuclear_share", "nuclear_area_variation", "nuclear_elongation")]
            lines.append(f"| {source}, {mine[0].mpp / shrink:.2g} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _by_tissue(path: Path) -> list[str]:
    """Density over tiles of known tissue, where nobody drew nuclei: is the order of tissues as it should be?"""
    import pyarrow.parquet

    found: dict[str, list[Finding]] = {}
    for row in pyarrow.parquet.read_table(path).to_pylist():
        pixels = np.asarray(Image.open(io.BytesIO(row["jpeg"])).convert("RGB"))
        measured = morphometry.measure(pixels, row["mpp"], _frame(pixels), "tile", "HE")
        density = next(item.finding for item in measured if item.finding.name == "nuclei_density")
        found.setdefault(row["label"], []).append(density)
    lines = [
        "## Density by tissue (`crc_val_he_7k`, both splits, nothing drawn)",
        "",
        "| tissue | tiles | abstained | median nuclei per mm² |",
        "|---|---|---|---|",
    ]
    for label, densities in sorted(found.items()):
        values = [item.value for item in densities if item.value is not None]
        middle = f"{np.median(values):.0f}" if values else "–"
        lines.append(f"| {label} | {len(densities)} | {len(densities) - len(values)} | {middle} |")
    return [*lines, ""]


def _unscaled(pixels: Pixels, mpp: float, shrink: float) -> FieldMeasures:
    """Measures of the picture made coarser, `mpp` withheld."""
    size = [round(side * shrink) for side in pixels.shape[1::-1]]
    coarser = np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.BOX))
    return measure_fields([Field(coarser, _frame(pixels))], None, "H&E")[0]


def _at_scale_of(found: FieldMeasures, labels: Labels) -> Labels:
    """Drawn labels at the size of a field that was sized by its own nuclei."""
    height, width = found.tissue.shape
    if labels.shape == (height, width):
        return labels
    return numbered(np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)))


def _error(scores: Sequence[Score], measure: str) -> str:
    found = [abs(np.expm1(got.log_errors[measure])) for got in scores if measure in got.log_errors]
    return f"{np.median(found):.0%}" if found else "–"


def _read(folder: Path, row: dict[str, str]) -> Drawn:
    mpp = float(row["mpp"])
    pixels = np.asarray(Image.open(folder / row["image"]).convert("RGB"))
    height, width = (round(side * mpp / WORKING_MPP) for side in pixels.shape[:2])
    drawn = Image.open(folder / row["label"])
    labels = np.asarray(drawn.resize((width, height), Image.Resampling.NEAREST), dtype=np.int32)
    return Drawn(row["source"], row["organ"], row["split"], mpp, pixels, numbered(labels))


def numbered(labels: Labels) -> Labels:
    """Labels without gaps, objects under 12 µm² left out on both sides."""
    areas = np.bincount(labels.ravel())
    keep = areas >= SMALLEST_PX
    keep[0] = False
    return np.asarray((np.cumsum(keep) * keep)[labels], dtype=np.int32)


def _frame(pixels: Pixels) -> Region:
    return Region(0, 0, pixels.shape[1], pixels.shape[0])


if __name__ == "__main__":
    main()
