"""`python -m benchmarks.decoding`: reading and writing by each engine in turn, beside what the memory allows.

Engines take turns within a round and every round has a prompt of its own, so that neither a busy machine nor a
cache of prompts flatters one of them. The ceiling of an engine is the rate at which this process reads memory,
measured in the same run over as many bytes as its weights have, divided by those bytes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Threads that wait asleep, as in the product.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from PIL import Image

from copilot.language.convert import convert
from copilot.language.decoding import LocalModel
from copilot.language.embedded import load_embedded
from copilot.language.graph import runtime_installed
from copilot.language.model import Message
from copilot.language.pictures import Picture
from copilot.language.projector import Projector
from instruction_data.prompt import SYSTEM
from vision_encoder import load_encoder

PROMPT, WRITTEN, VISUAL, ROUNDS = 300, 48, 8, 3


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to run the same model.

    Attributes
    ----------
    weights : bytes that a token reads
    run : a prompt's token numbers to seconds of reading it and seconds of each further token
    """

    name: str
    weights: int
    run: Callable[[list[int]], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Medians of one engine over the rounds."""

    read: float
    rate: float
    ceiling: float


def engines() -> list[Engine]:
    """The peers and our own, loaded."""
    found = [_transformers("float32"), _transformers("bfloat16")]
    own = load_embedded("float32")
    found.append(Engine("own, torch float32", _size(convert("float32") / "model.safetensors"), _driven(own)))
    if runtime_installed():
        from copilot.language.convert_graph import convert_graph

        packed, folder = load_embedded(engine="onnx", tuned=False), convert_graph()
        found.append(
            Engine("own, ONNX 4 bit", _size(folder / "graph.bin") + _size(folder / "words.bin"), _driven(packed))
        )
    return found


def compare(contestants: list[Engine], rounds: int = ROUNDS) -> dict[str, Pace]:
    """Each engine's pace over interleaved rounds, after one to warm up."""
    generator = torch.Generator().manual_seed(1)
    spans: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in contestants}
    for step in range(rounds + 1):
        prompt = torch.randint(100, 40000, (PROMPT,), generator=generator).tolist()
        for engine in contestants:
            span = engine.run(prompt)
            if step:
                spans[engine.name].append(span)
    paces = {}
    for engine in contestants:
        read, written = (statistics.median(part) for part in zip(*spans[engine.name], strict=True))
        paces[engine.name] = Pace(read, 1 / written, bandwidth(engine.weights) / engine.weights)
    return paces


def first_word() -> str:
    """Seconds from a picture in memory to the first word, for a prompt of `PROMPT` tokens, by engine and cache.

    Sixteen fields of a picture go through the shipped encoder and a projector of random weights to `VISUAL` tokens
    among the words: what a model tuned to see does. `kept` has read the fixed system turn at loading, as the product
    does; `anew` has read another text before.
    """
    encoder = load_encoder("embedded")
    draw = np.random.default_rng(0)
    said = []
    for engine in ("onnx", "torch") if runtime_installed() else ("torch",):
        spans: dict[str, list[float]] = {"kept": [], "anew": []}
        for step in range(2 * ROUNDS + 2):
            tiles = [Image.fromarray(draw.integers(0, 255, (256, 256, 3), dtype=np.uint8)) for _ in range(16)]
            if step == 0:
                width = encoder.encode_tiles(tiles, mpp=0.5).shape[1]
                plain = load_embedded(None if engine == "onnx" else "float32", tuned=False)
                projector = Projector(width, 256, VISUAL, 576, 0.1).eval()
                model = LocalModel("sees", "", plain._network, plain._tokens, projector=projector)
            how = "kept" if step % 2 else "anew"
            model.read([{"role": "system", "content": SYSTEM}] if step % 2 else [{"role": "user", "content": "Other."}])
            words = _long_question(model, step)
            start = time.perf_counter()
            gist = encoder.encode_tiles(tiles, mpp=0.5).mean(axis=0)
            turn: Message = {"role": "user", "content": words, "pictures": [Picture(gist, 0.5)]}
            next(model.stream([{"role": "system", "content": SYSTEM}, turn]))
            if step > 1:
                spans[how].append(time.perf_counter() - start)
        kept, anew = (statistics.median(spans[how]) for how in ("kept", "anew"))
        said.append(f"{engine} {kept:.2f} s, {anew:.2f} s where the system turn is read anew")
    return f"first word, {PROMPT} tokens with one picture of 16 fields: {'; '.join(said)}"


