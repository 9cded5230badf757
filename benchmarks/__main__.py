"""`make bench`: reading, encoding, answering, words; ratios within one run, absolute figures are the machine's."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import torch
from PIL import Image

from benchmarks.decoding import compare, engines, first_word, lines
from copilot import Copilot
from copilot.answer import Done, Question, View
from slides import Region, open_slide
from vision_encoder import load_encoder

ROUNDS = 5


def timed(work: Callable[[], object]) -> float:
    """Median seconds of a few rounds, after one to warm up."""
    work()
    spans = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start)
    return statistics.median(spans)


def reading(path: Path) -> str:
    """Our reads against OpenSlide's own, on the same 16 places."""
    places = [(x, y) for x in range(600, 1600, 256) for y in range(600, 1600, 256)]
    with open_slide(path) as slide, openslide.OpenSlide(str(path)) as peer:
        ours = timed(lambda: [slide.read(Region(x, y, 256, 256)) for x, y in places])
        theirs = timed(lambda: [np.asarray(peer.read_region(p, 0, (256, 256)).convert("RGB")) for p in places])
    rate, peer_rate = len(places) / ours, len(places) / theirs
    return f"reading: {rate:.0f} tiles/s, {rate / peer_rate:.2f} of openslide's own rate"


def encoding() -> str:
    """Tiles a second with one and two threads."""
    rng = np.random.default_rng(0)
    tiles = [Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)) for _ in range(16)]
    encoder = load_encoder("embedded")
    rates = {}
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rates[threads] = len(tiles) / timed(lambda: encoder.encode_tiles(tiles, mpp=0.5))
    torch.set_num_threads(before)
    return f"encoding: {rates[1]:.0f} tiles/s on one thread, {rates[2] / rates[1]:.2f} times that on two"


def answering(path: Path) -> str:
    """First word and whole answer about a box that was not looked at before, models loaded."""
    copilot = Copilot.load()
    first, whole = [], []
    with open_slide(path) as slide:
        for step in range(ROUNDS + 1):
            box = Region(500 + 37 * step, 600 + 23 * step, 1024, 768)
            for event in copilot.ask(Question(f"What is this, number {step}?", (View(slide, box),))):
                if isinstance(event, Done) and step:
                    first.append(event.answer.timings.first_token)
                    whole.append(event.answer.timings.total)
    share = statistics.median(first) / statistics.median(whole)
    return f"answering: first word after {statistics.median(first):.2f} s, {share:.0%} of the whole answer"


def main() -> None:
    """Prints one line a subject."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            from copilot.sample import bring_sample

            path = bring_sample(Path(folder))
        for line in (reading(path), encoding(), answering(path), *lines(compare(engines())), first_word()):
            print(line)
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB at most")


if __name__ == "__main__":
    main()
