"""Streaming, scoring and choosing for any network that runs in this process.

One text is held in the cache. Every step names the whole text it continues; what the cache shares with it
is kept and the rest is read anew. So the fixed system turn is read once, successive choices read nothing
twice, and two conversations may take turns on one network without knowing of each other.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from slides.errors import UsageError

from .lookup import Lookup
from .model import Message
from .pictures import VisualTokens, with_pictures
from .tokens import Detokenizer, Tokens
from .trie import Node, common_prefix, to_decide, token_trie

if TYPE_CHECKING:
    from torch import Tensor

    from .projector import Projector

CHUNK = 64  # tokens read between two looks at `halted`: about 0.1 s on two cores


class Network(Protocol):
    """Weights and a cache of the tokens seen; see `LlamaNetwork` for shapes.

    Attributes
    ----------
    context : longest text in tokens
    length : places in the cache
    visual : numbers for visual tokens
    """

    context: int
    visual: VisualTokens

    @property
    def length(self) -> int: ...

    def extend(
        self, ids: Sequence[int], parents: Sequence[int], rows: Sequence[int], *, greedy: bool = False
    ) -> Tensor:
        """Feeds tokens that hang on the places `parents`; logits (len(rows), vocabulary) after `rows` of them.

        With `greedy` only the greatest of the logits need be right.
        """
        ...

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Forgets all but the first `length` tokens and the chain at the places `path`."""
        ...


