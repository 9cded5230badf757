"""The first words of an answer, said while the slide is still being looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from slides import Evidence
from vision_encoder.observation import Observation

from .answer import Checked, Claim, Found, Question, Saying
from .check import Ground
from .language.model import LanguageModel
from .plan import Plan
from .say import opening
from .speak import speak
from .statements import Seen


class Begun:
    """Views seen so far with their evidence, and what was said of them at low power.

    The words and their order are the same whether a view is glimpsed first or known at once from memory: what is
    said at low power comes view by view, before anything else.

    Attributes
    ----------
    seen, evidence : as the answer keeps them
    claims : the sentences that were said
    said : their text
    """

    def __init__(self, question: Question, todo: Plan, language: LanguageModel, halted: Callable[[], bool]) -> None:
        self.seen: list[Seen] = []
        self.evidence: list[Evidence] = []
        self.claims: list[Claim] = []
        self.said = ""
        self._question, self._todo, self._language, self._halted = question, todo, language, halted
        self._glimpsed = 0

    def glimpsed(self, slide: str, glimpse: Sequence[Evidence]) -> Iterator[Found | Saying | Checked]:
        """The first findings of a view and the words on them; nothing for no findings."""
        if not glimpse:
            return
        for index, item in enumerate(glimpse, len(self.evidence)):
            yield Found(index, item)
        self._glimpsed = len(glimpse)
        region = glimpse[0].region
        yield from self._open(Observation(slide, region, None, tuple(glimpse), 0, 0, usable=True))

    def saw(self, observation: Observation) -> Iterator[Found | Saying | Checked]:
        """Takes in what was seen of a view; says what it shows at low power where that was not glimpsed."""
        start = len(self.evidence)
        glimpsed, self._glimpsed = self._glimpsed, 0
        for index, item in enumerate(observation.evidence[glimpsed:], start + glimpsed):
            yield Found(index, item)
        if not glimpsed:
            yield from self._open(observation)
        self.seen.append(Seen(observation, start, self._label))
        self.evidence += observation.evidence

    @property
    def _label(self) -> str:
        return f"View {len(self.seen) + 1}" if len(self._question.views) > 1 else ""

    def _open(self, observation: Observation) -> Iterator[Saying | Checked]:
        statements = opening(self._todo, Seen(observation, len(self.evidence), self._label), self._question.history)
        evidence = (*self.evidence, *observation.evidence)
        ground = Ground(evidence, (), self._question, (*(s.observation for s in self.seen), observation))
        for event in speak(statements, ground, self._language, wording="slots", halted=self._halted, said=self.said):
            if isinstance(event, Saying):
                self.said += event.text
            else:
                self.claims.append(event.claim)
            yield event
