"""Runs the whole measurement: encoders and baselines on the same tiles and resamples; gives one tree of values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..catalog import load_encoder
from ..encoder import Encoder, Features
from ..features import Progress, silent
from ..reference_tiles import attribution
from .atlas_cases import POOLINGS, REPEATS, AtlasCases, atlas_cases, measure_atlas, samples_of
from .baselines import baselines
from .diversity import CASES, TILES, measure_diversity
from .intervals import Samples, error_removed, estimate, mean_of, rounded
from .labelled_sets import Task, main_tasks
from .material import Material, encode, find_data, gather
from .probes import PROBES, probe_task, task_samples
from .robustness import SHIFTS, STAIN_SHIFTS, Robustness, measure_robustness
from .sources import left_out_tasks, robustness_index, source_task
from .tables import START

WORSE = 0.01
QUICK_REPEATS = 5

Results = dict[str, Any]
Vectors = dict[str, dict[str, Samples]]
"""Sample vectors: `[encoder][figure]`."""


@dataclass(frozen=True)
class Bench:
    """Encoders by name, their features of the material's tiles, and the names of the baselines."""

    encoders: Mapping[str, Encoder]
    features: Mapping[str, Features]
    against: Sequence[str]
    material: Material
    progress: Progress

    def each(self, what: str, measure: Callable[[str], Any]) -> dict[str, Any]:
        """What `measure` gives for every encoder, by name; two names of one network are measured once."""
        found: dict[str, Any] = {}
        for number, (name, encoder) in enumerate(self.encoders.items(), 1):
            twins = (other for other in found if self.encoders[other].sha256 == encoder.sha256)
            twin = next(twins, None)
            found[name] = measure(name) if twin is None else found[twin]
            self.progress(what, number, len(self.encoders))
        return found

    def each_rows(self, what: str, measure: Callable[[Features], Any]) -> dict[str, Any]:
        """What `measure` gives for the features of every encoder, by name."""
        return self.each(what, lambda name: measure(self.features[name]))


def evaluate_encoders(
    names: Sequence[str],
    data: Path | None = None,
    given: Sequence[Path] = (),
    *,
    quick: bool = False,
    progress: Progress = silent,
    cache: Path | None = None,
) -> Results:
    """Every figure of the encoders and of the baselines, each beside the others on the same resamples.

    Parameters
    ----------
    names : as `load_encoder` takes them
    data : the folder that holds `tiles/` and, where there are, `atlas/` and `peers/`; None = found by itself
    given : Parquet files of labelled tiles; then only their sets are tested, and the data serve to learn from
    quick : labelled sets and atlas only, the atlas over 5 repeats of its folds
    cache : the folder where features are kept; None = the user's

    Returns
    -------
    dict that is plain JSON: `encoders`, `data`, `sets`, `probes`, `atlas`, `sources`, `diversity`, `robustness`
    (None where the tiles do not allow a part), `notes`, `attribution`; figures of four decimals, intervals as
    {value, low, high}

    Raises
    ------
    UsageError : no such encoder, no data, or a file of `given` that cannot be used
    SetupError : a package or weights file is missing
    """
    folder = find_data(data, needed=not given)
    candidates = [load_encoder(name) for name in dict.fromkeys(names)]
    material = gather(folder, given, quick=quick)
    others, absent = baselines(folder)
    encoders = _named_once([*candidates, *others])
    features = {
        name: encode(encoder, material.tiles, _prefixed(progress, name), cache) for name, encoder in encoders.items()
    }
    against = [name for name, encoder in encoders.items() if encoder not in candidates or name == START]
    bench = Bench(encoders, features, against, material, progress)
    cases = atlas_cases(material.tiles)
    results: Results = {
        "encoders": {name: _about(encoder, encoder in candidates) for name, encoder in encoders.items()},
        "data": {
            "tiles": len(material.tiles),
            "groups": len(set(material.tiles.group)),
            "sha256": material.tiles.sha256(),
        },
        "sets": {task.name: _about_task(task) for task in material.tasks},
        "probes": _probes(bench),
        "atlas": _atlas(bench, cases, quick),
        "sources": None if quick else _sources(bench),
        "diversity": None if quick or cases is None else _diversity(bench, cases),
        "robustness": None if quick else _robustness(bench, cache),
        "notes": [*material.notes, *absent],
        "attribution": attribution(material.tiles.source),
    }
    return dict(rounded(results))


