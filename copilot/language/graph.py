"""A Llama as an ONNX graph for ONNX Runtime, written node by node from our weights.

The same network as `llama.py` (sources there). Nothing is converted or traced. Matrices stay as GGUF packs them, in
steps of 4 bits, and are multiplied by the runtime's `MatMulNBits` in float32, which knows a scale for each group of
32 but no base of its own. A group's base is one number, so what all bases add is a product of low rank: with the sums
of the input's groups. What an adapter adds (LoRA, Hu et al. 2022) is of low rank as well and goes the same way, so
that a tuned model costs no more nodes and its matrices stay in 4 bits. Queries, keys and values are one product, gate
and up another: fewer, larger reads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packed import GROUP, Packed, stacked

Matrix = Packed | NDArray[np.float32]
Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
"""What an adapter adds to a matrix: down (r, in) and up (out, r)."""
_MIDDLE = 8  # what MatMulNBits takes off each step of 4 bits
_CONTRIB = "com.microsoft"
_OPSET, _IR = 21, 10


def runtime_installed() -> bool:
    """Whether ONNX Runtime and the package that writes its graphs are there, without importing them."""
    return all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime"))


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Llama, by their names in transformers' config."""

    layers: int
    heads: int
    kv_heads: int
    head_width: int
    width: int
    eps: float

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        return cls(
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["head_dim"],
            config["hidden_size"],
            config["rms_norm_eps"],
        )


def write_llama(
    file: Path,
    shape: Shape,
    matrix: Callable[[str], Matrix],
    vector: Callable[[str], NDArray[np.float32]],
    turns: tuple[NDArray[np.float32], NDArray[np.float32]],
    added: Mapping[str, Pair] | None = None,
) -> None:
    """Writes the blocks of a Llama, without its embeddings, and beside the file its weights.

    `matrix` and `vector` give weights by transformers' names, `added` what an adapter adds to them; `turns` are
    cosines and sines (positions, head width / 2). Inputs, n new tokens after t in the cache, which has room for c:

    - `hidden` float32 (1, n, width): embeddings of the tokens
    - `depths` int64 (1, n): rotary positions
    - `bias` float32 (1, 1, n, t + n): 0 where a token sees a place, as good as -inf where not
    - `last` int32 (1, 1): t + n - 1; `total` int32 (1): t + n
    - `rows` int64 (k): tokens of the n that are wanted
    - `keys.L`, `values.L` float32 (1, kv heads, c, head width), written in place to `new_keys.L`, `new_values.L`

    Output: `wanted` float32 (1, k, width), to be multiplied with the embeddings for logits.
    """
    _save(_Llama(shape, matrix, vector, added or {}).graph(turns), file)


def write_words(file: Path, words: Packed) -> None:
    """Writes the product with packed embeddings, `wanted` float32 (1, k, width) to `logits` (1, k, vocabulary).

    The input is rounded to 8 bits in groups of 32, which is four times as fast and good for a first choice of words.
    """
    from onnx import TensorProto, helper

    builder = _Nodes()
    builder.steps_times("wanted", words, "words", accuracy=4, out="logits")
    rows, columns = words.shape
    told = [
        helper.make_tensor_value_info("wanted", TensorProto.FLOAT, [1, "k", columns]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "k", rows]),
    ]
    _save(helper.make_graph(builder.nodes, "words", told[:1], told[1:], list(builder.weights.values())), file)


def _save(graph: Any, file: Path) -> None:
    import onnx

    sets = [onnx.helper.make_opsetid("", _OPSET), onnx.helper.make_opsetid(_CONTRIB, 1)]
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=_IR)
    onnx.save_model(model, file, save_as_external_data=True, location=f"{file.stem}.bin", size_threshold=256)


class _Nodes:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def steps_times(self, hidden: str, matrix: Packed, name: str, *, accuracy: int = 0, out: str = "") -> str:
        """Product with a matrix whose groups have no base: the zero of all is the middle of the steps."""
        rows, columns = matrix.shape
        steps = matrix.steps if matrix.bits == 8 else matrix.steps[..., ::2] | matrix.steps[..., 1::2] << 4
        inputs = [hidden, self.constant(f"{name}.steps", steps)]
        inputs.append(self.constant(f"{name}.scale", matrix.scale.reshape(-1)))
        settings = {"K": columns, "N": rows, "bits": matrix.bits, "block_size": GROUP, "accuracy_level": accuracy}
        return self.node("MatMulNBits", inputs, outputs=[out] if out else None, domain=_CONTRIB, **settings)

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str] | None = None, domain: str = "", **settings: Any
    ) -> str:
        """Adds a node and names its first output."""
        from onnx import helper

        made = list(outputs or [f"{kind}.{len(self.nodes)}"])
        self.nodes.append(helper.make_node(kind, list(inputs), made, domain=domain, **settings))
        return made[0]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name


