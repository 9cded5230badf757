"""How alike texts are: distinct n-grams, and pairs that say nearly the same.

Distinct-n as in Li et al., *A Diversity-Promoting Objective Function for Neural Conversation Models* (2016): the
share of n-grams that occur in a text for the first time. Near repeats are found by minwise hashing (Broder, *On
the resemblance and containment of documents*, 1997) and then counted exactly.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3
BANDS, ROWS = 16, 4
ALIKE = 0.9
_WORD = re.compile(r"[\w&%µ²/.+-]+")
_PRIME = np.uint64(2**61 - 1)


def words(text: str) -> list[str]:
    """The words and figures of a text, lower case."""
    return [word.strip(".") for word in _WORD.findall(text.lower())]


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams by all n-grams of the texts, in [0, 1]; 0 where there are none."""
    grams: set[tuple[str, ...]] = set()
    count = 0
    for text in texts:
        said = words(text)
        for start in range(len(said) - n + 1):
            grams.add(tuple(said[start : start + n]))
            count += 1
    return len(grams) / count if count else 0.0


def shingles(text: str) -> frozenset[int]:
    """Hashes of every run of three words; of a shorter text, of the whole."""
    said = words(text)
    runs = [" ".join(said[i : i + SHINGLE]) for i in range(max(1, len(said) - SHINGLE + 1))]
    return frozenset(zlib.crc32(run.encode()) for run in runs)


def near_repeats(texts: Sequence[str], *, alike: float = ALIKE) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, whose shingles have a Jaccard index of at least `alike`, in order.

    With 16 bands of 4 a pair at 0.9 is found in 99.9999 % of cases.
    """
    sets = [shingles(text) for text in texts]
    signatures = _signatures(sets)
    candidates: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for position, row in enumerate(signatures[:, band * ROWS : (band + 1) * ROWS]):
            buckets[row.tobytes()].append(position)
        for members in buckets.values():
            candidates.update(combinations(members, 2))
    for first, second in sorted(candidates):
        both = len(sets[first] & sets[second])
        if both >= alike * len(sets[first] | sets[second]):
            yield first, second


def _signatures(sets: Sequence[frozenset[int]]) -> NDArray[np.uint64]:
    """Minwise hashes (n, 64) under fixed linear permutations."""
    rng = np.random.default_rng(7)
    factors = rng.integers(1, 2**31, BANDS * ROWS, dtype=np.uint64)
    offsets = rng.integers(0, 2**31, BANDS * ROWS, dtype=np.uint64)
    found = np.zeros((len(sets), BANDS * ROWS), dtype=np.uint64)
    for position, one in enumerate(sets):
        values = np.fromiter(one, dtype=np.uint64, count=len(one))
        found[position] = ((values[:, None] * factors + offsets) % _PRIME).min(axis=0)
    return found
