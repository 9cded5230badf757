"""The evaluation of survival models in words: a summary for the terminal, and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_USE = (
    "For research. A curve says how patients with such records fared, not what a treatment would do, and is no advice. "
    "Each model refuses another endpoint or diagnosis, a record without the covariates it needs, values outside its "
    "training range, and combinations unlike every training patient (conformal p below 0.01)."
)
_MADE = (
    "One linear tower a modality (covariates with hinges and logarithms; TF-IDF on singular vectors; principal "
    "components of expression or of a slide's embedding), gated over the modalities present, on piecewise constant "
    "hazards; modalities dropped at random while fitting; one calibration of all horizons on left-out patients; the "
    "band from bootstrap refits. No public set here holds slides with outcomes: no shipped model has learned from "
    "slides."
)
_TEXTS = (
    "Texts are written from the covariates by a grammar, the test rows in wordings that training never saw: `text "
    "alone` says how much of the covariates survives such a change of words, not what a pathologist's report adds."
)


def summary(results: Mapping[str, Any]) -> str:
    """A few lines a set."""
    return "\n".join(
        f"{name}, {found['patients']} patients, {found['events']} events\n" + "\n".join(_lines(found, "  {}", "  "))
        for name, found in results["sets"].items()
    )


def card(results: Mapping[str, Any]) -> str:
    """The model card in Markdown."""
    parts = ["# Survival models", "Made by `pathcopilot evaluate survival --out docs/model_cards/survival.md`.", _USE]
    parts += [_MADE, _TEXTS]
    parts.append(
        f"{results['folds']} folds by patient, the same for every model. C is Harrell's, ± its standard deviation over "
        "folds; IBS is better when smaller; D is the p of D-calibration, below 0.05 the curve is miscalibrated. The "
        "difference in C is against the best baseline of the set, with a 95 % interval corrected for overlapping folds."
    )
    for name, found in results["sets"].items():
        parts.append(f"## {name}: {found['endpoint']}\n\n{found['citation']}. {found['patients']} patients, "
                     f"{found['events']} events.")  # fmt: skip
        head = ["| model | C | IBS | D | difference in C |", "|---|---|---|---|---|"]
        parts.append("\n".join(head + _lines(found, "| {} |", " | ")))
        parts.append(_verdict(found))
    return "\n\n".join(parts) + "\n"


def _lines(found: Mapping[str, Any], frame: str, between: str) -> list[str]:
    lines = []
    for model, row in found["models"].items():
        difference = "best baseline" if model == found["best_baseline"] else "{:+.3f} ({:+.3f} to {:+.3f})".format(
            *row["c_difference"])  # fmt: skip
        cells = [model, f"{row['c']:.3f} ± {row['c_sd']:.3f}", f"{row['ibs']:.3f}", f"{row['d_calibration_p']:.2f}"]
        lines.append(frame.format(between.join([*cells, difference])))
    return lines


def _verdict(found: Mapping[str, Any]) -> str:
    """Whether fusion or the plain baseline is better on this set, in one sentence, from the interval."""
    row, best = found["models"]["fused, all there"], found["best_baseline"]
    mean, low, high = row["c_difference"]
    if high < 0:
        return f"{best} is better than the fused model here: the interval lies below 0."
    if low > 0:
        return f"The fused model is better than {best} here: the interval lies above 0."
    side = "below" if mean < 0 else "above"
    return f"The fused model lies {side} {best} by {abs(mean):.3f}, within the interval."
