"""Writes the embedded model's ONNX graph, once, in the user's cache: its matrices as the GGUF file packs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError
from slides.files import sha256_of

from . import packed
from .convert import (
    FIX,
    GGUF_SHA256,
    cache_folder,
    checked_gguf,
    halves,
    make_folder,
    read_facts,
    weight_name,
    write_settings,
)
from .graph import Pair
from .packed import Packed

if TYPE_CHECKING:
    from .adapter import Adapter

_FILES = (
    "graph.onnx",
    "graph.bin",
    "words.onnx",
    "words.bin",
    "embedding.safetensors",
    "config.json",
    "tokenizer.json",
)
_HASHES = "SHA256SUMS"
_LAYOUT = 2  # raised when the folder written changes


def graph_folder(adapter: Adapter | None = None) -> Path:
    """Where the graph lies, or will; the name changes with the weights and the adapter merged into them."""
    tuned = "" if adapter is None else f"-{adapter.sha256[:16]}"
    return cache_folder() / "language" / f"smollm2-135m-instruct-{GGUF_SHA256[:16]}{tuned}-onnx-{_LAYOUT}"


def is_converted(adapter: Adapter | None = None) -> bool:
    """Whether `convert_graph` has nothing to do."""
    return all((graph_folder(adapter) / name).is_file() for name in (*_FILES, _HASHES))


def is_sound(adapter: Adapter | None = None) -> bool:
    """Whether the files of the graph are those that were written, by their hashes."""
    folder = graph_folder(adapter)
    try:
        lines = (folder / _HASHES).read_text(encoding="ascii").splitlines()
        return lines == [_hash_line(folder / name) for name in _FILES]
    except (OSError, ValueError):
        return False


def _hash_line(file: Path) -> str:
    return f"{sha256_of(file)}  {file.name}"


def remove(adapter: Adapter | None = None) -> None:
    """Takes the graph away, for `convert_graph` to make it again."""
    shutil.rmtree(graph_folder(adapter), ignore_errors=True)


def convert_graph(adapter: Adapter | None = None, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Folder of the graph with its settings and tokenizer, written where it is not there yet.

    Raises `SetupError` when the weights are missing or altered, the adapter does not fit, or the cache cannot be
    written.
    """
    final = graph_folder(adapter)
    if is_converted(adapter):
        return final
    source = checked_gguf(progress)
    progress("writing the language model's graph, once")
    remove(adapter)
    make_folder(final, _HASHES, lambda scratch: _write(source, scratch, adapter))
    return final


def _write(source: Path, folder: Path, adapter: Adapter | None) -> None:
    from gguf import GGUFReader

    from .onnx_network import write_graph

    reader = GGUFReader(source)
    facts = read_facts(reader)
    write_settings(facts, folder, "float32")
    weights = _Weights(reader, facts)
    write_graph(folder, weights.matrix, weights.vector, {} if adapter is None else weights.fitting(adapter))
    (folder / _HASHES).write_text("".join(f"{_hash_line(folder / name)}\n" for name in _FILES), encoding="ascii")


class _Weights:
    """The file's weights by transformers' names."""

    def __init__(self, reader: Any, facts: dict[str, Any]) -> None:
        self._tensors = {weight_name(tensor.name): tensor for tensor in reader.tensors}
        self._heads = {
            "q_proj": facts["llama.attention.head_count"],
            "k_proj": facts["llama.attention.head_count_kv"],
        }

    def matrix(self, name: str) -> Packed:
        tensor = self._tensors[name]
        columns, rows = map(int, tensor.shape)
        read = {"Q4_1": packed.from_q4_1, "Q8_0": packed.from_q8_0}.get(tensor.tensor_type.name)
        if read is None:
            raise SetupError(f"the language model's weights are packed in an unknown way: reinstall them, {FIX}")
        found = read(tensor.data, (rows, columns))
        heads = next((count for part, count in self._heads.items() if f".{part}." in name), None)
        if heads is None:
            return found
        return packed.rows_taken(found, halves(np.arange(rows)[:, None], heads)[:, 0])

    def vector(self, name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = np.asarray(self._tensors[name].data, dtype=np.float32)
        return values

    def fitting(self, adapter: Adapter) -> dict[str, Pair]:
        """What the adapter adds; raises `SetupError` where that does not fit these weights."""
        from .adapter import low_rank, misfit

        pairs = {name: (down.numpy(), up.numpy()) for name, (down, up) in low_rank(adapter).items()}
        for name, (down, up) in pairs.items():
            tensor = self._tensors.get(name)
            if tensor is None or "layers." not in name or tuple(tensor.shape) != (down.shape[1], up.shape[0]):
                raise misfit(adapter)
        return pairs
