"""The engine: look, say, check, show, as one stream of events for desk, command line, batch and tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from instruction_data.knowledge import load_knowledge
from instruction_data.prompt import SYSTEM
from slides import Evidence, Region, SlideError, UsageError, open_slide
from vision_encoder.look import Eye, Progress, load_eye
from vision_encoder.memory import Memory
from vision_encoder.observation import Observation

from .answer import Answer, Claim, Done, Event, Found, Looking, ModelCard, Question, Saying, Timings, View
from .begin import Begun
from .check import Cited
from .choose import Choice
from .gather import gather
from .language.decoding import LocalModel
from .language.load import load_language
from .language.model import LanguageModel, sees
from .meaning import organs_in
from .plan import Plan, plan
from .say import compose
from .speak import Wording, speak
from .statements import Seen

if TYPE_CHECKING:
    from .report import Report
    from .test_plan import TestPlan
    from .triage.worklist import Worklist


def never() -> bool:
    """Nobody asked to stop."""
    return False


@dataclass(frozen=True, slots=True)
class Looked:
    """A question with everything that was seen for it; `cited` are statements of the tables to allow as well."""

    question: Question
    todo: Plan
    seen: Sequence[Seen]
    evidence: Sequence[Evidence]
    cited: Sequence[Cited] = ()
    begun: Begun | None = None
    """What was said of it while it was looked at, where anything was."""


class Copilot:
    """The copilot with its models loaded; `ask` may be called any number of times."""

    def __init__(
        self,
        eye: Eye,
        language: LanguageModel,
        *,
        wording: Wording = "slots",
        load_seconds: float = 0.0,
    ):
        self.eye = eye
        self.wording = wording
        self.load_seconds = load_seconds
        self.language = language
        self.knowledge = load_knowledge()

    @classmethod
    def load(
        cls,
        language: str | LanguageModel = "embedded",
        encoder: str = "embedded",
        *,
        quantise: str | None = None,
        wording: Wording = "slots",
        heads: Sequence[Path] = (),
        memory: Memory | None = None,
    ) -> Copilot:
        """A copilot with the named models, or with a language model of your own.

        `heads` are HEAD.json files of `pathcopilot adapt`; `memory` is where slides are remembered, by default in
        this process. Raises `SetupError` when weights are missing or
        altered, `UsageError` for a head that does not fit, or a language model tuned to see by another encoder.
        """
        started = time.perf_counter()
        with ThreadPoolExecutor(1, thread_name_prefix="language") as pool:  # beside the eye: both wait for the disk
            future = pool.submit(_prepared, language, quantise)
            eye = load_eye(encoder, heads, memory)
        speaker = future.result()
        if isinstance(speaker, LocalModel) and speaker.encoder_sha256 not in ("", eye.encoder.sha256):
            raise UsageError(
                f"{speaker.name} was tuned to see by another encoder than {eye.encoder.name}: give that one"
            )
        if sees(speaker, "pixels") and wording != "free":
            raise UsageError("a language model that is shown pictures writes in its own words: add --wording free")
        return cls(eye, speaker, wording=wording, load_seconds=time.perf_counter() - started)

    @property
    def card(self) -> ModelCard:
        """Which weights answer."""
        hashes = {"language": self.language.sha256, **self.eye.weights_sha256}
        return ModelCard(self.language.name, self.eye.encoder.name, hashes)

    def observe(
        self, view: View, *, context: str | None = None, halted: Callable[[], bool] = never
    ) -> Generator[Looking, None, Observation]:
        """Looks at one view, yielding progress; returns the observation. A context may state the organ."""
        looking = self._look(view, context, halted)
        while True:
            try:
                step = next(looking)
            except StopIteration as end:
                observation: Observation = end.value
                return observation
            yield Looking(step.what, step.done, step.total, step.looks)

    def _look(
        self, view: View, context: str | None, halted: Callable[[], bool]
    ) -> Generator[Progress, None, Observation]:
        stated = organs_in(context or "")
        organ = next(iter(stated)) if len(stated) == 1 else None
        return self.eye.look(view.slide, view.region, organ=organ, halted=halted)

    def ask(
        self, question: Question, *, halted: Callable[[], bool] = never, otherwise: bool = False
    ) -> Iterator[Event]:
        """The events of one answer; the last is `Done`, also after a stop.

        What a whole slide shows at low power is said before its fields are read. `otherwise` words it in the other
        of the two ways, for a person to compare.
        """
        wording: Wording = self.wording if not otherwise else "free" if self.wording == "slots" else "slots"
        clock = _Clock(self.load_seconds)
        todo = plan(question.text, views=len(question.views))
        begun = Begun(question, todo, self.language, halted)
        for view in () if todo.wants("greeting", "self") else question.views:
            looking = self._look(view, question.context, halted)
            while True:
                try:
                    step = next(looking)
                except StopIteration as end:
                    events = begun.saw(end.value)
                    break
                yield Looking(step.what, step.done, step.total, step.looks)
                for event in begun.glimpsed(view.slide.name, step.glimpse):
                    if isinstance(event, Saying):
                        clock.spoke()
                    yield event
            for event in events:
                if isinstance(event, Saying):
                    clock.spoke()
                yield event
            if halted():
                break
        clock.looked()
        looked = Looked(question, todo, begun.seen, begun.evidence, begun=begun)
        yield from self._answered(looked, self.language, wording, clock, halted)

    def answer(
        self, looked: Looked, language: LanguageModel, *, wording: Wording, halted: Callable[[], bool] = never
    ) -> Iterator[Event]:
        """The events of an answer from what was looked at already, said by a language model."""
        yield from self._answered(looked, language, wording, _Clock(self.load_seconds), halted)

    def _answered(
        self, looked: Looked, language: LanguageModel, wording: Wording, clock: _Clock, halted: Callable[[], bool]
    ) -> Iterator[Event]:
        seen = looked.seen
        material, ground, choice = gather(
            looked.question, looked.todo, seen, looked.evidence, knowledge=self.knowledge, language=self.language
        )
        ground = replace(ground, knowledge=(*ground.knowledge, *looked.cited))
        for index in range(sum(len(s.observation.evidence) for s in seen), len(ground.evidence)):
            yield Found(index, ground.evidence[index])
        claims: list[Claim] = list(looked.begun.claims) if looked.begun else []
        said = looked.begun.said if looked.begun else ""
        told = {claim.text for claim in claims}
        statements = [
            one for one in compose(looked.todo, material, looked.question.history) if told.isdisjoint(one.wordings)
        ]
        for event in speak(statements, ground, language, wording=wording, halted=halted, said=said):
            if isinstance(event, Saying):
                clock.spoke()
            else:
                claims.append(event.claim)
            yield event
        yield Done(
            Answer(
                claims=tuple(claims),
                evidence=ground.evidence,
                abstained=_abstained(seen, choice),
                model=self.card,
                timings=clock.timings(),
                choice=None if choice is None else choice.index,
                option_probabilities=None if choice is None else choice.probabilities,
                stopped=halted(),
                notes=tuple(dict.fromkeys(note for s in seen for note in s.observation.notes)),
                looks=tuple(look for s in seen for look in s.observation.looks),
                facts=tuple(statement.wordings[0] for statement in statements),
            )
        )

    def suggest(
        self,
        views: Sequence[View],
        *,
        context: str | None = None,
        given: Sequence[str] = (),
        progress: Callable[[str], None] = print,
    ) -> TestPlan:
        """Ancillary tests for what the views show, or between the candidates given."""
        from .suggest import plan_tests

        return plan_tests(self.knowledge, self._look_at(views, progress, context), context=context, given=given)

    def report(
        self, views: Sequence[View], *, context: str | None = None, progress: Callable[[str], None] = print
    ) -> Report:
        """A draft report on the views; every line names its finding or says that it was not assessed."""
        from .reporting.make import make_report

        return make_report(self, views, context=context, progress=progress)

    def triage(self, paths: Sequence[Path], *, progress: Callable[[str], None] = print) -> Worklist:
        """The slides ranked, worst first; one that cannot be read stands at the head, it is not left out."""
        from .triage.worklist import rank

        observations = []
        for number, path in enumerate(paths, 1):
            progress(f"slide {number} of {len(paths)}")
            try:
                with open_slide(path) as slide:
                    observations += self._look_at([View(slide)], progress)
            except SlideError as error:
                observations.append(Observation(path.name, Region(0, 0, 1, 1), None, (), 0, 0, False, str(error)))
        return rank(observations)

    def _look_at(
        self, views: Sequence[View], progress: Callable[[str], None], context: str | None = None
    ) -> list[Observation]:
        observations = []
        for view in views:
            looking = self.observe(view, context=context)
            while True:
                try:
                    step = next(looking)
                except StopIteration as end:
                    observations.append(end.value)
                    break
                progress(f"{step.what} {step.done} of {step.total}" if step.total else step.what)
        return observations


def _prepared(language: str | LanguageModel, quantise: str | None) -> LanguageModel:
    """The language model; a local one has read the fixed system turn before the first question comes."""
    model = load_language(language, quantise=quantise) if isinstance(language, str) else language
    if isinstance(model, LocalModel):
        model.read([{"role": "system", "content": SYSTEM}])
    return model


def _abstained(seen: Sequence[Seen], choice: Choice | None) -> bool:
    """True when no classification of any view stands (or, with options, none was chosen)."""
    if choice is not None:
        return choice.index is None
    names = ("organ", "category", "tissue", "disease")
    stands = [
        i
        for s in seen
        for i in s.observation.evidence
        if i.finding.name.split(" ")[0] in names and not i.finding.abstained
    ]
    return bool(seen) and not stands


class _Clock:
    """Seconds since the question, by phase."""

    def __init__(self, load: float):
        self.start = time.perf_counter()
        self.load = load
        self.look = 0.0
        self.first: float | None = None

    def looked(self) -> None:
        self.look = time.perf_counter() - self.start

    def spoke(self) -> None:
        self.first = self.first or time.perf_counter() - self.start

    def timings(self) -> Timings:
        return Timings(self.load, self.look, self.first or 0.0, time.perf_counter() - self.start)
