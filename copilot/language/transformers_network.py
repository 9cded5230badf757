"""A causal language model of transformers as a network that our decoding can drive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .pictures import VisualTokens
from .trie import common_prefix

if TYPE_CHECKING:
    from torch import Tensor


class TransformersNetwork:
    """Keys and values in a `DynamicCache`, which holds one chain of tokens: the trunk of the tree.

    Branches are walked one by one from the trunk, since masks of ancestors are not something that every
    architecture takes. Right for all of them, slower than `LlamaNetwork`'s one pass.

    Attributes
    ----------
    context : longest text in tokens
    visual : numbers for visual tokens, which `extend` takes among those of words
    """

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache

        self._model = model.eval()
        self.context: int = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
        # Without the config every layer keeps all tokens, so that any layer can be cut back;
        # windows of sliding attention are then the mask's work alone.
        self._cache = DynamicCache()
        self.visual = VisualTokens()
        self._read = 0  # tokens in the cache
        self._ids: list[int] = []
        self._parents: list[int] = []

    @property
    def length(self) -> int:
        """Places given out, those of branches included."""
        return len(self._ids)

    def extend(
        self, ids: Sequence[int], parents: Sequence[int], rows: Sequence[int], *, greedy: bool = False
    ) -> Tensor:
        """Feeds n tokens and returns the logits, float32 (len(rows), vocabulary), after the tokens `rows`."""
        import torch

        start = len(self._ids)
        self._ids += ids
        self._parents += parents
        forks = (parent + 1 for place, parent in enumerate(self._parents) if parent != place - 1)
        trunk = min(forks, default=len(self._ids))
        self._cut(trunk)
        wanted = {start + row for row in rows}
        after = self._walk(list(range(self._read, trunk)), wanted)
        for place in sorted(wanted, reverse=True):
            if place not in after:
                after |= self._walk(self._branch(place, trunk), wanted)
                self._cut(trunk)
        return torch.stack([after[start + row] for row in rows])

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Forgets what came after the first `length` tokens, except the chain at the places `path`."""
        kept = self._ids[:length] + [self._ids[place] for place in path]
        self._cut(common_prefix(kept, self._ids[: self._read]))
        self._ids = kept
        self._parents = list(range(-1, len(kept) - 1))

    def _branch(self, place: int, trunk: int) -> list[int]:
        """Places from the trunk's end to this one."""
        branch: list[int] = []
        while place >= trunk:
            branch.append(place)
            place = self._parents[place]
        return branch[::-1]

    def _walk(self, places: Sequence[int], wanted: set[int]) -> dict[int, Tensor]:
        """Reads the tokens at these places and returns the logits after those that are wanted."""
        import torch

        if not places:
            return {}
        steps = [step for step, place in enumerate(places) if place in wanted] or [len(places) - 1]
        with torch.inference_mode():
            logits = self._model(
                **self._given([self._ids[place] for place in places]),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.tensor(steps, device=self._model.device),
            ).logits[0]
        self._read += len(places)
        return {places[step]: line.float().cpu() for step, line in zip(steps, logits, strict=True)}

    def _given(self, ids: Sequence[int]) -> dict[str, Tensor]:
        """The tokens as the model takes them: by number, or by embedding where some are visual."""
        import torch

        words = torch.tensor([[max(number, 0) for number in ids]], device=self._model.device)
        if min(ids) >= 0:
            return {"input_ids": words}
        embedded = self._model.get_input_embeddings()(words)[0].clone()
        return {"inputs_embeds": self.visual.fill(ids, embedded)[None]}

    def _cut(self, length: int) -> None:
        if length < self._read:
            self._cache.crop(length - self._read)
            self._read = length
