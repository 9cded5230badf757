"""No slide's pixels are held: a hundred times the area takes no more memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .made_slides import write_slide

MOST_MORE = 150_000
"""kB; the larger slide is 7.5 GB of pixels, of which 0.4 GB are embedded."""

CHILD = """
import re, sys
from pathlib import Path
from tests.vision_encoder.fakes import ColourEncoder
from vision_encoder.embed.encode import TorchEngine
from vision_encoder.embed.run import Settings, embed_slides
encoder = ColourEncoder()
slide, out = map(Path, sys.argv[1:])
(done,) = embed_slides(encoder, [slide], out, Settings(workers=2), engine=TorchEngine(encoder))
# not getrusage: its maximum comes down from the process that started this one
print(done.tiles, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def _peak(slide: Path, out: Path) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(slide), str(out)], capture_output=True, text=True, check=True, timeout=200
    )
    tiles, kilobytes = map(int, done.stdout.split())
    return tiles, kilobytes


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    small = _peak(write_slide(tmp_path / "small.tif", 5000, tissue=0.7), tmp_path)
    large = _peak(write_slide(tmp_path / "large.tif", 50_000, tissue=0.3), tmp_path)
    assert large[0] > 7 * small[0] > 0
    assert large[1] - small[1] < MOST_MORE
