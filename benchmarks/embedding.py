"""`python -m benchmarks.embedding [SLIDE]`: reading and embedding beside OpenSlide and a plain loop, in one run.

The slides are made of the texture of a real one: 20x (256-px tiles at 0.5 µm/px) and 40x (0.25 µm/px, read at 0.5).
*Plain loop* is what a script would do: OpenSlide's region, to RGB, the encoder in torch on all cores, 16 tiles at a
time. Arms take turns; medians over the rounds. Reading is told per second of one core, embedding per second from the
plan on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openslide
from PIL import Image
from simplejpeg import decode_jpeg

from slides import Pixels, Region, Slide, open_slide
from slides.jpeg_tiles import jpeg_tiles
from tests.vision_encoder.made_slides import write_slide
from vision_encoder import load_encoder
from vision_encoder.embed.decode import TileReader
from vision_encoder.embed.encode import Engine, tile_engine
from vision_encoder.embed.plan import BLOCK, EmbeddingPlan, plan_embedding
from vision_encoder.embed.run import Settings, embed_slide
from vision_encoder.encoder import Encoder

ROUNDS = 3
READ, ENCODED = 256, 256
"""Tiles of one round of reading, and of embedding."""
WORKERS = len(os.sched_getaffinity(0))


Arm = Callable[[], "int | tuple[int, float]"]
"""Does some tiles and says how many, and in how many seconds where not all of its time counts."""


def in_turns(arms: Mapping[str, Arm], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Tiles a second of each arm, median over the rounds, after one to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(rounds + 1):
        for name, arm in arms.items():
            start = clock()
            done = arm()
            tiles, seconds = done if isinstance(done, tuple) else (done, clock() - start)
            if round_:
                rates[name].append(tiles / seconds)
    return {name: statistics.median(values) for name, values in rates.items()}


def reading(path: Path, rounds: int) -> dict[str, float]:
    """Tiles per second of one core: OpenSlide, ours, and the bare decoding of the same tiles' bytes."""
    with open_slide(path, probe=False) as slide, openslide.OpenSlide(path) as peer:
        plan = plan_embedding(slide, 0.5)
        coords, side = plan.coords[:READ], plan.side
        reader, resampled = TileReader(path, slide, plan), TileReader(path, slide, plan, direct=False)
        stored = _stored(path, coords, side)

        def theirs() -> int:
            for x, y in coords.tolist():
                image = peer.read_region((x, y), 0, (side, side)).convert("RGB")
                np.asarray(image if side == 256 else image.resize((256, 256), Image.Resampling.BOX))
            return len(coords)

        def ours() -> int:
            return sum(len(reader.read(coords[at : at + BLOCK])) for at in range(0, len(coords), BLOCK))

        def through_slide() -> int:
            return len(resampled.read(coords))

        def bare() -> int:
            for data in stored:
                decode_jpeg(data)
            return len(coords)

        arms = {
            "openslide": theirs,
            "slide.read": through_slide,
            f"ours ({reader.decoding})": ours,
            "bare decode": bare,
        }
        try:
            return in_turns(arms, rounds, time.process_time)
        finally:
            reader.close()


