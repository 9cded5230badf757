"""The model card of the encoder: Markdown in which every figure comes from the results of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tables import PROBE_WORDS, START, Results, differences, gain, interval, overview, set_rows, table

ATLAS_WORDS = {
    "malignant": "malignant against the rest, AUC",
    "tumour": "tumour or none, AUC",
    "organ": "organ from one tile, balanced accuracy",
}


def write_card(results: Results, training_card: Mapping[str, Any] | None) -> str:
    """The card as Markdown.

    Parameters
    ----------
    results : of `evaluate_encoders`
    training_card : what the weights' own card states, printed key by key; None = nothing to print
    """
    lines = [
        *_opening(results),
        *_training(training_card),
        "## In one table",
        "",
        "Mean over the labelled sets of held-out balanced accuracy; *error removed* is the share of the mean "
        "balanced error of ImageNet's features that is gone, paired. *Sets worse* counts those where the linear probe "
        "is worse than ImageNet's by more than a point. Each column has its section below.",
        "",
        *table(*overview(results)),
        *_sets(results),
        *_few_shots(results),
        *_atlas(results),
        *_robustness(results),
        *_sources(results),
        *_diversity(results),
        *_limits(results),
        "## Attribution",
        "",
        *(f"- {line}" for line in results["attribution"]),
    ]
    return "\n".join(lines) + "\n"


def _opening(results: Results) -> list[str]:
    data = results["data"]
    rows = [
        [name, about["role"], str(about["dimension"]), str(about["tile_px"] or "–"), about["sha256"][:12]]
        for name, about in results["encoders"].items()
    ]
    return [
        "# The vision encoder",
        "",
        "Made by `pathcopilot evaluate encoder --data DIR --out docs/model_cards/encoder.md`; nothing here is "
        "written by hand.",
        "",
        f"Measured on {data['tiles']} tiles of {data['groups']} groups (data {data['sha256'][:12]}). Every encoder is "
        "frozen and sees the same tiles, the centred square at its own side. Intervals are 95 %, by bootstrap "
        "over groups (a patient, or what stands for one; 2,000 resamples); differences are paired, on the same "
        "resamples. *random* is the same network with random weights, *colour* a histogram of 30 numbers; "
        "*nic* are two small histology encoders of others, measured and not shipped.",
        "",
        *table(["encoder", "role", "features", "side in px", "weights"], rows),
        "**Meant for** tiles of stained tissue, as features for heads that are trained and calibrated on top. "
        "**Not meant for** a diagnosis: a feature says nothing by itself.",
        "",
    ]


def _training(card: Mapping[str, Any] | None) -> list[str]:
    if not card:
        return []
    plain = {key: value for key, value in card.items() if key != "watched"}
    return ["## How it was made", "", *table(["fact", "value"], _facts(plain)), *_watched(card.get("watched") or [])]


def _watched(looks: Sequence[Mapping[str, float]]) -> list[str]:
    """What the run saw of itself, a row a look; the probe is on tiles to train on, never on held-out ones."""
    if not looks:
        return []
    names = list(looks[0])
    rows = [[f"{look[name]:.0f}" if name == "step" else f"{look[name]:.3g}" for name in names] for look in looks]
    words = "Losses, RankMe, spread and mean cosine of features, and a k-NN probe with groups held out of each other:"
    return [words, "", *table(names, rows)]


def _facts(card: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    rows: list[list[str]] = []
    for key, value in card.items():
        if isinstance(value, Mapping):
            rows += _facts(value, f"{prefix}{key}: ")
        else:
            shown = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append([f"{prefix}{key}".replace("_", " "), shown.replace("|", "\\|").replace("\n", " ")])
    return rows


def _sets(results: Results) -> list[str]:
    sets = results["sets"]
    about = [
        [
            name,
            str(len(task["classes"])),
            f"{task['train_tiles']} / {task['train_groups']}",
            f"{task['test_tiles']} / {task['test_groups']}",
            "yes" if task["counts"] else "no",
            task["how"],
        ]
        for name, task in sets.items()
    ]
    lines = [
        "## Labelled sets",
        "",
        "The task of a set is its own label; `: malignant` is a second reading, malignant against normal or "
        "benign, shown and not counted, so that each set counts once. A class held out in one group only has no "
        "spread over groups: intervals of sets with such classes are too short.",
        "",
        *table(["task", "classes", "train tiles / groups", "test tiles / groups", "counts", "learned from"], about),
    ]
    for probe in ("linear", "knn20"):
        lines += [f"**{PROBE_WORDS[probe]}**", "", *table(*set_rows(results, probe))]
    return lines


def _few_shots(results: Results) -> list[str]:
    return [
        "## Few tiles a class",
        "",
        "Nearest class mean from 1, 5 or 10 tiles a class, 100 draws for each of three seeds.",
        "",
        *(line for probe in ("shot1", "shot5", "shot10") for line in _titled(results, probe)),
    ]


def _titled(results: Results, probe: str) -> list[str]:
    return [f"**{PROBE_WORDS[probe]}**", "", *table(*set_rows(results, probe))]


def _atlas(results: Results) -> list[str]:
    atlas = results["atlas"]
    if atlas is None:
        return []
    names = list(next(iter(atlas["encoders"].values()))["figures"])
    rows = [[name, *(_with_spread(atlas, name, figure) for figure in names)] for name in atlas["encoders"]]
    lines = [
        "## Whole cases",
        "",
        f"{atlas['slides']} H&E slides of {atlas['groups']} groups ({atlas['malignant']} malignant, "
        f"{atlas['tumour']} with a tumour), tiles at downsample 1 to 2 pooled by mean and spread, a logistic head, "
        f"five folds by group, {atlas['repeats']} times; every encoder in the same folds. Organ: one tile among "
        f"{', '.join(atlas['organs'])} ({atlas['organ_tiles']} tiles of {atlas['organ_groups']} groups). ± is the "
        "deviation over the repeats. An encoder pretrained on these tiles has seen the pixels of the train "
        f"cases, never their labels; the columns *dev* ({atlas['dev_groups']} groups) count only cases whose "
        "pixels no training of ours opened, in the same folds.",
        "",
        *table(["encoder", *map(_atlas_words, names)], rows),
        *table(["encoder", "against", *map(_atlas_words, names)], differences(results, atlas["encoders"], names)[1]),
    ]
    if "more_statistics" in atlas:
        more = atlas["more_statistics"]
        pooled = list(next(iter(more.values()))["figures"])
        lines += [
            "Pooled by mean, spread, 10th and 90th percentile instead:",
            "",
            *table(
                ["encoder", *map(_atlas_words, pooled)],
                [[name, *(interval(found["figures"][key]) for key in pooled)] for name, found in more.items()],
            ),
        ]
    return lines


def _atlas_words(name: str) -> str:
    base, _, part = name.partition(", ")
    return ATLAS_WORDS[base] + (f" ({part} groups alone)" if part else "")


def _with_spread(atlas: Results, name: str, figure: str) -> str:
    spread = atlas["over_repeats"][name][figure]
    return f"{interval(atlas['encoders'][name]['figures'][figure])} ± {spread:.2f}"


def _robustness(results: Results) -> list[str]:
    robust = results["robustness"]
    if robust is None:
        return []
    names = ["stain", *robust["shifts"]]
    lines = [
        "## Changed pictures",
        "",
        "The linear probe learned on clean tiles, tested on changed ones; means over "
        + ", ".join(robust["sets"])
        + ". "
        "*stain* is the mean of the four stain shifts (haematoxylin and eosin scaled by colour deconvolution). Blur "
        "has a deviation of 2 px on 256; 2x magnification is the centred half. *Loss* is of balanced accuracy; "
        "*renamed* is the share of tiles named otherwise once changed, rightly or not. A ratio is to ImageNet's "
        "figure under stain, and is left out where that is not above zero.",
        "",
    ]
    for title, part, ratio in (("Loss", "encoders", "stain_ratio"), ("Renamed", "renamed", "renamed_ratio")):
        rows = [
            [name, interval(robust[ratio][name]), *(interval(found["figures"][key]) for key in names)]
            for name, found in robust[part].items()
        ]
        lines += [f"**{title}**", "", *table(["encoder", "ratio", *names], rows)]
        lines += table(*differences(results, robust[part], names, (START,)))
    return lines


def _sources(results: Results) -> list[str]:
    sources = results["sources"]
    if sources is None:
        return []
    lines = ["## Tissue or source", ""]
    if left := sources["left_out"]:
        names = [*left["sets"], "mean"]
        rows = [[name, *(interval(found["figures"][key]) for key in names)] for name, found in left["encoders"].items()]
        lines += [
            "Malignant or harmless (normal or a benign tumour), learned on all other sets, tested on the one left "
            "out; balanced accuracy of the linear probe.",
            "",
            *table(["encoder", *names], rows),
        ]
    if index := sources["robustness_index"]:
        source = sources["source"]
        lines += [
            "Robustness index (PathoROB, Kömen et al. 2025): of the near neighbours that share either class or source "
            "with a tile, the share that share its class; 1 = tissue alone, 0 = source alone. Class: malignant or "
            f"harmless; centre: the set ({', '.join(index['sources'])}; {index['tiles']} tiles, cells drawn to equal "
            "size). *Source named*: balanced accuracy of telling the set of an H&E tile, which organ and "
            "laboratory both give away; lower is less.",
            "",
            *table(
                ["encoder", "robustness index", "neighbours", "source named"],
                [
                    [
                        name,
                        interval(found["figures"]["index"]),
                        str(index["neighbours"][name]),
                        interval(source["encoders"][name]["figures"]["source"]) if source else "–",
                    ]
                    for name, found in index["encoders"].items()
                ],
            ),
        ]
    return lines


def _diversity(results: Results) -> list[str]:
    diversity = results["diversity"]
    if diversity is None:
        return []
    names = list(next(iter(diversity["encoders"].values()))["figures"])
    return [
        "## Diversity against quantity",
        "",
        f"Organ of one tile by nearest class mean from {diversity['tiles_an_organ']} tiles an organ, from 1, 2 or "
        f"4 cases; tested on the other cases of {diversity['tested_groups']} groups, balanced accuracy. *gain* is four "
        "cases over one, at the same number of tiles.",
        "",
        *table(
            ["encoder", *names],
            [
                [name, *(interval(found["figures"][key]) for key in names)]
                for name, found in diversity["encoders"].items()
            ],
        ),
    ]


def _limits(results: Results) -> list[str]:
    lines = ["## What failed, and limits", ""]
    measured = [name for name, about in results["encoders"].items() if about["role"] == "measured"]
    for name in measured:
        lines += [f"- {sentence}" for sentence in shortfalls(results, name)]
    lines += [f"- {note[0].upper()}{note[1:]}." for note in results["notes"]]
    lines += [
        "- Held-out groups are few: an interval that holds zero shows no difference, and none of these figures is a "
        "clinical performance.",
        "- Organ, stain and laboratory go together in most sets: what tells them apart need not be tissue. Some "
        "sets name no patients; blocks of image numbers or single tiles stand for them there.",
        "",
    ]
    return lines


def shortfalls(results: Results, name: str) -> list[str]:
    """What an encoder does not do better than ImageNet, one sentence each, from the figures."""
    if results["encoders"][name]["sha256"] == results["encoders"].get(START, {}).get("sha256"):
        return [f"`{name}` is the ImageNet network itself: nothing is gained on it."]
    said = []
    for probe, figures in results["probes"][name].items():
        against = figures["against"].get(START)
        if against is None:
            continue
        removed = against["error_removed"]
        if (removed["low"] or 0.0) <= 0:
            said.append(
                f"`{name}`, {PROBE_WORDS[probe]}: {interval(removed)} of the error removed, not shown to be above zero."
            )
        if against["worse"]:
            worse = ", ".join(f"{task} {gain(against['tasks'][task])}" for task in against["worse"])
            said.append(f"`{name}`, {PROBE_WORDS[probe]}: worse than ImageNet by more than a point on {worse}.")
    for figure, found in _against_start(results, "atlas", name).items():
        if (found["low"] or 0.0) <= 0:
            said.append(
                f"`{name}`, {_atlas_words(figure)}: {gain(found)} against ImageNet, not shown to be above zero."
            )
    return said + _stain_shortfalls(results, name)


def _stain_shortfalls(results: Results, name: str) -> list[str]:
    robust = results["robustness"]
    if robust is None:
        return []
    said = []
    for part, words in (("encoders", "loss of balanced accuracy"), ("renamed", "share of tiles renamed")):
        stain = robust[part][name]["against"][START]["stain"]
        if (stain["high"] or 0.0) >= 0:
            said.append(f"`{name}`, stain shift: {words} {gain(stain)} against ImageNet's, not shown to be less.")
    if robust["stain_ratio"][START] is None:
        lost = interval(robust["encoders"][START]["figures"]["stain"])
        said.append(f"ImageNet's own loss under stain shift, {lost}, is not above zero: no ratio to it can be stated.")
    return said


def _against_start(results: Results, part: str, name: str) -> Mapping[str, Any]:
    if results[part] is None:
        return {}
    found: Mapping[str, Any] = results[part]["encoders"][name]["against"].get(START, {})
    return found