def _named_once(encoders: Sequence[Encoder]) -> dict[str, Encoder]:
    """The encoders by name; two of one name get a number, a baseline asked for by name is measured once."""
    named: dict[str, Encoder] = {}
    for encoder in encoders:
        name, number = encoder.name, 2
        while name in named and named[name].sha256 != encoder.sha256:
            name, number = f"{encoder.name} {number}", number + 1
        named.setdefault(name, encoder)
    return named


def _prefixed(progress: Progress, name: str) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _about(encoder: Encoder, candidate: bool) -> Results:
    return {
        "role": "measured" if candidate else "baseline",
        "sha256": encoder.sha256,
        "dimension": encoder.dimension,
        "tile_px": encoder.tile_px,
    }


def _about_task(task: Task) -> Results:
    tested = task.groups[task.tested]
    return {
        "set": task.source,
        "counts": task.name == task.source,
        "histology": task.histology,
        "classes": list(task.classes),
        "train_tiles": len(task.trained),
        "train_groups": len(set(task.groups[task.trained])),
        "test_tiles": len(tested),
        "test_groups": len(set(tested)),
        "how": task.how,
    }


def _probes(bench: Bench) -> Results:
    """`[encoder][probe]`: figures a task, their mean over sets, and the same paired against each baseline."""
    tasks = bench.material.tasks
    measured: dict[str, Vectors] = {}
    for probe in PROBES:
        measured[probe] = bench.each_rows(f"probe {probe}", partial(_figures, tasks=tasks, probe=probe))
    return {name: {probe: _one_probe(measured[probe], name, bench) for probe in PROBES} for name in bench.features}


def _figures(features: Features, tasks: Sequence[Task], probe: str) -> dict[str, Samples]:
    return {task.name: task_samples(probe_task(features, task, probe), task) for task in tasks}


def _one_probe(vectors: Vectors, name: str, bench: Bench) -> Results:
    own = vectors[name]
    counted = [task.name for task in main_tasks(bench.material.tasks)]
    histology = [task.name for task in main_tasks(bench.material.tasks) if task.histology]
    result: Results = {"tasks": _estimates(own), "mean": asdict(estimate(_mean(own, counted))), "against": {}}
    for other in bench.against:
        if other == name:
            continue
        gains = {task: own[task] - vectors[other][task] for task in own}
        result["against"][other] = {
            "tasks": _estimates(gains),
            "mean": asdict(estimate(_mean(gains, counted))),
            "error_removed": asdict(_removed(own, vectors[other], counted)),
            "error_removed_histology": asdict(_removed(own, vectors[other], histology)) if histology else None,
            "worse": [task for task in counted if gains[task][0] < -WORSE],
        }
    return result


def _mean(vectors: Mapping[str, Samples], names: Sequence[str]) -> Samples:
    return mean_of([vectors[name] for name in names])


def _removed(own: Mapping[str, Samples], theirs: Mapping[str, Samples], tasks: Sequence[str]) -> Any:
    return estimate(error_removed([own[task] for task in tasks], [theirs[task] for task in tasks]))


def _estimates(vectors: Mapping[str, Samples]) -> Results:
    return {name: asdict(estimate(vector)) for name, vector in vectors.items()}


def compared(vectors: Vectors, against: Sequence[str]) -> Results:
    """`[encoder]`: its `figures`, and `against` each baseline the paired differences (ours less theirs)."""
    return {
        name: {
            "figures": _estimates(own),
            "against": {
                other: _estimates({figure: own[figure] - vectors[other][figure] for figure in own})
                for other in against
                if other != name
            },
        }
        for name, own in vectors.items()
    }


