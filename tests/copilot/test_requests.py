"""Requests as people write them: what is accepted, and the one line that what is not accepted gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from copilot.requests import Request, checked_mpp, from_json, opened, parse_options, parse_region
from slides import Region, UsageError

HERE = Path(".")


def test_options_split_and_lose_blanks() -> None:
    assert parse_options("colon| stomach ||") == ("colon", "stomach")
    assert parse_options(["a", "b"]) == ("a", "b")


@pytest.mark.parametrize("value", ["1,2,3,4", " 1, 2,3 ,4", [1, 2, 3, 4]])
def test_a_region_reads_from_text_or_numbers(value: object) -> None:
    assert parse_region(value) == Region(1, 2, 3, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "1,2,3", "a,b,c,d", "1,2,0,4", [1, 2], [None, 1, 2, 3], "nan,1,2,3"])
def test_a_bad_region_says_the_form(value: object) -> None:
    with pytest.raises(UsageError) as caught:
        parse_region(value)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1000.0])
def test_an_unbelievable_scale_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="believable"):
        checked_mpp(value)


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[1, 2]",
        "{}",
        '{"paths": "a.png"}',
        '{"paths": [], "question": "q"}',
        '{"paths": [1], "question": "q"}',
        '{"paths": ["a.png"], "question": "  "}',
        '{"paths": ["a.png"], "question": "q", "mpp": "x"}',
        '{"paths": ["a.png"], "question": "q", "options": 3}',
        '{"paths": ["a.png"], "question": "q", "region": [1, 2]}',
        '{"paths": ["a.png"], "question": "\\ud800 q"}',
        '{"paths": ["a.png"], "question": "q", "context": "\\udfff"}',
        '{"paths": ["a.png"], "question": "q", "options": ["a", "\\ud800"]}',
    ],
)
def test_a_bad_line_of_a_batch_is_a_usage_error_in_one_line(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_json(line, HERE)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_of_a_batch_keeps_everything_asked() -> None:
    row = {
        "paths": ["a.png"],
        "question": "what?",
        "options": ["x", "y"],
        "region": [1, 2, 3, 4],
        "mpp": 0.5,
        "context": "biopsy",
    }
    request = from_json(json.dumps(row), HERE)
    assert request == Request((Path("a.png"),), "what?", (Region(1, 2, 3, 4),), 0.5, "biopsy", ("x", "y"))


def test_one_slide_with_several_boxes_gives_several_views(generated_slide: Path) -> None:
    boxes = (Region(0, 0, 100, 100), Region(500, 500, 4000, 4000))
    with opened(Request((generated_slide,), "compare", boxes)) as question:
        assert [view.region for view in question.views] == [boxes[0], Region(500, 500, 1548, 1036)]
        assert question.views[0].slide is question.views[1].slide


def test_a_box_off_the_slide_is_refused_with_the_size(generated_slide: Path) -> None:
    with (
        pytest.raises(UsageError, match="2048x1536"),
        opened(Request((generated_slide,), "what?", (Region(5000, 0, 10, 10),))),
    ):
        pass
