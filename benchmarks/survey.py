"""`python -m benchmarks.survey`: what a made slide costs before and while it is spoken of.

Tissue and grid on 30,000 x 30,000 px; embedding on 10,000 and on 100,000 px a side (peak memory); the first words on a
slide of 2,000 tiles, new and remembered. Each in a process of its own; memory is the process's own peak, libraries in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.vision_encoder.made_slides import write_slide

_PEAK = """
import json, re, sys, time
from pathlib import Path
path, out = Path(sys.argv[1]), Path(sys.argv[2])
def told(**figures):
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(json.dumps({**figures, "peak_mb": round(int(peak) / 1000)}))
"""
_TISSUE = """
from scipy import ndimage, interpolate  # loaded before the clock starts, as any second slide finds them
from skimage.filters import threshold_otsu
from slides import open_slide
from slides.grid import tile_grid
from slides.tissue import tissue_mask
with open_slide(path, probe=False) as slide:
    start, spent = time.perf_counter(), time.process_time()
    tiles = tile_grid(tissue_mask(slide), slide.bounds, 512)
    told(tiles=len(tiles), seconds=time.perf_counter() - start, cpu=time.process_time() - spent)
"""
_EMBED = """
from vision_encoder import load_encoder
from vision_encoder.embed.run import embed_slides
(done,) = embed_slides(load_encoder("embedded"), [path], out)
told(tiles=done.tiles, tiles_per_second=done.as_json()["tiles_per_second"])
"""
_WORDS = """
from copilot import Copilot
from copilot.answer import Question, Saying, View
from slides import open_slide
copilot = Copilot.load()
def words():
    with open_slide(path, probe=False) as slide:
        start, first = time.perf_counter(), None
        for event in copilot.ask(Question("Is there tumour, and where?", (View(slide),))):
            if first is None and isinstance(event, Saying):
                first = time.perf_counter() - start
        return first, event.answer
(new, answer), (known, again) = words(), words()
assert answer.text == again.text
fields = sum("spread" in look.why for look in answer.looks)
told(fields=fields, first_words=new, whole=answer.timings.total, first_words_remembered=known)
"""


def run(script: str, path: Path, out: Path) -> dict[str, Any]:
    """The figures that a script of its own process tells."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + script, str(path), str(out)], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Makes the slides, runs each part and prints a line for it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        usual = write_slide(place / "usual.tif", 30_000, mpp=0.25, tissue=0.75)
        tissue = run(_TISSUE, usual, place)
        print(
            "tissue and grid of 30,000 px: {cpu:.2f} cpu-s, {seconds:.2f} s, {tiles} tiles, {peak_mb} MB".format(
                **tissue
            )
        )
        words = run(_WORDS, usual, place)
        print(
            "first words on it: {first_words:.2f} s new, {first_words_remembered:.3f} s remembered, all of the answer "
            "{whole:.1f} s, {fields} fields, {peak_mb} MB".format(**words)
        )
        for side, share in ((10_000, 0.7), (100_000, 0.1)):
            slide = write_slide(place / f"{side}.tif", side, mpp=0.5, tissue=share)
            embed = run(_EMBED, slide, place)
            print(f"embedding {side:,} px a side: ".replace(",", " ") + "{tiles} tiles, {peak_mb} MB".format(**embed))


if __name__ == "__main__":
    main()