def _long_question(model: LocalModel, number: int) -> str:
    """A question with which the whole prompt, the picture's tokens among it, has about `PROMPT` tokens."""
    words = f"Question {number}."
    fixed: Message = {"role": "system", "content": SYSTEM}
    room = PROMPT - VISUAL - 12  # a line with the scale stands before the picture
    while len(model._tokens.prompt([fixed, {"role": "user", "content": words}])) < room:
        words += " The glands are crowded and their nuclei are dark."
    return words


def bandwidth(size: int, rounds: int = 7) -> float:
    """Bytes a second at which torch's threads read an array of `size` bytes, the best of a few rounds."""
    array = torch.ones(size // 4)
    spans = []
    for _ in range(rounds):
        start = time.perf_counter()
        array.sum()
        spans.append(time.perf_counter() - start)
    return size / min(spans)


def lines(paces: dict[str, Pace]) -> list[str]:
    """The table, a line an engine, and the rate against transformers in bfloat16."""
    said = [f"language, {PROMPT} tokens read, {WRITTEN} written after them, {torch.get_num_threads()} threads:"]
    peer = paces["transformers bfloat16"].rate
    for name, pace in paces.items():
        said.append(
            f"  {name:<22} reads in {pace.read:.2f} s, writes {pace.rate:5.1f} tokens/s: {pace.rate / peer:.2f} of "
            f"transformers bfloat16, {pace.rate / pace.ceiling:.0%} of what memory allows ({pace.ceiling:.0f})"
        )
    return said


def _transformers(precision: str) -> Engine:
    from copilot.language.hub import let_transformers_import

    let_transformers_import()
    from transformers import AutoModelForCausalLM

    folder = convert("float32" if precision == "float32" else "bfloat16")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).eval()

    def run(prompt: list[int]) -> tuple[float, float]:
        ids = torch.tensor([prompt])
        settings = {"attention_mask": torch.ones_like(ids), "do_sample": False}
        spans = []
        for count in (1, 1 + WRITTEN):
            start = time.perf_counter()
            with torch.inference_mode():
                model.generate(ids, **settings, max_new_tokens=count, min_new_tokens=count)
            spans.append(time.perf_counter() - start)
        return spans[0], (spans[1] - spans[0]) / WRITTEN

    return Engine(f"transformers {precision}", _size(folder / "model.safetensors"), run)


def _driven(model: LocalModel) -> Callable[[list[int]], tuple[float, float]]:
    """Reading and writing as the product does it, but with no end of the text."""

    def run(prompt: list[int]) -> tuple[float, float]:
        text = list(prompt)
        model._read([1], lambda: False)
        start = time.perf_counter()
        text.append(_likeliest(model, text))
        read = time.perf_counter()
        for _ in range(WRITTEN):
            text.append(_likeliest(model, text))
        return read - start, (time.perf_counter() - read) / WRITTEN

    return run


def _likeliest(model: LocalModel, text: list[int]) -> int:
    logits = model._read(text, lambda: False, greedy=True)
    assert logits is not None
    return int(logits.argmax())


def _size(file: Path) -> int:
    return file.stat().st_size


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    sys.stdout.write("\n".join([*lines(compare(engines(), rounds)), first_word()]) + "\n")


if __name__ == "__main__":
    main()
