"""Eyes and language models that do each thing once: a suite asks the same thing many times.

All are deterministic (looking always, language models at temperature 0), so memory changes no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from slides import Region, Slide
from vision_encoder.look import Eye, Progress
from vision_encoder.observation import Observation

from ..language.model import LanguageModel, Message


class RememberingEye(Eye):
    """An eye that keeps every observation, also those of the remembering eye it is made from."""

    def __init__(self, eye: Eye) -> None:
        super().__init__(eye.encoder, eye.heads, eye.atlas, eye.note)
        self._kept: dict[tuple[object, ...], Observation] = eye._kept if isinstance(eye, RememberingEye) else {}

    def look(
        self,
        slide: Slide,
        region: Region | None = None,
        *,
        organ: str | None = None,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, Observation]:
        """The observation, from memory where the same content was seen at the same scale under the same name."""
        key = (slide.fingerprint, slide.name, region, slide.mpp, organ)
        if key not in self._kept:
            self._kept[key] = yield from super().look(slide, region, organ=organ, halted=halted)
        return self._kept[key]


class Through:
    """A language model that passes everything on to another."""

    def __init__(self, model: LanguageModel) -> None:
        self.name, self.sha256 = model.name, model.sha256
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._model, name)  # what it sees, and whatever else a tuned model says of itself

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[str]:
        """As the model."""
        return self._model.stream(messages, **more)

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """As the model."""
        return self._model.score(messages, continuations)

    def choose(self, messages: Sequence[Message], said: str, wordings: Sequence[str], **more: Any) -> Iterator[str]:
        """As the model."""
        return self._model.choose(messages, said, wordings, **more)


class Remembered(Through):
    """Computes each thing once; what a reader did not wait for to its end is made anew."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._said: dict[tuple[object, ...], list[str]] = {}
        self._scored: dict[tuple[object, ...], list[float]] = {}

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[str]:
        """As the model."""
        plain = {name: value for name, value in more.items() if name != "halted"}
        return self._once(("stream", _key(messages), repr(plain)), lambda: self._model.stream(messages, **more))

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """As the model."""
        key = (_key(messages), tuple(continuations))
        if key not in self._scored:
            self._scored[key] = super().score(messages, continuations)
        return self._scored[key]

    def choose(self, messages: Sequence[Message], said: str, wordings: Sequence[str], **more: Any) -> Iterator[str]:
        """As the model."""
        key = ("choose", _key(messages), said, tuple(wordings))
        return self._once(key, lambda: self._model.choose(messages, said, wordings, **more))

    def _once(self, key: tuple[object, ...], make: Callable[[], Iterator[str]]) -> Iterator[str]:
        if key not in self._said:
            pieces = []
            for piece in make():
                pieces.append(piece)
                yield piece
            self._said[key] = pieces
            return
        yield from self._said[key]


def _key(messages: Sequence[Message]) -> tuple[object, ...]:
    return tuple(
        (
            turn["role"],
            turn["content"],
            tuple((picture.feature.tobytes(), picture.mpp) for picture in turn.get("pictures", ())),
        )
        for turn in messages
    )


class FirstWording(Through):
    """Takes the plain template of equivalent wordings, and scores options as the model does."""

    def choose(self, messages: Sequence[Message], said: str, wordings: Sequence[str], **more: Any) -> Iterator[str]:
        """The first wording."""
        yield wordings[0]


class Recorded(Through):
    """Keeps what the model writes in `heard`, one text for each time it writes, before any check."""

    def __init__(self, model: LanguageModel, heard: list[str]) -> None:
        super().__init__(model)
        self._heard = heard

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[str]:
        """As the model."""
        self._heard.append("")
        for piece in super().stream(messages, **more):
            self._heard[-1] += piece
            yield piece


class Silent:
    """No language model: plain templates, every option as likely as another, nothing written."""

    name, sha256 = "none", ""

    def stream(self, messages: Sequence[Message], **more: Any) -> Iterator[str]:
        """Nothing."""
        return iter(())

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """The same for each."""
        return [0.0] * len(continuations)

    def choose(self, messages: Sequence[Message], said: str, wordings: Sequence[str], **more: Any) -> Iterator[str]:
        """The first wording."""
        yield wordings[0]
