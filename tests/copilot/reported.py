"""Reports for tests: drafted from made observations of a generated slide, with pictures, as the verb makes them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from copilot.answer import Looking, ModelCard, View
from copilot.reporting.document import Report
from copilot.reporting.make import make_report
from instruction_data.knowledge import Knowledge, load_knowledge
from slides import Region, open_slide
from vision_encoder.observation import Observation

from .observed import observation

MALIGNANT = {"malignant": 0.88, "pre-malignant": 0.11, "normal": 0.01}
MODEL = ModelCard("words", "embedded", {"encoder": "ab12", "heads": "cd34"})
NASTY = "<script>alert(1)</script> & \x00 “58 y” 漢字 ≥ |cell| **b**"


@dataclass
class MadeEye:
    """A copilot that sees what it is told, in fields of the slide at hand."""

    category: dict[str, float] = field(default_factory=lambda: dict(MALIGNANT))
    knowledge: Knowledge = field(default_factory=load_knowledge)
    card: ModelCard = MODEL

    def observe(self, view: View, *, context: str | None = None) -> Generator[Looking, None, Observation]:
        yield Looking("looking at tissue fields", 1, 1)
        whole = view.region or Region(0, 0, *view.slide.size)
        seen = observation(view.slide.name, self.category, notes=("a fold was left out",))
        placed = tuple(
            replace(item, region=whole, mpp=view.slide.mpp, fields=(Region(300 + 40 * n, 400, 224, 224),))
            for n, item in enumerate(seen.evidence)
        )
        return replace(seen, region=whole, mpp=view.slide.mpp, evidence=placed)


def report_on(
    *paths: Path, context: str | None = "colon biopsy", eye: MadeEye | None = None, mpp: float | None = None
) -> Report:
    """A draft on slides, all open at once as the verb has them."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        opened = [stack.enter_context(open_slide(path, mpp=mpp)) for path in paths]
        return make_report(
            eye or MadeEye(),
            [View(slide) for slide in opened],
            context=context,
            paths={path.name: path for path in paths},
            progress=lambda text: None,
        )