class _Llama(_Nodes):
    def __init__(
        self,
        shape: Shape,
        matrix: Callable[[str], Matrix],
        vector: Callable[[str], NDArray[np.float32]],
        added: Mapping[str, Pair],
    ) -> None:
        super().__init__()
        self.shape, self.matrix, self.vector, self.added = shape, matrix, vector, added

    def graph(self, turns: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Any:
        from onnx import TensorProto, helper

        shape = self.shape
        self.constant("cosines", turns[0])
        self.constant("sines", turns[1])
        hidden = "hidden"
        for layer in range(shape.layers):
            hidden = self.block(layer, hidden)
        taken = self.node("Gather", [hidden, "rows"], axis=1)
        self.norm(taken, "model.norm.weight", out="wanted")
        real, whole, short = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
        cache = [1, shape.kv_heads, "c", shape.head_width]
        inputs: list[tuple[str, int, list[Any]]] = [
            ("hidden", real, [1, "n", shape.width]),
            ("depths", whole, [1, "n"]),
            ("bias", real, [1, 1, "n", "m"]),
            ("last", short, [1, 1]),
            ("total", short, [1]),
            ("rows", whole, ["k"]),
        ]
        outputs: list[tuple[str, int, list[Any]]] = [("wanted", real, [1, "k", shape.width])]
        for layer in range(shape.layers):
            inputs += [(f"{name}.{layer}", real, cache) for name in ("keys", "values")]
            outputs += [(f"new_{name}.{layer}", real, cache) for name in ("keys", "values")]
        told = [[helper.make_tensor_value_info(*one) for one in group] for group in (inputs, outputs)]
        return helper.make_graph(self.nodes, "llama", *told, list(self.weights.values()))

    def block(self, layer: int, hidden: str) -> str:
        """One layer, (1, n, width) → (1, n, width)."""
        shape, name = self.shape, f"model.layers.{layer}."
        inside = self.norm(hidden, name + "input_layernorm.weight")
        joined = self.linear(inside, [f"{name}self_attn.{part}_proj.weight" for part in "qkv"])
        past = [f"keys.{layer}", f"values.{layer}"]
        places = ["last", "total", "cosines", "sines", "depths", "bias"]
        seen = self.node(
            "GroupQueryAttention",
            [joined, "", "", *past, *places],
            outputs=[f"{name}seen", *(f"new_{one}" for one in past)],
            domain=_CONTRIB,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=1,
        )
        hidden = self.node("Add", [hidden, self.linear(seen, [name + "self_attn.o_proj.weight"])])
        inside = self.norm(hidden, name + "post_attention_layernorm.weight")
        both = self.linear(inside, [name + "mlp.gate_proj.weight", name + "mlp.up_proj.weight"])
        gate, up = f"{name}gate", f"{name}up"
        self.node("Split", [both], outputs=[gate, up], axis=-1, num_outputs=2)
        gate = self.node("Mul", [gate, self.node("Sigmoid", [gate])])
        return self.node("Add", [hidden, self.linear(self.node("Mul", [gate, up]), [name + "mlp.down_proj.weight"])])

    def norm(self, hidden: str, name: str, out: str = "") -> str:
        outputs = [out] if out else None
        weight = self.constant(name, self.vector(name))
        return self.node(
            "SimplifiedLayerNormalization", [hidden, weight], outputs=outputs, axis=-1, epsilon=self.shape.eps
        )

    def linear(self, hidden: str, names: Sequence[str]) -> str:
        """Product with the matrices of these names, one below the other."""
        parts = [self.matrix(name) for name in names]
        packed = [part for part in parts if isinstance(part, Packed)]
        if len(packed) == len(parts):
            matrix = stacked(packed)
            product = self.steps_times(hidden, matrix, names[0])
            pairs = [_bases(matrix)]
        else:
            whole = [part.unpacked() if isinstance(part, Packed) else part for part in parts]
            product = self.node("MatMul", [hidden, self.constant(names[0], np.concatenate(whole).T)])
            pairs = []
        heights = [part.shape[0] for part in parts]
        for place, name in enumerate(names):
            if name in self.added:
                down, up = self.added[name]
                above, below = sum(heights[:place]), sum(heights[place + 1 :])
                pairs.append((down, np.pad(up, ((above, below), (0, 0)))))
        if not pairs:
            return product
        down = np.concatenate([pair[0] for pair in pairs])  # (r, columns)
        up = np.concatenate([pair[1] for pair in pairs], axis=1)  # (rows, r)
        narrow = self.node("MatMul", [hidden, self.constant(f"{names[0]}.down", down.T)])
        return self.node("Add", [product, self.node("MatMul", [narrow, self.constant(f"{names[0]}.up", up.T)])])


def _bases(matrix: Packed) -> Pair:
    """What the bases of a matrix's groups add, as a product of low rank: sums of groups, times the bases."""
    groups = matrix.steps.shape[1]
    sums = np.repeat(np.eye(groups, dtype=np.float32), GROUP, axis=1)  # (groups, columns)
    return sums, ((_MIDDLE - matrix.zero) * matrix.scale)[..., 0]
