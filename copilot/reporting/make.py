"""A report from slides: looked at, ordered, pictured, with the facts that its exports need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from instruction_data.knowledge import Knowledge
from slides import Slide
from vision_encoder.observation import Observation

from ..ancillary import Result
from ..answer import Looking, ModelCard, View
from ..suggest import plan_tests
from .document import Report, SlideFacts
from .draft import draft_report, in_order
from .figures import figures


class Observer(Protocol):
    """What a report needs of `copilot.Copilot`."""

    knowledge: Knowledge

    @property
    def card(self) -> ModelCard:
        """Which weights answer."""
        ...

    def observe(self, view: View, *, context: str | None) -> Looks:
        """Looks at one view, yielding progress; returns the observation."""
        ...


class Looks(Protocol):
    """A generator of progress that returns an observation."""

    def __next__(self) -> Looking:
        """The next step; `StopIteration.value` is the observation."""
        ...


def make_report(
    copilot: Observer,
    views: Sequence[View],
    *,
    context: str | None = None,
    known_results: Mapping[str, Result] | None = None,
    paths: Mapping[str, Path] | None = None,
    progress: Callable[[str], None] = print,
) -> Report:
    """A draft on the views with pictures of its evidence.

    `paths` by shown name of the slide: where given, what a DICOM slide says of itself is kept for the DICOM export.
    """
    seen = look_at(copilot, views, context=context, progress=progress)
    plan = plan_tests(copilot.knowledge, seen, context=context, known_results=known_results)
    progress("taking pictures of the evidence")
    slides = {view.slide.name: view.slide for view in views}
    facts = [_facts(slide, (paths or {}).get(name)) for name, slide in slides.items()]
    ordered = in_order(seen)
    evidence = [item for one in ordered for item in one.evidence]
    pictured = {name: slides[name] for name in dict.fromkeys(one.slide for one in ordered) if name in slides}
    return draft_report(
        seen,
        context=context,
        plan=plan,
        model=copilot.card,
        slides=facts,
        figures=figures(pictured, evidence),
        made=now(),
    )


def look_at(
    copilot: Observer, views: Sequence[View], *, context: str | None, progress: Callable[[str], None]
) -> list[Observation]:
    """One observation a view."""
    seen: list[Observation] = []
    for view in views:
        looking = copilot.observe(view, context=context)
        while True:
            try:
                step = next(looking)
            except StopIteration as end:
                seen.append(end.value)
                break
            progress(f"{step.what} {step.done} of {step.total}" if step.total else step.what)
    return seen


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _facts(slide: Slide, path: Path | None) -> SlideFacts:
    from .dicom import dicom_facts

    told = dicom_facts(path) if path is not None and (path.is_dir() or path.suffix.lower() == ".dcm") else None
    return SlideFacts(slide.name, slide.fingerprint, (slide.size.width, slide.size.height), slide.mpp, told)
