"""The worklist ranks and releases nothing; the certificate counts exactly."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.triage.exact import chance_of_at_most, positives_needed, sensitivity_lower_bound
from copilot.triage.worklist import Worklist, rank
from slides import UsageError

from .observed import observation, unusable

STEADY = settings(deadline=None, derandomize=True)
MALIGNANT = {"malignant": 0.7, "pre-malignant": 0.2, "normal": 0.1}
NORMAL = {"normal": 0.95, "malignant": 0.03, "pre-malignant": 0.02}
# Positives needed at one-sided 95 % (and 97.5 %) for 0, 1, 2, 3 misses: computed apart from this code.
NEEDED = {
    0.90: ((29, 46, 61, 76), (36, 54, 70, 85)),
    0.95: ((59, 93, 124, 153), (72, 110, 142, 173)),
    0.98: ((149, 236, 313, 386), (183, 277, 359, 436)),
    0.99: ((299, 473, 628, 773), (368, 555, 720, 874)),
}


def worklist() -> Worklist:
    return rank(
        [
            observation("normal.svs", NORMAL, notes=("the lower edge could not be decoded",)),
            observation("malignant.svs", MALIGNANT),
            unusable("glass.svs"),
            observation("odd.svs", NORMAL, abstained=True),
            observation("blurred.svs", NORMAL, focus="blurred"),
            observation("unclassified.svs"),
            observation("empty.svs", NORMAL, tissue=0.0),
        ]
    )


def test_what_cannot_be_scored_is_read_first_and_then_the_worst() -> None:
    rows = worklist().rows
    assert [row.slide for row in rows] == [
        "glass.svs",
        "odd.svs",
        "blurred.svs",
        "unclassified.svs",
        "empty.svs",
        "malignant.svs",
        "normal.svs",
    ]
    assert all(row.score is None and row.group == "cannot be scored: read first" for row in rows[:5])
    assert rows[5].score == pytest.approx(0.9)
    assert all(row.reason for row in rows)


def test_no_row_gives_a_verdict_and_nothing_is_released() -> None:
    told = worklist()
    for row in told.rows:
        words = " ".join((row.group, row.reason, *row.evidence, *row.not_seen)).lower()
        assert not re.search(r"\b(negative|released?|cleared|no malignancy)\b", words)
    assert all(row["released"] is False for row in told.as_json()["slides"])
    assert told.as_json()["certificate"] is None
    assert "No slide is released" in told.markdown()
    assert "29 positive cases" in told.statement
    assert "negative" not in told.markdown().lower()


def test_each_row_says_what_was_not_looked_at() -> None:
    row = worklist().rows[-1]
    assert row.not_seen == ("160 of 200 fields", "the lower edge could not be decoded")
    assert "160 of 200 fields" in worklist().markdown()


def test_a_slide_is_as_bad_as_its_worst_view_and_unscored_if_one_view_is() -> None:
    (row,) = rank([observation("a.svs", NORMAL), observation("a.svs", MALIGNANT)]).rows
    assert row.score == pytest.approx(0.9)
    (row,) = rank([observation("a.svs", MALIGNANT), unusable("a.svs")]).rows
    assert row.score is None


def test_an_unsettled_class_is_still_ranked_and_says_so() -> None:
    unsure = observation(
        "unsure.svs", MALIGNANT, abstained=True, reason="its 90 % set holds every class: the picture does not settle it"
    )
    first, second = rank([observation("normal.svs", NORMAL), unsure]).rows
    assert (first.slide, first.group) == ("unsure.svs", "scored")
    assert "not classified" in first.reason
    assert second.slide == "normal.svs"


def test_names_and_reasons_are_data() -> None:
    text = rank([unusable("<b>x</b>|y.svs", "**odd** | <i>reason</i>")]).markdown()
    assert "<b>" not in text
    assert "<i>" not in text
    assert "**odd**" not in text
    assert len(text.strip().splitlines()[-1].replace("\\|", "").split("|")) == 8


def test_json_is_plain_and_an_empty_list_is_a_worklist() -> None:
    json.dumps(worklist().as_json())
    assert rank([]).as_json()["slides"] == []


@pytest.mark.parametrize("sensitivity", NEEDED)
def test_positives_needed_are_those_of_the_table(sensitivity: float) -> None:
    one_sided, two_sided = NEEDED[sensitivity]
    assert tuple(positives_needed(sensitivity, 0.95, misses) for misses in range(4)) == one_sided
    assert tuple(positives_needed(sensitivity, 0.975, misses) for misses in range(4)) == two_sided


@STEADY
@given(st.integers(1, 400), st.data())
def test_the_lower_bound_is_clopper_pearson(positives: int, data: st.DataObject) -> None:
    from scipy.stats import beta, binom

    misses = data.draw(st.integers(0, positives))
    confidence = data.draw(st.sampled_from([0.9, 0.95, 0.975, 0.99]))
    found = positives - misses
    exact = float(beta.ppf(1 - confidence, found, misses + 1)) if found else 0.0
    assert sensitivity_lower_bound(positives, misses, confidence) == pytest.approx(exact, abs=1e-9)
    rate = data.draw(st.floats(0.001, 0.999))
    assert chance_of_at_most(misses, positives, rate) == pytest.approx(
        float(binom.cdf(misses, positives, rate)), abs=1e-9
    )


@STEADY
@given(st.floats(0.5, 0.995), st.floats(0.8, 0.99), st.integers(0, 5))
def test_the_fewest_positives_prove_it_and_one_fewer_do_not(sensitivity: float, confidence: float, misses: int) -> None:
    needed = positives_needed(sensitivity, confidence, misses)
    assert sensitivity_lower_bound(needed, misses, confidence) >= sensitivity - 1e-9
    if needed - 1 > misses:
        assert sensitivity_lower_bound(needed - 1, misses, confidence) < sensitivity


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5])
def test_impossible_demands_are_refused(value: float) -> None:
    with pytest.raises(UsageError):
        positives_needed(value)
    with pytest.raises(UsageError):
        sensitivity_lower_bound(10, 0, value)
    with pytest.raises(UsageError):
        sensitivity_lower_bound(10, 11)
