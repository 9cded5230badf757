"""The Llama network of the embedded model, with a cache of keys and values that branches.

Touvron et al. 2023 (Llama): pre-norm blocks, rotary positions (Su et al. 2021), grouped-query attention
(Ainslie et al. 2023), SwiGLU (Shazeer 2020). Weights carry the names and layout of transformers'
`LlamaForCausalLM`, and the same text comes out (`tests/copilot/test_language_reference.py`).

Why not transformers here: importing its Llama costs 2–4 s and 80 MB before a weight is read, and its cache
holds one line of text. Rivalling wordings are a tree; here the whole tree is one forward pass, each shared
token computed once, under a mask that lets a token see its ancestors only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nn
from safetensors import safe_open
from torch import Tensor

from .branches import Branches
from .pictures import VisualTokens

if TYPE_CHECKING:
    from .adapter import Adapter

_GROWTH = 512  # tokens by which the cache grows


class LlamaNetwork:
    """Weights mapped from a folder of safetensors, and the tokens seen so far.

    An `adapter` is merged into the weights; those it changes are then held in memory.

    Attributes
    ----------
    context : longest text in tokens
    length : tokens in the cache
    visual : numbers for visual tokens, which `extend` takes among those of words
    """

    def __init__(self, folder: Path, adapter: Adapter | None = None) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.context: int = config["max_position_embeddings"]
        self._heads: int = config["num_attention_heads"]
        self._kv_heads: int = config["num_key_value_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._width: int = config["head_dim"]
        self._eps: float = config["rms_norm_eps"]
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            # Mapped, not copied: pages are read when first used and shared between processes.
            self._weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if adapter is not None:
            from .adapter import merge

            merge(self._weights, adapter)
        self._embedding = self._weights["model.embed_tokens.weight"]
        theta: float = config["rope_parameters"]["rope_theta"]
        angles = theta ** -(torch.arange(0, self._width, 2, dtype=torch.float32) / self._width)
        turns = torch.outer(torch.arange(self.context, dtype=torch.float32), angles).repeat(1, 2)
        self._cos, self._sin = turns.cos(), turns.sin()
        self.visual = VisualTokens()
        self._cache = torch.empty(0)
        self._branches = Branches()

    @property
    def length(self) -> int:
        return self._branches.length

    def extend(
        self, ids: Sequence[int], parents: Sequence[int], rows: Sequence[int], *, greedy: bool = False
    ) -> Tensor:
        """Feeds n tokens and returns the logits, float32 (len(rows), vocabulary), after the tokens `rows`.

        `parents` (n) are places in the cache, -1 for the first token of all. A chain has
        `range(length - 1, length + n - 1)`; siblings share a parent. `rows` count from 0 to n - 1.
        """
        start = self.length
        self._reserve(start + len(ids))
        with torch.inference_mode():
            depths, mask = self._branches.grow(parents)
            turn = self._cos[depths], self._sin[depths]  # 2 × (n, d)
            # a visual token's number is negative: some word's embedding is taken and then put right
            hidden = self.visual.fill(ids, self._embedding[torch.tensor(ids)].float())  # (n, width)
            for layer in range(self._layers):
                hidden = self._block(layer, hidden, start, turn, mask)
            wanted = self._norm(hidden[list(rows)], "model.norm.weight")  # (rows, width)
            return self._linear(wanted, "model.embed_tokens.weight").float()

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Forgets what came after the first `length` tokens, except the chain at the cache places `path`."""
        if path:
            with torch.inference_mode():
                self._cache[..., length : length + len(path), :] = self._cache[..., list(path), :]
        self._branches.keep(length + len(path))

    def _block(
        self, layer: int, hidden: Tensor, start: int, turn: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> Tensor:
        """One layer, (n, width) → (n, width)."""
        name = f"model.layers.{layer}."
        count, end = len(hidden), start + len(hidden)
        inside = self._norm(hidden, name + "input_layernorm.weight")
        attention = name + "self_attn."
        queries = self._linear(inside, attention + "q_proj.weight").view(count, self._heads, self._width)
        keys = self._linear(inside, attention + "k_proj.weight").view(count, self._kv_heads, self._width)
        values = self._linear(inside, attention + "v_proj.weight").view(count, self._kv_heads, self._width)
        cache = self._cache[layer]  # (2, kv heads, capacity, d)
        cache[0, :, start:end] = _rotate(keys, turn).transpose(0, 1)
        cache[1, :, start:end] = values.transpose(0, 1)
        seen = nn.scaled_dot_product_attention(
            _rotate(queries, turn).transpose(0, 1)[None],  # (1, heads, n, d)
            cache[0, :, :end][None],
            cache[1, :, :end][None],
            attn_mask=mask,
            enable_gqa=True,
        )[0]
        hidden = hidden + self._linear(seen.transpose(0, 1).reshape(count, -1), attention + "o_proj.weight")
        inside = self._norm(hidden, name + "post_attention_layernorm.weight")
        gate = nn.silu(self._linear(inside, name + "mlp.gate_proj.weight"))
        gate = gate * self._linear(inside, name + "mlp.up_proj.weight")
        return hidden + self._linear(gate, name + "mlp.down_proj.weight")

    def _linear(self, hidden: Tensor, name: str) -> Tensor:
        weight = self._weights[name]
        return nn.linear(hidden.to(weight.dtype), weight)

    def _norm(self, hidden: Tensor, name: str) -> Tensor:
        # The stream between blocks stays float32 at any weight precision: it is small, and rounding it costs text.
        return nn.rms_norm(hidden, (hidden.shape[-1],), self._weights[name].float(), self._eps)

    def _reserve(self, tokens: int) -> None:
        capacity = self._cache.shape[-2] if self._cache.ndim == 5 else 0
        if tokens <= capacity:
            return
        grown = torch.empty(
            (self._layers, 2, self._kv_heads, -(-tokens // _GROWTH) * _GROWTH, self._width),
            dtype=self._embedding.dtype,
        )
        if capacity:
            grown[..., :capacity, :] = self._cache
        self._cache = grown


def _rotate(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on (n, heads, d); halves of d are the real and imaginary parts."""
    cos, sin = turn
    first, second = heads.float().chunk(2, dim=-1)
    turned = heads.float() * cos[:, None] + torch.cat((-second, first), dim=-1) * sin[:, None]
    return turned.to(heads.dtype)
