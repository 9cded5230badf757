"""Matrices in few bits: groups of 32 numbers, each group with a step and a base of its own.

GGUF's Q4_1 and Q8_0 are such forms, so the embedded model's matrices are taken from its file as they were
published, not a bit changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUP = 32
"""Numbers that share a step and a base."""

_Q4_1_BYTES, _Q8_0_BYTES = 20, 34  # a group with its scale, and in Q4_1 its base


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """A matrix (rows, columns): `(steps - zero) * scale`.

    Attributes
    ----------
    steps : uint8 (rows, groups, 32)
    scale, zero : float32 (rows, groups, 1)
    bits : 4 or 8, of each step
    """

    steps: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.float32]
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        rows, groups, _ = self.steps.shape
        return rows, groups * GROUP

    def unpacked(self) -> NDArray[np.float32]:
        """The matrix (rows, columns)."""
        matrix: NDArray[np.float32] = (self.steps.astype(np.float32) - self.zero) * self.scale
        return matrix.reshape(self.shape)


def from_q4_1(data: NDArray[np.uint8], shape: tuple[int, int]) -> Packed:
    """A matrix of GGUF's Q4_1: scale, base (float16), then 32 steps of 4 bits, low halves first."""
    rows, columns = shape
    blocks = data.reshape(-1, _Q4_1_BYTES)
    scale, least = (_half(blocks[:, place : place + 2], rows) for place in (0, 2))
    steps = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    steps = np.where(scale == 0, np.uint8(0), steps.reshape(rows, columns // GROUP, GROUP))
    return Packed(steps, *_affine(scale, least), 4)


def from_q8_0(data: NDArray[np.uint8], shape: tuple[int, int]) -> Packed:
    """A matrix of GGUF's Q8_0: scale (float16), then 32 signed bytes."""
    rows, columns = shape
    blocks = data.reshape(-1, _Q8_0_BYTES)
    scale = _half(blocks[:, :2], rows)
    steps = blocks[:, 2:] ^ np.uint8(128)  # a signed byte plus 128
    return Packed(steps.reshape(rows, columns // GROUP, GROUP), scale, np.full_like(scale, 128), 8)


def stacked(parts: Sequence[Packed]) -> Packed:
    """Matrices of equal width and bits below each other."""
    names = ("steps", "scale", "zero")
    steps, scale, zero = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Packed(steps, scale, zero, parts[0].bits)


def rows_taken(packed: Packed, order: NDArray[Any]) -> Packed:
    """The rows in another order."""
    return Packed(packed.steps[order], packed.scale[order], packed.zero[order], packed.bits)


def _half(pairs: NDArray[np.uint8], rows: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(pairs).view(np.float16).astype(np.float32).reshape(rows, -1, 1)


def _affine(scale: NDArray[np.float32], least: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and zero of `steps * scale + least`; a group of equal numbers has all its steps 0."""
    flat = scale == 0
    safe = np.where(flat, np.where(least == 0, np.float32(1), least), scale)
    zero = np.where(flat, np.where(least == 0, np.float32(0), np.float32(-1)), -least / safe)
    return safe.astype(np.float32), zero.astype(np.float32)
