"""The shared slides and the broken files, and writers of small files of many kinds."""

from __future__ import annotations

import csv
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class BadFiles:
    """The folder of broken files and what is expected of each."""

    folder: Path
    expected: dict[str, str]


@pytest.fixture(scope="session")
def slides_folder(shared_data: Path) -> Path:
    return shared_data / "slides"


@pytest.fixture(scope="session")
def bad_files(slides_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> BadFiles:
    """Every file that make_bad_files.py writes."""
    script = importlib.util.spec_from_file_location("make_bad_files", slides_folder / "make_bad_files.py")
    assert script is not None
    assert script.loader is not None
    module = importlib.util.module_from_spec(script)
    script.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("bad")
    umask = os.umask(0o022)
    try:
        module.write_all(folder, slides_folder)
    finally:
        os.umask(umask)
    with (slides_folder / "expected.csv").open(newline="", encoding="utf-8") as file:
        expected = {row["file"]: row["expected"] for row in csv.DictReader(file)}
    return BadFiles(folder, expected)
