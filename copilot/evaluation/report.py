"""The whole evaluation: suites on the copilot and on what stands beside it, as one tree, a screen and a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engine import Copilot
from ..language.load import load_language
from ..speak import Wording
from .asking import Subject, only_language, subject_of, without_language
from .bench import Bench, Progress, silent
from .cases import Case, Gallery
from .remembered import Remembered, RememberingEye
from .run import SUITES, load_cases, run_suites

Results = dict[str, Any]
COMPARED = ("choice", "open", "support", "legality", "injection")
"""Suites that every row of the card is measured by."""
FREE_LIMIT = 40
"""Questions a suite puts to a row that writes freely: seconds an answer on two cores."""


def evaluate_chat(
    names: Sequence[str],
    data: Path | None,
    language: str = "embedded",
    encoder: str = "embedded",
    *,
    wording: Wording = "slots",
    limit: int | None = None,
    compare: bool = False,
    progress: Progress = silent,
) -> Results:
    """Every figure of the copilot with that language model and encoder; with `compare` the other rows as well.

    The rows beside it: the findings in plain templates, the copilot writing freely, the untuned embedded model writing
    freely from the same findings, and that model without a picture.

    Raises
    ------
    UsageError, SetupError : as `load_cases` and `Copilot.load`
    """
    cases = load_cases(data)
    copilot = Copilot.load(language, encoder, wording=wording)
    copilot.eye = RememberingEye(copilot.eye)  # every row looks at the same pictures ...
    copilot.language = Remembered(copilot.language)  # ... and hears what was already written about them
    with Gallery() as gallery:
        bench = Bench(cases, gallery, limit, progress)
        results = about(copilot, cases, limit)
        results["suites"] = as_tree(run_suites(subject_of(copilot), names, bench))
        if compare:
            kept = [name for name in names if name in COMPARED]
            results["rows"] = {
                other.name: as_tree(run_suites(other, kept, replace(bench, limit=most)))
                for other, most in others(copilot, limit)
            }
    return results


def about(copilot: Copilot, cases: Sequence[Case], limit: int | None) -> Results:
    """Which weights answered and what they were asked about."""
    return {
        "model": {
            "language": copilot.card.language,
            "encoder": copilot.card.encoder,
            "wording": copilot.wording,
            "weights_sha256": dict(copilot.card.weights_sha256),
        },
        "data": {
            "pictures": len(cases),
            "groups": len({case.group for case in cases}),
            "split": "dev" if cases else None,
        },
        "limit": limit,
    }


def others(copilot: Copilot, limit: int | None) -> list[tuple[Subject, int | None]]:
    """What stands beside the copilot in the card, each with the most questions a suite puts to it."""
    untuned = load_language("untuned")
    few = FREE_LIMIT if limit is None else min(limit, FREE_LIMIT)
    freely = Copilot(copilot.eye, untuned, wording="free")
    tuned = Copilot(copilot.eye, copilot.language, wording="free")
    return [
        (without_language(copilot), limit),
        (subject_of(tuned, "the same, writing freely"), few),
        (subject_of(freely, "untuned SmolLM2 and findings, free"), few),
        (only_language(untuned), few),
    ]


def as_tree(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Plain types, with the seconds each suite took."""
    return {name: found.as_json() | {"seconds": round(seconds, 1)} for name, (found, seconds) in measured.items()}


def summary(results: Results) -> str:
    """What the screen shows: every figure of every suite beside its baselines."""
    lines = [f"{results['data']['pictures']} held-out pictures of {results['data']['groups']} groups"]
    for name in (name for name in SUITES if name in results["suites"]):
        found = results["suites"][name]
        lines += ["", f"{name}: {found['questions']} questions, {found['groups']} groups, {found['seconds']:.0f} s"]
        lines += [f"  {figure}: {worded(value)}" for figure, value in found["figures"].items()]
        lines += [f"  beside it, {figure}: {worded(value)}" for figure, value in found["baselines"].items()]
        lines += [f"  note: {note}" for note in found["notes"]]
        lines += [f"  wrong: {f['picture']}: {f['question']} -> {f['why']}" for f in found["failures"][:3]]
    return "\n".join(lines)


def worded(figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval, a dash where there is none."""
    if figure is None or figure["value"] is None:
        return "–"
    ends = "" if figure["low"] is None else f" ({figure['low']:.2f} to {figure['high']:.2f})"
    return f"{figure['value']:.2f}{ends}, n {figure['n']}"
