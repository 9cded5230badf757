"""`python -m benchmarks.peers [SLIDE] [--environments DIR]`: tissue and coordinates beside public tools, in one run.

Each tool is installed from the package index into an environment of its own under DIR, at the version named here, and
runs in a process of its own on the same slide: tissue mask, then a grid of 256-px tiles at 0.5 µm/px, by its defaults
or the nearest to them. Told are seconds after import, processor seconds, memory at most and the number of tiles. The
work is not equal: what counts as tissue differs, as the numbers of tiles show.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 3
TORCH = "torch==2.13.0"
OPENSLIDE = ("openslide-python==1.4.7", "openslide-bin==4.0.1.2")

_MEASURE = """
import json, os, resource, sys, time
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
path = sys.argv[1]
{prepare}
start, spent = time.perf_counter(), time.process_time()
{work}
told = {{"tiles": int(tiles), "seconds": time.perf_counter() - start, "cpu": time.process_time() - spent}}
told["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool, what pip installs for it, and how it finds tissue and lays a grid.

    `prepare` is not timed; `work` ends with `tiles`, their number.
    """

    name: str
    packages: tuple[str, ...]
    prepare: str
    work: str


PEERS = (
    Peer(
        "hs2p 6.1.0",
        ("hs2p==6.1.0", *OPENSLIDE),
        "from hs2p import preprocess_slide",
        "tiles = len(preprocess_slide(image_path=path, requested_tile_size_px=256, requested_spacing_um=0.5).tiles.x)",
    ),
    Peer(
        "HistoPrep 2.0.5",
        ("histoprep==2.0.5", *OPENSLIDE),
        "from histoprep import SlideReader",
        "reader = SlideReader(path)\n"
        "_, mask = reader.get_tissue_mask()\n"
        "tiles = len(reader.get_tile_coordinates(tissue_mask=mask, width=256, max_background=0.75))",
    ),
    Peer(
        "LazySlide 0.13.0",
        ("lazyslide==0.13.0", TORCH),
        "import lazyslide as zs\nfrom wsidata import open_wsi",
        "wsi = open_wsi(path)\n"
        "zs.pp.find_tissues(wsi)\n"
        "zs.pp.tile_tissues(wsi, 256, mpp=0.5)\n"
        "tiles = len(wsi.shapes['tiles'])",
    ),
)
OURS = Peer(
    "pathcopilot",
    (),
    "from pathlib import Path\nimport scipy.ndimage, skimage.morphology\nfrom skimage.filters import threshold_otsu\n"
    "from slides import open_slide\nfrom vision_encoder.embed.plan import plan_embedding",
    "with open_slide(Path(path), probe=False) as slide:\n    tiles = len(plan_embedding(slide, 0.5).coords)",
)


def environment(peer: Peer, folder: Path) -> Path:
    """The Python of a tool's environment, made where it is not there; raises `CalledProcessError` when pip fails."""
    home = folder / peer.name.replace(" ", "-").lower()
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--no-input", *peer.packages], check=True)
        (home / "installed").write_text("\n".join(peer.packages))
    return python


def measured(python: Path, peer: Peer, slide: Path) -> dict[str, Any] | str:
    """What one process tells, or the last line of why it did not."""
    code = _MEASURE.format(prepare=peer.prepare, work=peer.work)
    done = subprocess.run([str(python), "-c", code, str(slide)], capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode or not lines:
        return lines[-1] if lines else f"ended with {done.returncode}"
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def compare(slide: Path, folder: Path, rounds: int = ROUNDS) -> list[str]:
    """A table of Markdown: medians over interleaved rounds."""
    pythons: dict[str, Path] = {OURS.name: Path(sys.executable)}
    failed: dict[str, str] = {}
    for peer in PEERS:
        try:
            pythons[peer.name] = environment(peer, folder)
        except (subprocess.CalledProcessError, OSError) as error:
            failed[peer.name] = f"not installed: {error}"
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    for _ in range(rounds):
        for peer in (OURS, *PEERS):
            if peer.name in pythons and peer.name not in failed:
                told = measured(pythons[peer.name], peer, slide)
                if isinstance(told, str):
                    failed[peer.name] = told
                else:
                    runs[peer.name].append(told)
    lines = ["| tool | tissue and grid, s | processor s | memory, MB | tiles |", "| --- | --- | --- | --- | --- |"]
    for name, told_of in runs.items():
        if name not in failed:
            seconds, cpu, mb = (statistics.median(row[key] for row in told_of) for key in ("seconds", "cpu", "mb"))
            lines.append(f"| {name} | {seconds:.2f} | {cpu:.2f} | {mb:.0f} | {told_of[0]['tiles']} |")
    lines += [f"| {name} | {why[:120]} | – | – | – |" for name, why in failed.items()]
    return lines


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", nargs="?", type=Path, help="a slide; without it one of 30,000 px is made")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "pathcopilot" / "peers")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    given.environments.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        slide = given.slide
        if slide is None:
            from tests.vision_encoder.made_slides import write_slide

            slide = Path(made, "made.tif")
            write_slide(slide, 30_000)
        print("\n".join(compare(slide, given.environments, given.rounds)))


if __name__ == "__main__":
    main()
