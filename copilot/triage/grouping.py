"""Slides to cases: by a table of patients, else each slide for itself; cases have pseudonyms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slides import UsageError

from ..store import Store
from .labels import Table
from .scorer import Sight


def group(
    paths: Sequence[Path], sights: Sequence[Sight], patients: Table | None, store: Store
) -> dict[str, list[Sight]]:
    """Sights by the pseudonym of their case, in the order given.

    Without a table a slide belongs to the case in which the store knows it, else it is a case by itself, named by its
    content. Raises `UsageError` for a slide that the table does not name.
    """
    known = {} if patients is None else {row.path: row.patient for row in patients.rows}
    cases: dict[str, list[Sight]] = {}
    for path, sight in zip(paths, sights, strict=True):
        patient = known.get(path.resolve())
        if patients is not None and patient is None:
            raise UsageError(f"{patients.name} does not say whose slide {sight.slide} is: add its line")
        cases.setdefault(case_of(store, sight, patient), []).append(sight)
    return cases


def case_of(store: Store, sight: Sight, patient: str | None) -> str:
    """The pseudonym of a slide's case: of its patient, else the one it is known in, of its content, of its name."""
    if patient is not None:
        return store.case_id(f"patient {patient}")
    if sight.fingerprint is None:
        return store.case_id(f"file {sight.slide}")
    return case_of_slide(store, sight.fingerprint)


def case_of_slide(store: Store, fingerprint: str) -> str:
    """The pseudonym of the case in which the store knows a slide, else of its content."""
    return store.case_of(fingerprint) or store.case_id(f"slide {fingerprint}")
