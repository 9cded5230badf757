"""The suites by name, the held-out pictures, and the run of some suites on a subject."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from slides.errors import UsageError

from .asking import Subject
from .bench import Bench
from .cases import Case, held_out_cases
from .results import Measured

SUITES: Mapping[str, str] = {
    "choice": "multiple_choice",
    "image": "image_dependence",
    "open": "open_questions",
    "support": "support",
    "abstention": "abstention",
    "pressure": "pressure",
    "context": "clinical_context",
    "legality": "legality",
    "several": "several",
    "magnification": "magnification",
    "paraphrase": "paraphrase",
    "injection": "injection",
}
"""By name, the module whose `measure(subject, bench)` is the suite; in the order they are run."""


def load_cases(data: Path | None) -> list[Case]:
    """The held-out pictures under the folder, or of the one found by itself; none where there is no data.

    Raises
    ------
    UsageError : a folder is named that holds no tiles
    SetupError : pyarrow is not installed
    """
    from vision_encoder.benchmark.material import find_data
    from vision_encoder.reference_tiles import load_reference_tiles

    folder = find_data(data, needed=False)
    return [] if folder is None else held_out_cases(load_reference_tiles(folder, {}))


def named_suites(names: Sequence[str]) -> list[str]:
    """The suites of those names, all where none is given; raises `UsageError` for an unknown one."""
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise UsageError(f"no suite '{unknown[0]}': there are {', '.join(SUITES)}")
    return [name for name in SUITES if not names or name in names]


def run_suites(subject: Subject, names: Sequence[str], bench: Bench) -> dict[str, tuple[Measured, float]]:
    """What each suite gives, and the seconds it took; `names` as `named_suites` gives them.

    Without held-out pictures suites about labels measure nothing, and the others ask about made pictures.
    """
    found = {}
    for name in names:
        started = time.perf_counter()
        found[name] = (suite(name)(subject, bench), time.perf_counter() - started)
    return found


def suite(name: str) -> Callable[[Subject, Bench], Measured]:
    """The function that measures a suite."""
    measure: Callable[[Subject, Bench], Measured] = import_module(f".{SUITES[name]}", __package__).measure
    return measure
