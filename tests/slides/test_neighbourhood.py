"""Shifted masks against scipy's distance transform and opening, pixel for pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from slides.neighbourhood import WIDEST, opened, within

masks = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10_000), st.floats(0.0, 1.0)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < drawn[3]
)


@given(
    mask=masks,
    radius=st.floats(0.0, WIDEST + 4) | st.sampled_from([1.0, 2.0, 5.0, 13**0.5, 10.0, 0.9999999999, 4.9999999999]),
)
@settings(max_examples=200, deadline=None)
def test_what_is_within_a_radius_is_what_the_distance_transform_says(mask: np.ndarray, radius: float) -> None:
    expected = ndimage.distance_transform_edt(~mask) <= radius if mask.any() else np.zeros_like(mask)
    np.testing.assert_array_equal(within(mask, radius), expected)


@given(mask=masks, side=st.sampled_from([1, 3, 5, 7]))
@settings(max_examples=200, deadline=None)
def test_opening_is_scipys(mask: np.ndarray, side: int) -> None:
    np.testing.assert_array_equal(opened(mask, side), ndimage.binary_opening(mask, np.ones((side, side))))
