"""The recipes that come along are recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from copilot.tuning.recipe import read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("tune-*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_reads_and_names_itself(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert f"recipes/{path.name}" in path.read_text()


def test_each_ablation_has_a_recipe() -> None:
    seen = {read_recipe(path).sees for path in RECIPES}
    assert {("records",), ("pictures",), ("records", "pictures")} <= seen
    assert {path.stem for path in RECIPES} >= {"tune-cpu", "tune-gpu"}
