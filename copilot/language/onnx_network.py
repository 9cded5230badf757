"""A Llama that ONNX Runtime runs on the processor from matrices of 4 bits; the same tree of text as `llama.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from .branches import Branches
from .graph import Matrix, Pair, Shape, write_llama, write_words
from .packed import Packed
from .pictures import VisualTokens

GRAPH, WORDS, EMBEDDING = "graph.onnx", "words.onnx", "embedding.safetensors"
_EMBEDDING_NAME = "model.embed_tokens.weight"
_GROWTH = 512  # tokens by which the cache grows
_FIRST = 64  # words of a rounded first choice, whose logits are then made exact
_ALONE = 2  # so many new tokens are too little work for threads that wait for each other at every matrix


def write_graph(
    folder: Path,
    matrix: Callable[[str], Matrix],
    vector: Callable[[str], NDArray[np.float32]],
    added: Mapping[str, Pair] | None = None,
) -> None:
    """Puts the graph of the Llama beside its `config.json`, with the table of embeddings; see `write_llama`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shape = Shape.of(config)
    half = np.arange(0, shape.head_width, 2, dtype=np.float32) / shape.head_width
    angles = np.float32(config["rope_parameters"]["rope_theta"]) ** -half
    turns = np.outer(np.arange(config["max_position_embeddings"], dtype=np.float32), angles)
    write_llama(folder / GRAPH, shape, matrix, vector, (np.cos(turns), np.sin(turns)), added)
    words = matrix(_EMBEDDING_NAME)
    if isinstance(words, Packed):
        write_words(folder / WORDS, words)
    whole = words.unpacked() if isinstance(words, Packed) else words
    save_file({"whole": np.ascontiguousarray(whole, dtype=np.float32)}, folder / EMBEDDING)


class OnnxNetwork:
    """A graph in a session, and the tokens seen so far.

    Attributes
    ----------
    context : longest text in tokens
    visual : numbers for visual tokens, which `extend` takes among those of words
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """`threads` None takes as many as torch has; they read, and one of them writes."""
        import onnxruntime

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.context: int = config["max_position_embeddings"]
        self.visual = VisualTokens()
        self._embedding = torch.from_numpy(load_file(folder / EMBEDDING)["whole"])
        self._shape = Shape.of(config)
        self._branches = Branches()

        def session(file: str, count: int) -> Any:
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = count
            settings.log_severity_level = 3
            provided = {"sess_options": settings, "providers": ["CPUExecutionProvider"]}
            return onnxruntime.InferenceSession(str(folder / file), **provided)

        many = threads or torch.get_num_threads()
        self._sessions = {count: session(GRAPH, count) for count in {many, 1}}
        self._most = many
        self._words = session(WORDS, 1) if (folder / WORDS).is_file() else None
        self._cache = torch.empty(0)
        self._bindings: dict[int, Any] = {}

    @property
    def length(self) -> int:
        return self._branches.length

    def extend(
        self, ids: Sequence[int], parents: Sequence[int], rows: Sequence[int], *, greedy: bool = False
    ) -> Tensor:
        """Feeds n tokens and returns the logits, float32 (len(rows), vocabulary), after the tokens `rows`."""
        total = self.length + len(ids)
        self._reserve(total)
        count = 1 if len(ids) <= _ALONE else self._most
        binding = self._bindings[count]
        depths, seen = self._branches.grow(parents)
        bias = torch.zeros(1, 1, len(ids), total)
        if seen is not None:
            bias.masked_fill_(~seen, torch.finfo(torch.float32).min)
        words = torch.tensor(ids).clamp(min=0)  # a visual token's number is negative: it is put right behind
        given = {
            "hidden": self.visual.fill(ids, self._embedding[words])[None],
            "depths": depths[None],
            "bias": bias,
            "last": torch.tensor([[total - 1]], dtype=torch.int32),
            "total": torch.tensor([total], dtype=torch.int32),
            "rows": torch.tensor(list(rows)),
        }
        for name, value in given.items():
            self._bind(binding.bind_input, name, value)
        wanted = torch.empty(1, len(rows), self._shape.width)
        self._bind(binding.bind_output, "wanted", wanted)
        self._sessions[count].run_with_iobinding(binding)
        if greedy and self._words is not None:
            return self._likeliest(self._words, wanted)
        with torch.inference_mode():
            return torch.nn.functional.linear(wanted[0], self._embedding)

    def _likeliest(self, words: Any, wanted: Tensor) -> Tensor:
        """Logits (k, vocabulary) of which those of the likeliest words are exact, the others rounded."""
        logits = torch.from_numpy(words.run(None, {"wanted": wanted.numpy()})[0][0])
        first = logits.topk(_FIRST, dim=-1).indices  # (k, first)
        exact = (self._embedding[first] @ wanted[0, :, :, None])[..., 0]
        return logits.scatter_(1, first, exact)

    def keep(self, length: int, path: Sequence[int] = ()) -> None:
        """Forgets what came after the first `length` tokens, except the chain at the cache places `path`."""
        if path:
            self._cache[..., length : length + len(path), :] = self._cache[..., list(path), :]
        self._branches.keep(length + len(path))

    def _reserve(self, tokens: int) -> None:
        capacity = self._cache.shape[-2] if self._cache.ndim == 6 else 0
        if tokens <= capacity:
            return
        shape = self._shape
        grown = torch.zeros((shape.layers, 2, 1, shape.kv_heads, -(-tokens // _GROWTH) * _GROWTH, shape.head_width))
        if capacity:
            grown[..., :capacity, :] = self._cache
        self._cache = grown
        self._bindings = {count: session.io_binding() for count, session in self._sessions.items()}
        for binding in self._bindings.values():
            for layer in range(shape.layers):
                for place, name in enumerate(("keys", "values")):
                    self._bind(binding.bind_input, f"{name}.{layer}", grown[layer, place])
                    self._bind(binding.bind_output, f"new_{name}.{layer}", grown[layer, place])

    def _bind(self, bind: Callable[..., None], name: str, value: Tensor) -> None:
        kind = {torch.float32: np.float32, torch.int64: np.int64, torch.int32: np.int32}[value.dtype]
        bind(name, "cpu", 0, kind, tuple(value.shape), value.data_ptr())
