"""The copilot as builders of instruction data need it: the facts of a question, and the checker's word on an answer.

Both go the very way of a live question (`gather`, `compose`, `check_sentence`), so that what is learned is what is
met. The language model takes no part.
"""

from __future__ import annotations

from collections import OrderedDict

from instruction_data.grounding import Asked, Fact, Kind, Told
from instruction_data.knowledge import Knowledge, load_knowledge
from instruction_data.record import Record, stated
from slides import Evidence, Region
from vision_encoder.observation import Observation

from ..answer import Question, Turn
from ..certainty import certainty
from ..check import Cited, Ground, check_sentence
from ..choose import Choice
from ..gather import gather
from ..plan import plan
from ..say import HOUSE, Material, compose
from ..sentences import split_sentences
from ..statements import Seen, Statement
from ..wording import MEASURES

KINDS: dict[str, Kind] = {"focus": "focus", "tissue_share": "coverage", "resembles": "likeness", "choice": "choice"}
UNTOLD: frozenset[Kind] = frozenset({"unclassified", "limit", "unusable", "note"})
"""Facts that say what cannot be said: where one stands first, the question is not answered."""
_REMEMBERED = 64
_Gathered = tuple[Question, tuple[Seen, ...], Material, Ground, Choice | None]


class CopilotGrounding:
    """The grounding of `instruction_data.grounding`, by the copilot's own rules."""

    def __init__(self, knowledge: Knowledge | None = None) -> None:
        self.knowledge = knowledge or load_knowledge()
        self._gathered: OrderedDict[tuple[object, ...], _Gathered] = OrderedDict()

    def facts(self, asked: Asked) -> Told:
        """The statements of the answer, in order; passages that come with the question stand last."""
        question, seen, material, ground, choice = self._of(asked)
        todo = plan(question.text, views=len(seen))
        statements = compose(todo, material, question.history)
        about = {entry.text: entry.about for entry in ground.knowledge}
        found = [_fact(one, ground, seen, about) for one in statements if _stands(one, ground)]
        found += [Fact("cited", (one.text,), about=one.about) for one in asked.passages]
        nothing_taken = choice is not None and choice.index is None
        about_itself = todo.wants("greeting", "self")
        abstains = nothing_taken or (bool(found) and found[0].kind in UNTOLD and not about_itself)
        return Told(tuple(found), None if choice is None else choice.index, abstains)

    def objection(self, asked: Asked, answer: str) -> str | None:
        """The first sentence that the checker strikes, and why; None where all stand."""
        ground = self._of(asked)[3]
        for sentence in split_sentences([answer]):
            claim = check_sentence(sentence, ground)
            if claim.status == "struck":
                return f"{sentence}: {claim.reason}"
        return None

    def _of(self, asked: Asked) -> _Gathered:
        key = (
            asked.question,
            tuple(record.picture.id for record in asked.records),
            asked.context,
            asked.options,
            tuple((one.question, one.answer) for one in asked.history),
            asked.passages,
            asked.by,
        )
        if key not in self._gathered:
            self._gathered[key] = self._gather(asked)
            if len(self._gathered) > _REMEMBERED:
                self._gathered.popitem(last=False)
        return self._gathered[key]

    def _gather(self, asked: Asked) -> _Gathered:
        history = tuple(Turn(one.question, one.answer) for one in asked.history)
        question = Question(asked.question, context=asked.context, options=asked.options, history=history)
        observations = [observation(record, by_labels=asked.by == "labels") for record in asked.records]
        todo = plan(question.text, views=len(observations))
        if todo.wants("greeting", "self"):
            observations = []
        seen: list[Seen] = []
        evidence: list[Evidence] = []
        for number, one in enumerate(observations, 1):
            seen.append(Seen(one, len(evidence), f"View {number}" if len(observations) > 1 else ""))
            evidence += one.evidence
        material, ground, choice = gather(question, todo, seen, evidence, knowledge=self.knowledge, language=None)
        cited = tuple(Cited(one.text, one.source, one.about) for one in asked.passages)
        ground = Ground(ground.evidence, ground.knowledge + cited, question, ground.observations)
        return question, tuple(seen), material, ground, choice


def observation(record: Record, *, by_labels: bool = False) -> Observation:
    """What looking at the picture gave, as the engine has it; by labels, what the source states instead."""
    evidence = stated(record) if by_labels else record.evidence
    region = evidence[0].region if evidence else Region(0, 0, 1, 1)
    return Observation(
        record.picture.id,
        region,
        evidence[0].mpp if evidence else record.picture.mpp,
        evidence,
        0 if by_labels else record.fields_seen,
        0 if by_labels else record.fields_available,
        by_labels or record.usable,
        None if by_labels else record.reason,
        () if by_labels else record.notes,
    )


def _stands(statement: Statement, ground: Ground) -> bool:
    return check_sentence(statement.wordings[0], ground).status != "struck"


def _fact(statement: Statement, ground: Ground, seen: tuple[Seen, ...], about: dict[str, tuple[str, ...]]) -> Fact:
    """A statement with what a builder needs to say it otherwise."""
    text = statement.wordings[0]
    view = next((one.label for one in seen if one.label and text.startswith(f"{one.label}: ")), "")
    if statement.sources:
        kind: Kind = "limit" if statement.sources == HOUSE else "cited"
        return Fact(kind, statement.wordings, about=about.get(text, ()))
    evidence = [ground.evidence[index] for index in statement.evidence]
    finding = evidence[0].finding if len(evidence) == 1 else None
    if text.startswith("The request says"):
        return Fact("conflict", statement.wordings, finding, view)
    if text.startswith("The views "):
        return Fact("comparison", statement.wordings, None, view)
    if any(not one.observation.usable and text.endswith(_as_sentence(one.observation.reason)) for one in seen):
        return Fact("unusable", statement.wordings, finding, view)
    if finding is not None and finding.name in KINDS:
        return Fact(KINDS[finding.name], statement.wordings, finding, view)
    if finding is None or (finding.abstained and finding.label is None):
        return Fact("note" if evidence else "coverage", statement.wordings, finding, view)
    if finding.name in MEASURES:
        return Fact("measure", statement.wordings, finding, view)
    word = certainty(finding.probability or 0.0, abstained=finding.abstained)
    stands: Kind = "unclassified" if word == "not classified" else "class"
    return Fact(stands, statement.wordings, finding, view, word)


def _as_sentence(reason: str | None) -> str:
    text = (reason or "").strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
