"""The child process: bounded, quick to start, silent about everything but one object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slides import SlideDamaged, SlideRefused, open_slide, probe


def test_the_child_imports_nothing_heavy() -> None:
    code = "import sys, slides.probe, slides.survey, slides.open; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "scipy", "skimage", "zarr", "tiffslide", "wsidicom", "gradio"} & set(modules)


def test_the_child_answers_one_object(generated_slide: Path) -> None:
    done = subprocess.run(
        probe.child_command(generated_slide),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(probe.__file__).parents[1],
    )
    assert json.loads(done.stdout) == {"conditions": []}


def test_a_child_that_crashes_stalls_or_grows_is_one_sentence(
    generated_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def child(code: str) -> None:
        monkeypatch.setattr(probe, "child_command", lambda path: [sys.executable, "-c", code])

    monkeypatch.setattr(probe, "_seen", {})
    child("import os; os.kill(os.getpid(), 11)")
    with pytest.raises(SlideDamaged, match="reader crash"):
        open_slide(generated_slide)
    monkeypatch.setattr(probe, "WALL_SECONDS", 0.5)
    child("import time; time.sleep(60)")
    with pytest.raises(SlideRefused, match="took more than"):
        open_slide(generated_slide)


def test_the_child_limits_itself() -> None:
    code = (
        "import resource, slides.probe as p; p._limit();"
        "print(*[resource.getrlimit(r)[0] for r in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, cpu, written = map(int, done.stdout.split())
    assert (memory, cpu, written) == (probe.MEMORY_LIMIT, probe.CPU_SECONDS, 0)


def test_a_look_is_remembered_until_the_file_changes(
    generated_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.tif"
    path.write_bytes(generated_slide.read_bytes())
    asked: list[Path] = []
    monkeypatch.setattr(probe, "_ask_child", lambda place: asked.append(place) or ())
    for _ in range(3):
        open_slide(path).close()
    assert len(asked) == 1
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    open_slide(path).close()
    assert len(asked) == 2