def _atlas(bench: Bench, cases: AtlasCases | None, quick: bool) -> Results | None:
    if cases is None:
        return None
    repeats = QUICK_REPEATS if quick else REPEATS
    found = bench.each_rows("atlas", lambda rows: measure_atlas(rows, cases, repeats=repeats))
    results: Results = {
        "slides": len(cases.slides),
        "groups": len(set(cases.groups)),
        "malignant": int(cases.malignant.sum()),
        "tumour": int(cases.tumour.sum()),
        "dev_groups": len(set(cases.groups[cases.split == "dev"])),
        "given_groups": len(set(cases.groups[cases.split == "given"])),
        "organs": list(cases.organ_names),
        "organ_tiles": len(cases.organ_tiles),
        "organ_groups": len(set(cases.organ_groups)),
        "repeats": repeats,
        "encoders": compared({name: samples_of(figures) for name, figures in found.items()}, bench.against),
        "over_repeats": {
            name: {figure: value.over_repeats for figure, value in figures.items()} for name, figures in found.items()
        },
    }
    if not quick:
        more = bench.each_rows("atlas, more statistics", lambda rows: measure_atlas(rows, cases, POOLINGS[1]))
        vectors = {name: samples_of(figures) for name, figures in more.items()}
        results["more_statistics"] = compared(vectors, bench.against)
    return results


def _sources(bench: Bench) -> Results | None:
    tiles = bench.material.tiles
    results: Results = {"left_out": None, "source": None, "robustness_index": None}
    if tasks := left_out_tasks(tiles, bench.material.tested):
        names = [task.name for task in tasks]

        def measure(rows: Features) -> dict[str, Samples]:
            figures = _figures(rows, tasks, "linear")
            return figures | {"mean": _mean(figures, names)}

        vectors = bench.each_rows("each set left out", measure)
        about = {task.name: _about_task(task) for task in tasks}
        results["left_out"] = {"sets": about, "encoders": compared(vectors, bench.against)}
    if task := source_task(tiles):
        vectors = bench.each_rows("which source", lambda rows: _figures(rows, [task], "linear"))
        results["source"] = {"task": _about_task(task), "encoders": compared(vectors, bench.against)}
    indices = bench.each_rows("robustness index", lambda rows: robustness_index(rows, tiles))
    first = next(iter(indices.values()))
    if first is not None:
        vectors = {name: {"index": index.samples} for name, index in indices.items()}
        results["robustness_index"] = {
            "sources": list(first.sources),
            "tiles": first.tiles,
            "neighbours": {name: index.neighbours for name, index in indices.items()},
            "encoders": compared(vectors, bench.against),
        }
    return results if any(results.values()) else None


def _diversity(bench: Bench, cases: AtlasCases) -> Results | None:
    arms = bench.each_rows("diversity", lambda rows: measure_diversity(rows, cases))
    first = next(iter(arms.values()))
    if first is None:
        return None
    vectors = {
        name: {f"{count} case{'s' * (count > 1)}": arm.samples[count] for count in CASES}
        | {"gain": arm.samples[CASES[-1]] - arm.samples[CASES[0]]}
        for name, arm in arms.items()
    }
    return {
        "organs": list(first.organs),
        "tiles_an_organ": TILES,
        "tested_groups": first.tested_groups,
        "encoders": compared(vectors, bench.against),
    }


def _robustness(bench: Bench, cache: Path | None) -> Results | None:
    tasks = [task for task in main_tasks(bench.material.tasks) if task.histology]
    if not tasks:
        return None

    def measure(name: str) -> Robustness:
        told = _prefixed(bench.progress, name)
        return measure_robustness(bench.encoders[name], bench.features[name], bench.material.tiles, tasks, told, cache)

    found = bench.each("changed pictures", measure)
    lost = {name: figures.lost for name, figures in found.items()}
    renamed = {name: figures.renamed for name, figures in found.items()}
    return {
        "sets": [task.name for task in tasks],
        "shifts": list(SHIFTS),
        "stain_shifts": {name: list(strengths) for name, strengths in STAIN_SHIFTS.items()},
        "encoders": compared(lost, bench.against),
        "renamed": compared(renamed, bench.against),
        "stain_ratio": _stain_ratios(lost),
        "renamed_ratio": _stain_ratios(renamed),
    }


def _stain_ratios(vectors: Vectors) -> Results:
    """What stain shift costs each encoder over what it costs ImageNet's; no figure where that is not above zero."""
    base = vectors[START]["stain"]
    if not estimate(base).low > 0:
        return dict.fromkeys(vectors)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: asdict(estimate(figures["stain"] / base)) for name, figures in vectors.items()}
