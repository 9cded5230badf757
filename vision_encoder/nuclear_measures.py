"""What is said of the nuclei of several fields together: each measure's unit, its rows and its statistic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .field import FieldMeasures
from .nuclei import WORKING_MPP

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
SQUARE_UM = WORKING_MPP**2
LEAST_AROUND = 0.02
"""The haematoxylin between nuclei counts as at least this much: a ratio to nothing has no end."""


@dataclass(frozen=True, slots=True)
class NuclearMeasure:
    """One measure: `statistic` of the `rows` of all fields; `scaled` when it means nothing without µm/px.

    Rows are sub-fields (m, 3) where `per_nucleus` is False, whole nuclei (n,) where it is True. A statistic
    takes rows with any number of leading axes, so that a bootstrap runs in one call. `most` is the largest value
    there can be; `of_haematoxylin` when it means nothing where a chromogen marks nuclei too.
    """

    name: str
    unit: str
    per_nucleus: bool
    scaled: bool
    rows: Callable[[FieldMeasures], Floats]
    statistic: Statistic
    most: float = float("inf")
    of_haematoxylin: bool = False

    def pooled(self, fields: Sequence[FieldMeasures]) -> Floats:
        """The rows of all fields."""
        return np.concatenate([self.rows(item) for item in fields])

    def spread(self, rows: Floats) -> float:
        """Relative bootstrap standard error of the statistic over at least two rows; 0 for fewer."""
        if len(rows) < 2:
            return 0.0
        # 400 rows carry the spread of more: it shrinks with the root of their number
        used = rows[:: max(len(rows) // 400, 1)]
        draws = np.random.default_rng(0).integers(0, len(used), (200, len(used)))
        values = np.log(np.maximum(self.statistic(used[draws]), 1e-9))
        return float(values.std() * np.sqrt(len(used) / len(rows)))


def _blocks(field: FieldMeasures) -> Floats:
    return field.blocks


def _areas(field: FieldMeasures) -> Floats:
    return field.nuclei.areas[field.nuclei.inside]


def _stretch(field: FieldMeasures) -> Floats:
    return field.nuclei.elongation[field.nuclei.inside]


def _eccentricities(field: FieldMeasures) -> Floats:
    """Of the ellipse with the same second moments: 0 for a circle, near 1 for a rod."""
    return np.asarray(np.sqrt(1 - 1 / np.maximum(_stretch(field), 1.0) ** 2))


def _contrasts(field: FieldMeasures) -> Floats:
    """Mean haematoxylin of each nucleus over that of the tissue between the nuclei of its field."""
    count = len(field.nuclei)
    between = field.tissue & (field.nuclei.labels == 0)
    if field.haematoxylin is None or not count or not between.any():
        return np.zeros(0)
    within = np.bincount(field.nuclei.labels.ravel(), field.haematoxylin.ravel(), minlength=count + 1)[1:]
    around = max(float(field.haematoxylin[between].mean()), LEAST_AROUND)
    return np.asarray(within / field.nuclei.areas / around)


def _spacings(field: FieldMeasures) -> Floats:
    """Distance of each nucleus to the nearest other one in px, those nearer to the edge than that left out."""
    from scipy.spatial import cKDTree

    centres = field.nuclei.centres
    if len(centres) < 2:
        return np.zeros(0)
    distance = cKDTree(centres).query(centres, k=2)[0][:, 1]
    margin = np.minimum(centres, np.asarray(field.tissue.shape) - 1 - centres).min(axis=1)
    return np.asarray(distance[distance < margin])


def density(blocks: Floats) -> Floats:
    """Nuclei per mm² of tissue over sub-fields (…, m, 3)."""
    return np.asarray(blocks[..., 0].sum(-1) / blocks[..., 1].sum(-1) / SQUARE_UM * 1e6)


def _share(blocks: Floats) -> Floats:
    return np.asarray(blocks[..., 2].sum(-1) / blocks[..., 1].sum(-1))


def _median_area(areas: Floats) -> Floats:
    return np.asarray(np.median(areas, axis=-1) * SQUARE_UM)


def _median_spacing(spacings: Floats) -> Floats:
    return np.asarray(np.median(spacings, axis=-1) * WORKING_MPP)


def _variation(areas: Floats) -> Floats:
    return np.asarray(areas.std(axis=-1) / areas.mean(axis=-1))


def _median(values: Floats) -> Floats:
    return np.asarray(np.median(values, axis=-1))


NUCLEAR_MEASURES = (
    NuclearMeasure("nuclei_density", "per mm²", False, True, _blocks, density),
    NuclearMeasure("nuclear_area", "µm²", True, True, _areas, _median_area),
    NuclearMeasure("nuclear_area_variation", "ratio", True, False, _areas, _variation),
    NuclearMeasure("nuclear_share", "share", False, False, _blocks, _share, most=1.0),
    NuclearMeasure("nuclear_spacing", "µm", True, True, _spacings, _median_spacing),
    NuclearMeasure("nuclear_elongation", "ratio", True, False, _stretch, _median),
    NuclearMeasure("nuclear_eccentricity", "ratio", True, False, _eccentricities, _median, most=1.0),
    NuclearMeasure("nuclear_hyperchromasia", "ratio", True, False, _contrasts, _median, of_haematoxylin=True),
)