class LocalModel:
    """A `LanguageModel` of a network and its tokens; safe to share between threads.

    Attributes
    ----------
    name : shown to the user
    sha256 : hash of the weights as published
    sees : whether it is to be given `records`, `pictures` or both
    encoder_sha256 : hash of the vision encoder whose features its projector takes, empty without one
    """

    def __init__(
        self,
        name: str,
        sha256: str,
        network: Network,
        tokens: Tokens,
        *,
        sees: Sequence[str] = ("records",),
        projector: Projector | None = None,
        encoder_sha256: str = "",
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.sees = tuple(sees)
        self.encoder_sha256 = encoder_sha256
        self._projector = projector
        self._network = network
        self._tokens = tokens
        self._cached: list[int] = []
        self._steps = 0
        self._lock = threading.Lock()

    def read(self, messages: Sequence[Message]) -> None:
        """Reads a conversation ahead, so that a question which continues it starts sooner."""
        self._read(self._prompt(messages), lambda: False)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Pieces of text as they are made; greedy at temperature 0; ends within one token of `halted()`.

        Raises `UsageError` when the conversation and its answer are longer than the model's context.
        """
        text = self._prompt(messages)
        self._check_length(len(text) + max_new_tokens)
        pieces = Detokenizer(self._tokens.text)
        pick = _picker(temperature, seed)
        for token in self._written(text, max_new_tokens, pick, halted, greedy=temperature <= 0):
            if piece := pieces.push(token):
                yield piece
        if not halted() and (piece := pieces.flush()):
            yield piece

    def score(self, messages: Sequence[Message], continuations: Sequence[str]) -> list[float]:
        """Mean log-likelihood per token of each continuation as the assistant's reply."""
        prompt = self._prompt(messages)
        replies = [self._tokens.reply(text)[0] for text in continuations]
        if not all(replies):
            raise UsageError("an empty continuation has no likelihood: leave it out")
        self._check_length(len(prompt) + max(map(len, replies), default=0))
        nodes = token_trie(replies)
        self._read_ahead(prompt, lambda: False)
        grown = self._grow(prompt, nodes, [place for place, node in enumerate(nodes) if node.children])
        totals = [0.0] * len(replies)
        for place, node in enumerate(nodes):
            for choice in node.choices:
                totals[choice] += grown.likelihoods[place]
        return [total / len(reply) for total, reply in zip(totals, replies, strict=True)]

    def choose(
        self,
        messages: Sequence[Message],
        said: str,
        wordings: Sequence[str],
        *,
        halted: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Streams the one of `wordings` that the model finds likeliest after `said`, token by token.

        Where the wordings agree the text is forced and costs nothing; where they part, the branch whose next
        token is likeliest is taken. All partings are computed in one pass over the tree of the wordings.
        """
        if not wordings:
            raise UsageError("nothing to choose from: give at least one wording")
        prompt = self._prompt(messages)
        replies, standing = zip(*(self._tokens.reply(said + wording) for wording in wordings), strict=True)
        self._check_length(len(prompt) + max(map(len, replies)))
        ends = [[place - len(said) for place in places] for places in standing]
        agreed = common_prefix(min(wordings), max(wordings))
        shared = max((end for end in ends[0] if 0 < end <= agreed), default=0)
        for piece in _pieces(wordings[0][:shared], 0, ends[0]):
            if halted():
                return
            yield piece
        chosen: int | None = 0
        if len(set(wordings)) > 1:
            chosen = self._decide(prompt, replies, halted)
        if chosen is None:
            return
        for piece in _pieces(wordings[chosen], shared, ends[chosen]):
            if halted():
                return
            yield piece

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of the conversation, those of its pictures among them where this model sees pictures."""
        if self._projector is None or not any(turn.get("pictures") for turn in messages):
            return self._tokens.prompt(messages)
        import torch

        turns: list[Message] = []
        shown: list[list[int]] = []
        for turn in messages:
            pictures = turn.get("pictures", ())
            content = with_pictures(turn["content"], [picture.mpp for picture in pictures])
            turns.append({"role": turn["role"], "content": content})
            for picture in pictures:
                with torch.inference_mode():
                    visual = self._projector(torch.from_numpy(picture.feature)[None])[0]
                shown.append(self._network.visual.numbers(visual))
        return self._tokens.prompt(turns, shown)

    def _decide(self, prompt: Sequence[int], replies: Sequence[list[int]], halted: Callable[[], bool]) -> int | None:
        """Index of the reply reached by taking the likelier branch at each parting, None when halted before."""
        trunk = common_prefix(min(replies), max(replies))
        text = [*prompt, *replies[0][:trunk]]
        nodes = token_trie([reply[trunk:] for reply in replies])
        if not self._read_ahead(text, halted):
            return None
        grown = self._grow(text, nodes, to_decide(nodes))
        place, path = 0, list[int]()
        while nodes[place].children:
            node = nodes[place]
            place = max(node.children.values(), key=grown.likelihoods.__getitem__)
            # A wording that ends where another goes on stands for every other token.
            others = 1.0 - sum(math.exp(grown.likelihoods[child]) for child in node.children.values())
            if node.ends and others > math.exp(grown.likelihoods[place]):
                return node.ends[0]
            path.append(place)
        self._settle(grown, text, nodes, path)
        return nodes[place].ends[0]

    def _written(
        self, text: list[int], length: int, pick: Callable[[Tensor], int], halted: Callable[[], bool], *, greedy: bool
    ) -> Iterator[int]:
        """Tokens that follow the text, which grows by them; several in one pass where they could be guessed."""
        lookup, end = Lookup(), len(text) + length
        while len(text) < end:
            guess = lookup.guess(text)[: end - len(text) - 1] if greedy else []
            words = self._next(text, guess, pick, halted, greedy=greedy)
            if guess:
                lookup.judged(text, len(words) - 1)
            for token in words:
                if token in self._tokens.ends or halted():
                    return
                text.append(token)
                yield token
            if not words:
                return

    def _next(
        self,
        text: Sequence[int],
        guess: Sequence[int],
        pick: Callable[[Tensor], int],
        halted: Callable[[], bool],
        *,
        greedy: bool,
    ) -> list[int]:
        """The next token, and as many more as the guess has right; none when halted before."""
        if not self._read_ahead(text, halted):
            return []
        with self._lock:
            start = self._return_to(text)
            chain = [*text[start:], *guess]
            rows = range(len(text) - start - 1, len(chain))
            after = self._network.extend(chain, _chain(start, len(chain)), rows, greedy=greedy)
            self._steps += 1
            words: list[int] = []
            for row in after:
                words.append(pick(row))
                if words != list(guess[: len(words)]):
                    break
            self._cached = [*text, *words[:-1]]
            self._network.keep(len(self._cached))
            return words

    def _read(self, text: Sequence[int], halted: Callable[[], bool], *, greedy: bool = False) -> Tensor | None:
        """Logits (vocabulary) after the text; None when halted before its end."""
        if not self._read_ahead(text, halted):
            return None
        with self._lock:
            start = self._return_to(text)
            return self._feed(text[start:], greedy=greedy)

    def _read_ahead(self, text: Sequence[int], halted: Callable[[], bool]) -> bool:
        """Reads all of the text but its last chunk; False when halted before."""
        while not halted():
            with self._lock:
                start = self._return_to(text)
                if len(text) - start <= CHUNK:
                    return True
                self._feed(text[start : start + CHUNK], greedy=True)
        return False

    def _feed(self, chain: Sequence[int], *, greedy: bool) -> Tensor:
        logits = self._network.extend(chain, _chain(len(self._cached), len(chain)), [len(chain) - 1], greedy=greedy)
        self._cached += chain
        self._steps += 1
        return logits[0]

    def _grow(self, text: Sequence[int], nodes: Sequence[Node], inner: Sequence[int]) -> _Grown:
        """Feeds what is unread of the text and a tree of continuations after it, in one pass where both are short.

        `inner` are the nodes to feed, the root and parents first.
        """
        likelihoods = [0.0] * len(nodes)
        with self._lock:
            start = self._return_to(text)
            chain = text[start:]
            places = {0: len(text) - 1}
            for first in range(0, len(inner), CHUNK):
                group = inner[first : first + CHUNK]
                ids: list[int] = []
                parents: list[int] = []
                rows: list[int] = []
                for node in group:
                    if node == 0:
                        ids += chain
                        parents += _chain(start, len(chain))
                    else:
                        places[node] = self._network.length + len(ids)
                        ids.append(nodes[node].token)
                        parents.append(places[nodes[node].parent])
                    rows.append(len(ids) - 1)
                after = self._network.extend(ids, parents, rows).log_softmax(dim=-1)
                for node, row in zip(group, after, strict=True):
                    for token, child in nodes[node].children.items():
                        likelihoods[child] = float(row[token])
            self._cached = list(text)
            self._steps += 1
            return _Grown(likelihoods, places, self._steps)

    def _settle(self, grown: _Grown, text: Sequence[int], nodes: Sequence[Node], path: Sequence[int]) -> None:
        """Keeps the taken branch in the cache, unless another conversation has used the network since."""
        with self._lock:
            if self._steps == grown.step:
                fed = [node for node in path if node in grown.places]
                self._network.keep(len(text), [grown.places[node] for node in fed])
                self._cached += [nodes[node].token for node in fed]

    def _return_to(self, text: Sequence[int]) -> int:
        """Forgets what the cache does not share with the text; how much of the text need not be read again."""
        # The last token is always read again: its logits are asked for, and they are not kept.
        start = min(common_prefix(self._cached, text), len(text) - 1)
        self._network.keep(start)
        del self._cached[start:]
        return start

    def _check_length(self, tokens: int) -> None:
        if tokens > self._network.context:
            raise UsageError(
                f"the conversation is too long for the language model ({tokens} of {self._network.context} "
                "tokens): start a new one or shorten the context"
            )


@dataclass(frozen=True, slots=True)
class _Grown:
    """Log-likelihood of each node after its parent (0 where that was not fed), and places in the cache."""

    likelihoods: list[float]
    places: dict[int, int]
    step: int


def _chain(start: int, count: int) -> list[int]:
    return list(range(start - 1, start + count - 1))


def _pieces(wording: str, start: int, ends: Sequence[int]) -> Iterator[str]:
    """The wording from `start` on, cut where its tokens end."""
    for end in (*ends, len(wording)):
        if start < end <= len(wording):
            yield wording[start:end]
            start = end


def _picker(temperature: float, seed: int) -> Callable[[Tensor], int]:
    """Greedy at temperature 0, otherwise sampling that the seed repeats."""
    if temperature <= 0:
        return lambda logits: int(logits.argmax())
    import torch

    generator = torch.Generator().manual_seed(seed)

    def sample(logits: Tensor) -> int:
        chances = (logits / temperature).softmax(dim=-1)
        return int(torch.multinomial(chances, 1, generator=generator))

    return sample
