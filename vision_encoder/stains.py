"""Colour deconvolution: how much of each dye lies in every pixel.

Beer-Lambert optical density and reference vectors: Ruifrok & Johnston 2001, Anal Quant Cytol Histol
23:291. Haematoxylin and eosin vectors of the field itself: Macenko et al. 2009, ISBI 1107.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29], dtype=np.float32)
EOSIN = np.array([0.07, 0.99, 0.11], dtype=np.float32)
DAB = np.array([0.27, 0.57, 0.78], dtype=np.float32)

STAINED = 0.15
"""Optical density below which a pixel carries too little dye to tell which."""
CLAMP_DEGREES = 15.0
"""A field's own vectors may lie this far from the reference; further away it is not H&E or only one dye."""


def background_light(pixels: NDArray[np.uint8]) -> Floats:
    """Light of the empty slide per channel (3,), 220-255, from the brightest pixels of (h, w, 3)."""
    sample = pixels[::4, ::4].reshape(-1, 3)
    # a field without glass has no empty pixel: below 220 the brightest tissue would pass for glass
    return np.clip(np.percentile(sample, 99.5, axis=0), 220, 255).astype(np.float32)


def optical_density(pixels: NDArray[np.uint8], light: Floats | None = None) -> Floats:
    """Optical density float32 (h, w, 3), at least 0, natural logarithm: -ln((I + 1) / (I0 + 1))."""
    light = background_light(pixels) if light is None else light
    levels = np.arange(1, 257, dtype=np.float32)[:, None]
    table = np.maximum(-np.log(levels / (light[None, :] + 1)), 0).astype(np.float32)
    return np.stack([table[:, channel][pixels[..., channel]] for channel in range(3)], axis=-1)


def stain_vectors(densities: Sequence[Floats]) -> Floats:
    """Unit haematoxylin and eosin vectors (2, 3) of H&E fields' optical densities, each (h, w, 3).

    Macenko's plane and angles over all fields together, each vector held within 15° of Ruifrok's
    reference. Fewer than 200 stained pixels get the reference.
    """
    reference = _unit(np.stack([HAEMATOXYLIN, EOSIN]))
    sample = np.concatenate([density[::4, ::4].reshape(-1, 3) for density in densities])
    sample = sample[(sample > STAINED).all(axis=1)]
    if len(sample) < 200:
        return reference
    _, axes = np.linalg.eigh(np.cov(sample.T))
    plane = axes[:, [2, 1]].astype(np.float32)
    plane *= np.where(plane.sum(axis=0) < 0, -1, 1)
    angles = np.arctan2(sample @ plane[:, 1], sample @ plane[:, 0])
    extremes = np.percentile(angles, [1, 99])
    found = np.stack([plane @ (np.cos(angle), np.sin(angle)) for angle in extremes])
    found = _unit(np.abs(found).astype(np.float32))
    # haematoxylin absorbs red, eosin hardly does
    if found[0, 0] < found[1, 0]:
        found = found[::-1]
    return np.stack([_held(vector, near) for vector, near in zip(found, reference, strict=True)])


def concentrations(density: Floats, vectors: Floats) -> Floats:
    """Amount of each dye, float32 (h, w, k) at least 0, from k = 2 or 3 unit vectors (k, 3)."""
    return np.maximum(density @ np.linalg.pinv(_unit(vectors)).astype(np.float32), 0)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def _held(vector: Floats, near: Floats) -> Floats:
    """The vector, turned towards its reference until it is within `CLAMP_DEGREES`."""
    cosine = float(np.clip(vector @ near, -1, 1))
    limit = np.deg2rad(CLAMP_DEGREES)
    if np.arccos(cosine) <= limit:
        return vector
    aside = _unit(vector - cosine * near)
    return np.asarray(np.cos(limit) * near + np.sin(limit) * aside, dtype=np.float32)
