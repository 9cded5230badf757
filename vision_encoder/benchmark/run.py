"""Runs the whole measurement: encoders, baselines, tasks, intervals; gives one tree of plain values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import UsageError

from ..catalog import load_encoder
from ..encoder import Encoder, Features
from ..features import Progress, silent, tile_features
from ..reference_tiles import ReferenceTiles, attribution, load_reference_tiles
from .baselines import baselines
from .given_tiles import given_tasks, joined, read_given
from .intervals import Samples, error_removed, estimate, mean_of, rounded
from .labelled_sets import Task, main_tasks, tasks_of
from .probes import PROBES, probe_task, task_samples

START = "imagenet"
"""The baseline whose error the summary asks about: where pretraining starts from."""
WORSE = 0.01
LARGEST_DOWNSAMPLE = 2

Results = dict[str, Any]
Measured = dict[str, dict[str, dict[str, Samples]]]
"""Balanced accuracy as sample vectors: `[encoder][probe][task]`."""


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
    quick : labelled sets and atlas only

    Returns
    -------
    dict that is plain JSON: `encoders`, `sets`, `probes` and the parts measured; figures of four decimals,
    intervals as {value, low, high}

    Raises
    ------
    UsageError : no such encoder, no data, or a file of `given` that cannot be used
    SetupError : a package or weights file is missing
    """
    folder = find_data(data, needed=not given)
    tiles, tasks, notes = _material(folder, given)
    candidates = [load_encoder(name) for name in dict.fromkeys(names)]
    others, absent = baselines(folder)
    notes += absent
    everyone = _named_once([*candidates, *others])
    features: dict[str, Features] = {}
    for name, encoder in everyone.items():
        features[name] = tile_features(encoder, tiles, "whole", _prefixed(progress, name), cache)
    measured = {
        name: _probes(rows, tasks, lambda done, n, name=name: progress(f"{name}: probes", done, n))
        for name, rows in features.items()
    }
    results: Results = {
        "encoders": {name: _about(encoder, encoder in candidates) for name, encoder in everyone.items()},
        "data": {"tiles": len(tiles), "groups": len(set(tiles.group)), "sha256": tiles.sha256()},
        "sets": {task.name: _about_task(task) for task in tasks},
        "probes": _probe_results(measured, tasks, list(everyone), _baseline_names(everyone, candidates)),
        "notes": notes,
        "attribution": attribution(tiles.source),
    }
    return dict(rounded(results))


def find_data(data: Path | None, *, needed: bool = True) -> Path | None:
    """The folder that holds `tiles/`: the one given, PATHCOPILOT_DATA, or data beside the working folder.

    Raises
    ------
    UsageError : none of them does
    """
    if data is not None:
        if not (data / "tiles").is_dir():
            raise UsageError(f"no folder 'tiles' under {data.name or data}: --data names the folder that holds it")
        return data
    named = os.environ.get("PATHCOPILOT_DATA")
    near = [Path("data"), Path("shared/data"), Path("../data"), Path("../shared/data")]
    for folder in [Path(named)] if named else near:
        if (folder / "tiles").is_dir():
            return folder
    if needed:
        raise UsageError("no labelled tiles found: name their folder with --data DIR (it holds tiles/ and atlas/)")
    return None


def _material(folder: Path | None, given: Sequence[Path]) -> tuple[ReferenceTiles, list[Task], list[str]]:
    """The tiles to encode, the tasks on them, and what was left out."""
    handed = read_given(given) if given else None
    known = load_reference_tiles(folder, {}) if folder is not None else None
    if handed is None:
        assert known is not None
        tiles = known.where(_wanted(known))
        tasks = tasks_of(tiles)
        absent = set(tiles.source[tiles.kind == "tiles"]) - {task.source for task in tasks}
        notes = [
            "not tested, for lack of two classes in both splits or of 8 tiles to test: " + ", ".join(sorted(absent))
        ]
        if not tasks:
            raise UsageError("no set under the data folder has two classes in both splits")
        return tiles, tasks, notes if absent else []
    if known is not None:
        learnable = np.isin(known.source, list(set(handed.source))) & (known.kind == "tiles") & (known.split == "train")
        handed = joined(known.where(learnable), handed)
    tasks, notes = given_tasks(handed)
    if not tasks:
        raise UsageError("nothing to measure in the tiles given: " + "; ".join(notes))
    return handed, tasks, notes


def _wanted(tiles: ReferenceTiles) -> NDArray[np.bool_]:
    """All single tiles, and the H&E tiles of cases with a sure label."""
    case = (tiles.kind == "cases") & (tiles.stain == "HE") & tiles.certain
    wanted: NDArray[np.bool_] = (tiles.kind == "tiles") | (case & (tiles.downsample <= LARGEST_DOWNSAMPLE))
    return wanted


def _named_once(encoders: Sequence[Encoder]) -> dict[str, Encoder]:
    """The encoders by name; two of one name get a number, a baseline asked for by name is measured once."""
    named: dict[str, Encoder] = {}
    for encoder in encoders:
        name, number = encoder.name, 2
        while name in named and named[name].sha256 != encoder.sha256:
            name, number = f"{encoder.name} {number}", number + 1
        named.setdefault(name, encoder)
    return named


def _baseline_names(everyone: Mapping[str, Encoder], candidates: Sequence[Encoder]) -> list[str]:
    return [name for name, encoder in everyone.items() if encoder not in candidates or name == START]


def _prefixed(progress: Progress, name: str) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _probes(features: Features, tasks: Sequence[Task], progress: Any) -> dict[str, dict[str, Samples]]:
    measured: dict[str, dict[str, Samples]] = {}
    for number, probe in enumerate(PROBES, 1):
        measured[probe] = {task.name: task_samples(probe_task(features, task, probe), task) for task in tasks}
        progress(number, len(PROBES))
    return measured


def _probe_results(measured: Measured, tasks: Sequence[Task], names: list[str], against: list[str]) -> Results:
    """`[encoder][probe]`: figures a task, their mean over sets, and the same paired against each baseline."""
    return {
        name: {
            probe: _one_probe(measured, name, probe, tasks, [other for other in against if other != name])
            for probe in PROBES
        }
        for name in names
    }


def _one_probe(measured: Measured, name: str, probe: str, tasks: Sequence[Task], against: list[str]) -> Results:
    own = measured[name][probe]
    counted = [task.name for task in main_tasks(tasks)]
    histology = [task.name for task in main_tasks(tasks) if task.histology]
    result: Results = {
        "tasks": {task.name: asdict(estimate(own[task.name])) for task in tasks},
        "mean": asdict(estimate(mean_of([own[task] for task in counted]))),
        "against": {},
    }
    for other in against:
        theirs = measured[other][probe]
        gains = {task.name: own[task.name] - theirs[task.name] for task in tasks}
        result["against"][other] = {
            "tasks": {task: asdict(estimate(gain)) for task, gain in gains.items()},
            "mean": asdict(estimate(mean_of([gains[task] for task in counted]))),
            "error_removed": asdict(_removed(own, theirs, counted)),
            "error_removed_histology": asdict(_removed(own, theirs, histology)) if histology else None,
            "worse": [task for task in counted if gains[task][0] < -WORSE],
        }
    return result


def _removed(own: Mapping[str, Samples], theirs: Mapping[str, Samples], tasks: Sequence[str]) -> Any:
    return estimate(error_removed([own[task] for task in tasks], [theirs[task] for task in tasks]))


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
