"""A scripted engine: the same events as the real one, at a pace the test sets, from the slide's own geometry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from copilot.answer import (
    Answer,
    Checked,
    Claim,
    Done,
    Event,
    Found,
    Looking,
    ModelCard,
    Question,
    Saying,
    Timings,
    View,
)
from slides import Evidence, Finding, Region
from vision_encoder.observation import Observation

INJECTION = '<img src=x onerror="window.broken=1"> ${window.broken=1} {{value}} <script>window.broken=1</script>'


@dataclass(frozen=True)
class Paper:
    """A draft with a title and whatever it was made from."""

    text: str

    def markdown(self) -> str:
        return self.text


@dataclass
class ScriptedEngine:
    """Looks at four fields, then says three sentences with evidence, one from knowledge, and strikes one.

    `pause` is the time between two words. After `hold` words it waits until `go` is set or it is halted, so that a
    test can look at half an answer. `asked` remembers the questions, `halted_after` how many words a halted one said.
    """

    pause: float = 0.0
    sentences: int = 1
    """How many times the sentence about glands is said."""
    hold: int | None = None
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[Question] = field(default_factory=list)
    halted_after: list[int] = field(default_factory=list)
    looked: list[tuple[str, Region | None, str | None]] = field(default_factory=list)
    """Slide, box and context of each look before a question."""

    def observe(
        self, view: View, *, context: str | None, halted: Callable[[], bool]
    ) -> Generator[Looking, None, Observation]:
        self.looked.append((view.slide.name, view.region, context))
        yield Looking("Looking at the tissue", 0, 4)
        while self.hold == -1 and not halted() and not self.go.wait(0.01):
            yield Looking("Looking at the tissue", 0, 4)
        region = view.region or view.slide.bounds
        return Observation(view.slide.name, region, view.slide.mpp, (), 0, 0, usable=True)

    def ask(self, question: Question, *, halted: Callable[[], bool], otherwise: bool = False) -> Iterator[Event]:
        self.asked.append(question)
        view = question.views[0]
        evidence = _evidence(view)
        for done in range(5):
            time.sleep(self.pause)
            yield Looking("Looking at the tissue", done, 4)
        for index, item in enumerate(evidence):
            yield Found(index, item)
        place = ("box" if view.region else "whole slide") + (" once more" if otherwise else "")
        script = [
            Claim(f"The {place} shows glandular tissue, most like colon (0.91).", "supported", (0,)),
            Claim("Nuclei are dense, about 4,210 per mm².", "supported", (1,)),
            Claim(f"You asked: {question.text} {INJECTION}", "asked"),
            *[
                Claim(f"Sentence {n} says that the glands look alike.", "supported", (2,))
                for n in range(self.sentences)
            ],
            Claim("CK20 would be expected to stain.", "knowledge", (), ("A reference, 2020, PMID 1",)),
        ]
        said: list[Claim] = []
        words = 0
        for claim in script:
            for number, word in enumerate(claim.text.split(" ")):
                while words == self.hold and not halted() and not self.go.wait(0.01):
                    pass
                if halted():
                    self.halted_after.append(words)
                    yield Done(_answer(said, evidence, stopped=True))
                    return
                yield Saying(word if number == 0 else f" {word}")
                words += 1
                time.sleep(self.pause)
            yield Checked(claim)
            said.append(claim)
        struck = Claim("Ki-67 is 40 %.", "struck", (), (), "no finding measures Ki-67 here")
        yield Checked(struck)
        yield Done(_answer([*said, struck], evidence, stopped=False))

    def suggest(
        self, views: Sequence[View], *, context: str | None, given: Sequence[str], progress: Callable[[str], None]
    ) -> Paper:
        self._work(progress)
        return Paper(f"## Tests\n\n| test | why |\n|---|---|\n| CK20 | {', '.join(given)} {INJECTION} |\n")

    def report(self, views: Sequence[View], *, context: str | None, progress: Callable[[str], None]) -> Paper:
        self._work(progress)
        return Paper(f"# Report draft\n\n- Specimen: {views[0].slide.name}\n- Context: {context or 'not stated'}\n")

    def _work(self, progress: Callable[[str], None]) -> None:
        for done in range(5):
            progress(f"Looking at the tissue {done} of 4")
            while done == self.hold and not self.go.wait(0.01):
                progress(f"Looking at the tissue {done} of 4")
            time.sleep(self.pause)


def _evidence(view: View) -> tuple[Evidence, ...]:
    slide, region = view.slide, view.region or view.slide.whole
    side = max(16, min(region.width, region.height) // 5)

    def square(column: float, row: float) -> Region:
        return Region(
            region.x + int(column * (region.width - side)), region.y + int(row * (region.height - side)), side, side
        )

    organ = Finding(
        "organ", "colon", probability=0.91, prediction_set=("colon", "small bowel"), novelty=0.42, scope="H&E",
        source="head organ",
    )  # fmt: skip
    density = Finding("nuclei_density", value=4210.0, unit="per mm²", interval=(3900.0, 4500.0), source="measured")
    tissue = Finding("tissue colon", "mucosa", probability=0.83, prediction_set=("mucosa",), source="head tissue")
    unsure = Finding("disease colon", abstained=True, reason="unlike the tissue it was calibrated on")
    return (
        Evidence(slide.name, region, 0.5, organ, (square(0.3, 0.35), square(0.6, 0.3))),
        Evidence(slide.name, region, 0.5, density, (square(0.45, 0.6),)),
        Evidence(slide.name, region, 0.5, tissue, (square(0.3, 0.35), square(0.65, 0.65))),
        Evidence(slide.name, region, 0.5, unsure),
    )


def _answer(said: Sequence[Claim], evidence: tuple[Evidence, ...], *, stopped: bool) -> Answer:
    return Answer(
        tuple(said),
        evidence,
        abstained=False,
        model=ModelCard("scripted", "scripted", {}),
        timings=Timings(0.0, 0.1, 0.2, 0.9),
        stopped=stopped,
        notes=("Looked at 4 of 12 fields.",),
    )
