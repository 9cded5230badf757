"""What every language model is: messages in, text that streams out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    from .pictures import Picture, Pixels


class Message(TypedDict):
    """One turn of a chat, as chat templates know it; `pictures` and `pixels` only for a model that `sees` them."""

    role: Literal["system", "user", "assistant"]
    content: str
    pictures: NotRequired[Sequence[Picture]]
    pixels: NotRequired[Sequence[Pixels]]


class LanguageModel(Protocol):
    """A local chat model.

    Attributes
    ----------
    name : shown to the user, never a path
    sha256 : hash of the weights, empty when they are on a server
    """

    name: str
    sha256: str

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Pieces of text as they are made; greedy at temperature 0; ends within one token of `halted()`."""
        ...

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """Mean log-likelihood per token of each continuation as the assistant's reply."""
        ...

    def choose(
        self,
        messages: Sequence[Message],
        said: str,
        wordings: Sequence[str],
        *,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Streams the one of `wordings` that the model finds likeliest after `said`, token by token.

        Decoding is constrained to the trie of the wordings: where they agree the text is forced, where
        they part the model's likelihood decides. The pieces joined equal exactly one wording, unless halted.
        """
        ...


def sees(model: LanguageModel, what: Literal["records", "pictures", "pixels"]) -> bool:
    """Whether a model is to be given findings as text, features of pictures, or pictures themselves.

    All but tuned ones, and servers that were said to look, take findings alone.
    """
    return what in getattr(model, "sees", ("records",))
