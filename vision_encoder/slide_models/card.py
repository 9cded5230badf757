"""The model card of the slide model: Markdown in which every figure comes from the results of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..benchmark.tables import table
from .calibrate import COVERAGE
from .evaluate import Results
from .faithful import MAPS

GOAL = 0.85
"""Area for malignant against the rest that was aimed at."""
FINDS = 0.7
"""Area for finding tumour tiles from which a map may choose fields."""


def write_card(results: Results) -> str:
    """The card as Markdown; `results` are those of `evaluate_slide_model`."""
    lines = [
        *_opening(results),
        *_folds(results),
        *_ladder(results),
        *_held_out(results),
        *_curve(results),
        *_maps(results),
        *_limits(results),
        "## Attribution",
        "",
        *(f"- {line}" for line in results["attribution"]),
    ]
    return "\n".join(lines) + "\n"


def summary(results: Results) -> str:
    """The main figures, a line each."""
    lines = []
    for name, tasks in results["folds"].items():
        lines.append(f"{name}: " + ", ".join(f"{task} {_interval(told['area'])}" for task, told in tasks.items()))
    held = results["held_out"]["areas"]
    lines += [
        f"held-out cases, {name}: " + ", ".join(f"{task} {_interval(area)}" for task, area in told.items())
        for name, told in held.items()
    ]
    return "\n".join(lines)


def _opening(results: Results) -> list[str]:
    model, data = results["model"], results["data"]
    counts = "; ".join(
        f"{task}: " + ", ".join(f"{name} {count}" for name, count in told.items())
        for task, told in data["classes"].items()
    )
    *_, (_, shown) = results["localisation"]["maps"].items()
    fields = (
        " and for choosing the fields that are shown first"
        if shown["tile logits"] >= FINDS
        else f"; its tile logits find tumour tiles no better than {shown['tile logits']:.2f} (below), so they choose "
        "no field that is shown"
    )
    silent = [f"- `{task}` never concludes: {why}. It ranks." for task, why in model["silent"].items()]
    return [
        "# The slide model",
        "",
        "Made by `pathcopilot evaluate slide-model --data DIR --out docs/model_cards/slide_models.md`; nothing here is "
        "written by hand.",
        "",
        f"What ships: `{model['kind']}` on features of `{results['encoder']}`, from `recipes/{model['recipe']}.toml` "
        f"on {model['bags']} whole H&E slides of {model['groups']} patients, weights {model['sha256'][:12]}. Slides by "
        f"class: {counts}. Areas are under the ROC curve (of more than two classes the mean of each against the rest), "
        "with 95 % intervals by bootstrap over patients (2,000 resamples); differences are paired.",
        "",
        *silent,
        "",
        f"**Meant for** the order of reading{fields}. **Not meant for** a diagnosis. A label is the case's; where in a "
        "slide the tumour lies, nobody marked.",
        "",
    ]


def _folds(results: Results) -> list[str]:
    tasks = list(next(iter(results["folds"].values())))
    rows = []
    for name, told in results["folds"].items():
        for task in tasks:
            own = told[task]
            rows.append([name, task, _interval(own["area"]), _signed(own["above mean"]), _signed(own["above colour"])])
    first = tasks[0]
    best = max(results["folds"].items(), key=lambda item: float(item[1][first]["area"][0]))
    reached = "reached" if best[1][first]["area"][0] >= GOAL else "not reached"
    return [
        "## On folds of the training cases",
        "",
        "Each slide is read by models that never saw its patient, and logits are averaged over the seeds. *colour* is "
        "the mean of a histogram of 30 numbers; *size of the slide* knows the number of tiles and their extent only: "
        "what is told from it is no histology.",
        "",
        *table(["model", "task", "area", "above mean", "above colour"], rows),
        "Read at twice the µm/px that it was fitted on, what ships has "
        + ", ".join(f"{task} {_interval(area)}" for task, area in results["coarser"].items())
        + ".",
        "",
        f"The goal of {GOAL} for `{first}` is {reached}: the best of these, `{best[0]}`, has "
        f"{_interval(best[1][first]['area'])}. The best of many is flattered; held-out cases are below.",
        "",
    ]


def _ladder(results: Results) -> list[str]:
    rows = [
        [
            step["model"],
            _interval(step["area"]),
            _signed(step["less"]) + f" against {step['against']}" if step["less"] else "",
            "yes" if step["kept"] else "no",
        ]
        for step in results["model"]["ladder"]
    ]
    return [
        "## How it was chosen",
        "",
        "Models in the order in which they were tried; each is kept only where the lower end of its difference to the "
        "one kept before lies above 0.",
        "",
        *table(["model", "area", "difference", "kept"], rows),
        "`spread` joined the order after the parts of `statistics` had been looked at one by one on these very folds: "
        "its figure here is flattered, and only cases that nobody has looked at can say by how much.",
        "",
    ]


def _held_out(results: Results) -> list[str]:
    held = results["held_out"]
    tasks = list(held["classes"])
    rows = [[name, *(_interval(told[task]) for task in tasks)] for name, told in held["areas"].items()]
    sets = [
        [task, str(told["slides"]), str(told["in the set"]), str(told["spoken"])] for task, told in held["sets"].items()
    ]
    return [
        "## On held-out cases",
        "",
        f"Cases of the split `dev`: {held['groups']} patients, nothing was chosen by them. So few that the intervals "
        "say hardly more than chance or not.",
        "",
        *table(["model", *tasks], rows),
        f"The {COVERAGE:.0%} sets, and how often a single class was spoken of:",
        "",
        *table(["task", "slides", "truth in the set", "spoken"], sets),
    ]


def _curve(results: Results) -> list[str]:
    curve: Mapping[str, Mapping[str, Sequence[float]]] = results["curve"]
    shares = list(next(iter(curve.values())))
    rows = [[kind, *(_interval(told[share]) for share in shares)] for kind, told in curve.items()]
    return [
        "## With fewer cases",
        "",
        "Area of the first task by share of the training patients of each fold.",
        "",
        *table(["model", *shares], rows),
    ]


def _maps(results: Results) -> list[str]:
    found = results["localisation"]
    maps = [
        [
            kind,
            *(f"{told[name]:.2f}" for name in ("tile logits", "attention", "random")),
            _or_dash(told, "whole slides"),
        ]
        for kind, told in found["maps"].items()
    ]
    deleted = [
        [
            kind,
            str(told["slides"]),
            *(_interval(told["areas"][name]) for name in MAPS),
            _signed(told["less"]["random"]),
        ]
        for kind, told in results["deletion"].items()
    ]
    return [
        "## Whether the maps tell where",
        "",
        f"Tumour tiles against the others on {found['slides']} slides composed of held-out tiles "
        f"({found['tiles']['dev']} tiles, {found['tiles']['dev tumour']} of tumour; each set counts alike), area under "
        "the ROC curve. The first models learned from composed slides, so that they know which tissue is meant; the "
        "last is the one that ships. *Tile logits* are each tile's part in the decision; attention of a pooled model "
        "is the same for every tile. The encoder was told the classes of some training tiles, of no held-out one.",
        "",
        *table(["model", "tile logits", "attention", "random order", "whole slides"], maps),
        "Deletion: how far the margin of a slide of the last class falls, on average, while its tiles go in the order "
        "of the map (lower is more faithful).",
        "",
        *table(["model", "slides", "tile logits", "attention", "random", "tile logits less random"], deleted),
    ]


def _limits(results: Results) -> list[str]:
    return [
        "## Limits",
        "",
        "- Slides are sampled: up to 32 tiles of full resolution stand for one. A slide read otherwise is read "
        "outside what this was fitted on.",
        "- One laboratory for nearly all cases, few scanners, mostly gastrointestinal and soft tissue.",
        "- An interval by bootstrap over patients holds the folds fixed; over other folds figures move besides.",
        "",
    ]


def _interval(value: Sequence[float]) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"


def _signed(value: Sequence[float]) -> str:
    return f"{value[0]:+.2f} ({value[1]:+.2f} to {value[2]:+.2f})"


def _or_dash(told: Mapping[str, Any], name: str) -> str:
    return f"{told[name]:.2f}" if name in told else "–"
