"""Saying statements through the language model, and checking every sentence before it is shown.

Two ways. `slots`: the model chooses, token by token, between wordings whose numbers, classes and sites come
from the findings; each wording has passed the checker before it is offered. `free`: the model writes in its
own words; each finished sentence is checked, a struck one is tried a second time, and what is left out or lost is
said by the plain template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from instruction_data.prompt import SYSTEM, dialogue, with_findings

from .answer import Checked, Claim, Question, Saying
from .check import Ground, check_sentence, split_sentences
from .language.model import LanguageModel, Message, sees
from .language.pictures import Picture, Pixels
from .statements import Statement

__all__ = ["SYSTEM", "Wording", "messages", "speak"]

Wording = Literal["slots", "free"]

MAX_GIVEN_UP = 3  # a model that loses the thread this often has nothing more to add
MAX_NEW_TOKENS = 220
SHOWN_PX = 768
"""Longer side of a picture that a language model is shown."""


def speak(
    statements: Sequence[Statement],
    ground: Ground,
    language: LanguageModel,
    *,
    wording: Wording,
    halted: Callable[[], bool],
    said: str = "",
) -> Iterator[Saying | Checked]:
    """Says the statements after what was `said`; text that was said always belongs to a claim that stands."""
    left = list(statements)
    if wording == "free" and left:
        if said:
            yield Saying(" ")
        covered: set[int] = set()
        told: set[str] = set()
        for event in _freely(left, ground, language, halted):
            if isinstance(event, Checked) and event.claim.status != "struck":
                covered.update(event.claim.evidence)
                told.add(event.claim.text.strip())
            yield event
        # What rests on no finding is left out only where it was said word for word.
        left = [
            s for s in left if not (covered.issuperset(s.evidence) if s.evidence else told.intersection(s.wordings))
        ]
        said = ""
    for statement in left:
        if halted():
            return
        for event in _slotted(statement, said, ground, language, halted):
            if isinstance(event, Saying):
                said += event.text
            yield event


def _slotted(
    statement: Statement,
    said: str,
    ground: Ground,
    language: LanguageModel,
    halted: Callable[[], bool],
) -> Iterator[Saying | Checked]:
    judged = {text: _judge(text, statement, ground) for text in statement.wordings}
    standing = [text for text, claim in judged.items() if claim.status != "struck"]
    if not standing:
        yield Checked(judged[statement.wordings[0]])
        return
    gap = " " if said else ""
    if len(standing) == 1:
        text = standing[0]
        yield Saying(gap + text)
    else:
        text = ""
        for piece in filter(None, language.choose(messages(ground.question), said + gap, standing, halted=halted)):
            yield Saying(piece if text else gap + piece)
            text += piece
    # A stop in mid-sentence leaves the part that was shown as its own claim: what is seen is what is kept.
    claim = judged.get(text)
    if claim is None:
        if not text:
            return
        whole = judged[next(wording for wording in standing if wording.startswith(text))]
        claim = Claim(f"{text.rstrip()} …", whole.status, whole.evidence, whole.sources)
    yield Checked(claim)


def _freely(
    statements: Sequence[Statement], ground: Ground, model: LanguageModel, halted: Callable[[], bool]
) -> Iterator[Saying | Checked]:
    """The model's own words, sentence by sentence.

    A sentence that is struck is asked for once more, with the reason; struck again it is given up, and what it
    would have said is left to the statement's template.
    """
    facts = [statement.wordings[0] for statement in statements] if sees(model, "records") else []
    shown = pictures_of(ground) if sees(model, "pictures") else []
    asked = messages(ground.question, with_findings(facts, ground.question.text), shown)
    if sees(model, "pixels") and (pixels := pixels_of(ground)):
        asked[-1]["pixels"] = pixels
    sentences = split_sentences(model.stream(asked, max_new_tokens=MAX_NEW_TOKENS, halted=halted))
    said: list[str] = []
    struck, given_up, again = 0, 0, False
    while (sentence := next(sentences, None)) is not None:
        if sentence in said:
            continue
        claim = check_sentence(sentence, ground)
        if claim.status != "struck":
            yield Saying(f" {sentence}" if said else sentence)
            said.append(sentence)
            again = False
        yield Checked(claim)
        if claim.status != "struck":
            continue
        struck += 1
        given_up += again
        if given_up >= MAX_GIVEN_UP or struck >= 2 * MAX_GIVEN_UP or halted():
            break
        if not again:
            once_more = [*asked, *_refused(said, claim)]
            sentences = split_sentences(model.stream(once_more, max_new_tokens=MAX_NEW_TOKENS, halted=halted))
        again = not again
    if said:
        yield Saying(" ")


def _refused(said: Sequence[str], claim: Claim) -> list[Message]:
    """The answer as far as it stands with the sentence that was struck, and why that must be said otherwise."""
    return [
        {"role": "assistant", "content": " ".join([*said, claim.text])},
        {
            "role": "user",
            "content": f"The last sentence cannot stand: {claim.reason}. Say it again from the findings, then go on.",
        },
    ]


def _judge(text: str, statement: Statement, ground: Ground) -> Claim:
    claim = check_sentence(text, ground)
    if claim.status == "struck":
        return claim
    return Claim(
        claim.text,
        claim.status,
        tuple(dict.fromkeys((*statement.evidence, *_of_same_slides(claim.evidence, statement.evidence, ground)))),
        tuple(dict.fromkeys((*statement.sources, *claim.sources))),
    )


def _of_same_slides(found: Sequence[int], stated: Sequence[int], ground: Ground) -> list[int]:
    """What the checker found of the slides that a statement is about: two slides may hold the same finding."""
    slides = {ground.evidence[index].slide for index in stated}
    return [index for index in found if not slides or ground.evidence[index].slide in slides]


def pictures_of(ground: Ground) -> list[Picture]:
    """What was seen of each view, for a language model that takes pictures."""
    return [Picture(one.gist, one.mpp) for one in ground.observations if one.gist is not None]


def pixels_of(ground: Ground) -> list[Pixels]:
    """The views themselves as they were looked at, small enough for a language model; unusable ones are left out."""
    shown = []
    for view, one in zip(ground.question.views, ground.observations, strict=False):
        if one.usable:
            longer = max(one.region.width, one.region.height)
            scale = max(1.0, longer / SHOWN_PX)
            size = round(one.region.width / scale), round(one.region.height / scale)
            rgb = view.slide.read_size(one.region, (max(1, size[0]), max(1, size[1])))
            shown.append(Pixels(rgb, None if view.slide.mpp is None else view.slide.mpp * scale))
    return shown


def messages(question: Question, turn: str | None = None, pictures: Sequence[Picture] = ()) -> list[Message]:
    """The conversation as the language model sees it; what the user typed stays in the user's turns.

    `turn` is the last of them, the bare question where it is None; `pictures` come with it.
    """
    earlier = [(one.question, one.answer) for one in question.history]
    turns = dialogue(earlier, question.text if turn is None else turn)
    chat: list[Message] = [{"role": one["role"], "content": one["content"]} for one in turns]
    if pictures:
        chat[-1]["pictures"] = pictures
    return chat
