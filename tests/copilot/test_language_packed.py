"""Packed matrices and the graph that multiplies them: the numbers of the file, the logits of the reference network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from copilot.doctor import _language_engine
from copilot.language import packed
from copilot.language.convert import convert
from copilot.language.decoding import LocalModel
from copilot.language.embedded import load_embedded
from copilot.language.graph import Pair, runtime_installed
from copilot.language.llama import LlamaNetwork
from copilot.language.model import Message
from copilot.language.packed import GROUP, Packed
from copilot.language.tokens import ChatML
from slides import SetupError

from .tiny_models import save_tiny_model

pytestmark = pytest.mark.skipif(not runtime_installed(), reason='pip install "pathcopilot[fast]"')

WIDTH, INNER, HEAD = 32, 64, 16


def drawn(rows: int, columns: int, bits: int, draw: np.random.Generator) -> Packed:
    """A random packed matrix; 8 bits are centred as GGUF's are."""
    shape = (rows, columns // GROUP, 1)
    steps = draw.integers(0, 1 << bits, (*shape[:2], GROUP), dtype=np.uint8)
    scale = draw.uniform(0.01, 0.05, shape).astype(np.float32) / (1 if bits == 4 else 16)
    zero = draw.uniform(5, 10, shape).astype(np.float32) if bits == 4 else np.full(shape, 128, np.float32)
    return Packed(steps, scale, zero, bits)


@pytest.fixture(scope="module", params=["plain", "tuned"])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of one model: its packed graph, with an adapter beside it or not, and its whole weights, merged."""
    from copilot.language.onnx_network import write_graph

    folder = save_tiny_model(tmp_path_factory.mktemp("twins") / "whole", "llama", head_width=HEAD, inner=INNER)
    draw = np.random.default_rng(3)
    weights = load_file(folder / "model.safetensors")
    matrices = {
        name: drawn(*value.shape, 8 if "embed" in name else 4, draw)
        for name, value in weights.items()
        if value.ndim == 2
    }
    added: dict[str, Pair] = {}
    if request.param == "tuned":
        for name in ("1.self_attn.q_proj", "1.self_attn.v_proj", "0.mlp.up_proj", "2.mlp.down_proj"):
            whole = f"model.layers.{name}.weight"
            rows, columns = matrices[whole].shape
            added[whole] = tuple(  # type: ignore[assignment]
                draw.normal(0, 0.2, size).astype(np.float32) for size in ((4, columns), (rows, 4))
            )
    for name, matrix in matrices.items():
        down, up = added.get(name, (np.zeros((1, matrix.shape[1])), np.zeros((matrix.shape[0], 1))))
        weights[name] = (matrix.unpacked() + up @ down).astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    graph = folder.parent / "packed"
    graph.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (graph / name).write_bytes((folder / name).read_bytes())
    write_graph(graph, matrices.__getitem__, weights.__getitem__, added)
    return graph, folder


def chain(count: int, start: int = 0) -> list[int]:
    return list(range(start - 1, start + count - 1))


def test_the_graph_gives_the_logits_of_the_whole_weights(twins: tuple[Path, Path]) -> None:
    from copilot.language.onnx_network import OnnxNetwork

    graph, whole = OnnxNetwork(twins[0]), LlamaNetwork(twins[1])
    ids = [int(number) for number in np.random.default_rng(0).integers(3, 400, 70)]
    for network in (graph, whole):
        network.extend(ids[:60], chain(60), [59])
        network.keep(50)
    tree = ([7, 8, 9, 10, 11], [49, 50, 50, 51, 52])  # two branches of one parent
    ours, theirs = (network.extend(*tree, range(5)) for network in (graph, whole))
    assert torch.allclose(ours, theirs, atol=1e-3)
    for network in (graph, whole):
        network.keep(50, [50, 52, 54])
    ours, theirs = (network.extend(ids[60:], chain(10, 53), range(10)) for network in (graph, whole))
    assert torch.allclose(ours, theirs, atol=1e-3)
    assert ours.std() > 0.1


def test_a_greedy_word_is_the_whole_weights_word(twins: tuple[Path, Path]) -> None:
    from copilot.language.onnx_network import OnnxNetwork

    graph, whole = OnnxNetwork(twins[0]), LlamaNetwork(twins[1])
    for start in range(40):
        rounded = graph.extend([3 + 7 * start], chain(1, start), [0], greedy=True)[0]
        exact = whole.extend([3 + 7 * start], chain(1, start), [0])[0]
        assert int(rounded.argmax()) == int(exact.argmax())
        assert float(rounded.max()) == pytest.approx(float(exact.max()), abs=1e-3)


@pytest.mark.parametrize(("kind", "size"), [("Q4_1", 20), ("Q8_0", 34)])
def test_unpacked_numbers_are_those_of_the_gguf_package(kind: str, size: int) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    draw = np.random.default_rng(1)
    rows, columns = 6, 96
    blocks: NDArray[np.uint8] = draw.integers(0, 256, (rows * columns // GROUP, size), dtype=np.uint8)
    blocks[:, :2] = draw.uniform(0.01, 1, (len(blocks), 1)).astype(np.float16).view(np.uint8)
    if kind == "Q4_1":
        blocks[:, 2:4] = draw.normal(0, 1, (len(blocks), 1)).astype(np.float16).view(np.uint8)
        blocks[3, :2] = 0  # a group of equal numbers
        blocks[4, :4] = 0  # a group of noughts
    read = packed.from_q4_1 if kind == "Q4_1" else packed.from_q8_0
    theirs = dequantize(blocks.reshape(rows, -1), GGMLQuantizationType[kind])
    assert np.allclose(read(blocks, (rows, columns)).unpacked(), theirs, atol=1e-5)


QUESTIONS: Sequence[list[Message]] = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Findings: nuclei 3120 per mm². Write them as a sentence."}],
]


@pytest.fixture(scope="module")
def embedded() -> tuple[LocalModel, LocalModel]:
    try:
        return load_embedded(engine="onnx", tuned=False), load_embedded("float32", tuned=False)
    except SetupError as error:
        pytest.skip(str(error))


def test_the_embedded_model_says_the_same_on_both_engines(embedded: tuple[LocalModel, LocalModel]) -> None:
    fast, reference = embedded
    for question in QUESTIONS:
        ours, theirs = ("".join(model.stream(question, max_new_tokens=12)) for model in (fast, reference))
        assert ours == theirs
    wordings = ["It favours the colon (0.91).", "Colon is favoured (0.91).", "It is most like colon (0.91)."]
    assert fast.score(QUESTIONS[0], wordings) == pytest.approx(reference.score(QUESTIONS[0], wordings), abs=1e-3)


def test_it_is_loaded_by_default_where_its_runtime_is_there(
    embedded: tuple[LocalModel, LocalModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    from copilot.language.onnx_network import OnnxNetwork

    assert isinstance(load_embedded(tuned=False)._network, OnnxNetwork)
    monkeypatch.setattr("copilot.language.embedded.runtime_installed", lambda: False)
    assert isinstance(load_embedded(tuned=False)._network, LlamaNetwork)


def test_a_damaged_graph_is_told_in_one_line(
    embedded: tuple[LocalModel, LocalModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from copilot.language.convert_graph import graph_folder

    monkeypatch.setenv("PATHCOPILOT_CACHE", str(tmp_path))
    monkeypatch.setattr("copilot.language.adapter.SHIPPED", tmp_path / "none")
    folder = graph_folder()
    folder.mkdir(parents=True)
    for name in (
        "graph.onnx",
        "graph.bin",
        "words.onnx",
        "words.bin",
        "embedding.safetensors",
        "tokenizer.json",
        "SHA256SUMS",
    ):
        (folder / name).write_bytes(b"cut short")
    (folder / "config.json").write_text(json.dumps({}))
    with pytest.raises(SetupError, match="doctor --prepare") as told:
        load_embedded(engine="onnx", tuned=False)
    assert "\n" not in str(told.value)
    assert _language_engine(prepare=False).status == "FAIL"
    assert _language_engine(prepare=True).status == "PASS"
    monkeypatch.setattr("copilot.language.embedded.runtime_installed", lambda: False)
    assert _language_engine(prepare=True).status == "WARN"


def test_its_tokens_are_those_of_the_reference(embedded: tuple[LocalModel, LocalModel]) -> None:
    from copilot.language.convert_graph import convert_graph

    ours, theirs = (ChatML(folder / "tokenizer.json") for folder in (convert_graph(), convert("float32")))
    assert ours.prompt(QUESTIONS[1]) == theirs.prompt(QUESTIONS[1])