def _stored(path: Path, coords: np.ndarray, side: int) -> list[bytes]:
    """Whole JPEG streams of every stored tile under the given tiles."""
    tiles = jpeg_tiles(path)
    assert tiles is not None
    level = tiles.levels[0]
    assert level is not None
    content = path.read_bytes()
    streams = []
    for x, y in coords.tolist():
        for row in range(y // 256, (y + side) // 256):
            for column in range(x // 256, (x + side) // 256):
                number = row * level.columns + column
                at = int(level.offsets[number])
                streams.append(level.head + content[at + 2 : at + int(level.counts[number])])
    tiles.close()
    return streams


def embedding(path: Path, encoder: Encoder, engines: Sequence[Engine], rounds: int) -> dict[str, float]:
    """Tiles per second: the plain loop, each engine end to end, and each engine's bare forward with all workers."""
    arms: dict[str, Arm] = {"plain loop": lambda: _plain_loop(path, encoder)}
    with open_slide(path, probe=False) as slide:
        pixels = _some_tiles(slide, plan_embedding(slide, 0.5))
    for name in engines:
        engine = tile_engine(encoder, WORKERS, name)
        arms[name] = lambda engine=engine: _whole_way(path, encoder, engine)  # type: ignore[misc]
        arms[f"{name}, forward"] = lambda engine=engine: _forward(engine, pixels)  # type: ignore[misc]
    return in_turns(arms, rounds, time.perf_counter)


def _some_tiles(slide: Slide, plan: EmbeddingPlan) -> list[Pixels]:
    return [slide.read(Region(x, y, plan.side, plan.side)) for x, y in plan.coords[:ENCODED].tolist()]


def _plain_loop(path: Path, encoder: Encoder) -> tuple[int, float]:
    with open_slide(path, probe=False) as slide, openslide.OpenSlide(path) as peer:
        coords = plan_embedding(slide, 0.5).coords.tolist()
        start = time.perf_counter()
        for at in range(0, len(coords), 16):
            places = coords[at : at + 16]
            encoder.encode_tiles([peer.read_region((x, y), 0, (256, 256)).convert("RGB") for x, y in places])
        return len(coords), time.perf_counter() - start


def _whole_way(path: Path, encoder: Encoder, engine: Any) -> tuple[int, float]:
    with tempfile.TemporaryDirectory() as out:
        settings = Settings(workers=WORKERS)
        done = embed_slide(encoder, engine, path, Path(out, "slide.h5"), settings, lambda *told: None)
        return done.tiles, done.seconds


def _forward(engine: Any, pixels: list[Pixels]) -> int:
    """Tiles already of the encoder's size, so that nothing but the network runs."""
    small = [np.asarray(Image.fromarray(tile).resize((224, 224))) for tile in pixels[:BLOCK]]
    with ThreadPoolExecutor(WORKERS) as pool:
        blocks = [pool.submit(engine.encode, small, 0.5) for _ in range(len(pixels) // BLOCK)]
        return sum(len(block.result()) for block in blocks)


def memory(folder: Path, field: Pixels) -> list[str]:
    """Peak memory of the command on slides of two sizes with about as much tissue, in processes of their own."""
    said = []
    for side, tissue in ((30_000, 0.28), (100_000, 0.084)):
        path = write_slide(folder / f"{side}.tif", side, tissue=tissue, field=field)
        start = time.perf_counter()
        command = [sys.executable, "-c", _CHILD, "embed", str(path), "--out", str(folder / "out")]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
        spent = time.perf_counter() - start
        peak = int(told[-2]) / 1e6
        said.append(f"  {side} x {side} px: {peak:.2f} GB at most; {spent:.0f} s with start and plan; {told[0]}")
    return said


_CHILD = """
import atexit, re
from pathlib import Path
# not getrusage: its maximum comes down from the process that started this one
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
from copilot.cli import main
main()
"""


def lines(rates: dict[str, float], base: str) -> list[str]:
    """One line an arm, with its rate as a multiple of the base's."""
    return [f"  {name:<22} {rate:7.1f} tiles/s, {rate / rates[base]:5.2f} of {base}" for name, rate in rates.items()]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", nargs="?", type=Path, help="a slide whose texture is used; the sample by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--engines", default="torch,onnx,openvino")
    asked = parser.parse_args()
    engines: Any = asked.engines.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.slide is None:
            from copilot.sample import bring_sample

            asked.slide = bring_sample(folder)
        with open_slide(asked.slide) as slide:
            middle = Region(slide.size.width // 2 - 512, slide.size.height // 2 - 512, 1024, 1024)
            field = slide.read(middle)
        at_20x = write_slide(folder / "20x.tif", 12_000, tissue=0.5, levels=(1, 4), field=field)
        at_40x = write_slide(folder / "40x.tif", 24_000, mpp=0.25, tissue=0.5, levels=(1, 4), field=field)
        out = sys.stdout
        for title, path in (("20x", at_20x), ("40x", at_40x)):
            out.write(f"reading {title}, per second of one core\n")
            out.write("\n".join(lines(reading(path, asked.rounds), "openslide")) + "\n")
        encoder = load_encoder("embedded")
        out.write(f"embedding 20x with {encoder.name} ({encoder.sha256[:8]}), {WORKERS} cores\n")
        rates = embedding(at_20x, encoder, engines, asked.rounds)
        out.write("\n".join(lines(rates, "plain loop")) + "\n")
        for engine in engines:
            share = rates[engine] / rates[f"{engine}, forward"]
            out.write(f"  {engine}: {share:.2f} of its forward, with decoding and file\n")
        out.write("memory\n" + "\n".join(memory(folder, field)) + "\n")


if __name__ == "__main__":
    main()
