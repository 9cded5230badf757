"""Laws of the knowledge tables: sources, ids, groups, results that are never mixed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from instruction_data.build_knowledge import TABLES_FOLDER, build, main
from instruction_data.knowledge import Knowledge, load_knowledge
from instruction_data.knowledge.checks import card, problems
from instruction_data.knowledge.pooling import Count, Spread, correlation, pool

ROOT = Path(__file__).resolve().parents[2]
NO_SPREAD = Spread(0.0, 0.0, 0)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def test_no_rule_of_the_tables_is_broken(knowledge: Knowledge) -> None:
    assert problems(knowledge) == []


def test_the_tables_reach_far_enough(knowledge: Knowledge) -> None:
    assert len(knowledge.diagnoses) >= 300
    assert len({marker for _, marker, _ in knowledge.rates}) >= 40


def test_a_checker_sees_a_figure_without_source(knowledge: Knowledge) -> None:
    key = ("COADREAD", "CDX2", "positive")
    rate = knowledge.rates[key]
    bare = type(rate)(rate.entity, rate.marker, rate.result, rate.alpha, rate.beta)
    broken = Knowledge(
        knowledge.entities,
        knowledge.markers,
        knowledge.sources,
        {**knowledge.rates, key: bare},
        knowledge.lineages,
        knowledge.rules,
        "broken",
        {},
    )
    assert any("needs a source" in line for line in problems(broken))


def test_every_figure_cites_or_says_that_it_has_no_source(knowledge: Knowledge) -> None:
    for rate in [*knowledge.rates.values(), *knowledge.lineages.values()]:
        if rate.belief is None:
            assert all(knowledge.sources[id].citation for id in rate.sources)
            assert "%" in rate.words()
        else:
            assert rate.words().endswith("no source")
            assert "%" not in rate.words()


def test_loss_is_never_pooled_with_staining(knowledge: Knowledge) -> None:
    stained = knowledge.rate("COADREAD", "CDX2", "positive")
    lost = knowledge.rate("COADREAD", "CDX2", "loss")
    assert stained is not None
    assert lost is not None
    assert (stained.positive, stained.total) == (950, 1109)
    assert (lost.positive, lost.total) == (60, 174)
    assert lost.words().startswith("loss in 34 %")


def test_beliefs_about_staining_are_turned_where_a_marker_is_read_for_loss(knowledge: Knowledge) -> None:
    retained, lost = knowledge.rate("ODG", "ATRX"), knowledge.rate("ATRT", "INI1")
    assert retained is not None
    assert lost is not None
    assert (retained.result, retained.belief) == ("loss", "mostly no")
    assert (lost.result, lost.belief) == ("loss", "mostly yes")


def test_study_groups_are_never_named_as_diagnoses(knowledge: Knowledge) -> None:
    for entity in knowledge.entities.values():
        if entity.is_group:
            for text in (entity.id, entity.name):
                found = knowledge.find_entity(text)
                assert found is None or not found.is_group
        assert not any(other.is_group for other in knowledge.lookalikes(entity.id))


def test_lookalikes_are_mutual(knowledge: Knowledge) -> None:
    for entity in knowledge.diagnoses:
        for other in knowledge.lookalikes(entity.id):
            assert entity in knowledge.lookalikes(other.id)


def test_a_relatives_figure_says_whose_it_is(knowledge: Knowledge) -> None:
    lent = knowledge.rate("LUAD", "CDX2")
    assert lent is not None
    assert (lent.entity, lent.stands_for) == ("NSCLC", "LUAD")
    own = knowledge.rate("LUAD", "CDX2", kin=False)
    assert own is not None
    assert own.lineage is not None


def test_pooling_without_spread_counts_every_case() -> None:
    alpha, beta = pool([Count(0.3, 10, (30, 30), counted=True)], NO_SPREAD)
    assert alpha == pytest.approx(3.5)
    assert beta == pytest.approx(7.5)


def test_nothing_of_ten_is_weaker_than_nothing_of_many() -> None:
    few = pool([Count(0.0, 10, (0, 0), counted=True)], Spread(0.05, 3, 1))
    many = pool([Count(0.0, 181, (0, 0), counted=True)], Spread(0.05, 3, 1))
    assert 0 < many[0] / sum(many) < few[0] / sum(few)


def test_disagreement_widens_the_beta() -> None:
    agree = [Count(0.5, 100, (50, 50), counted=True)] * 3
    apart = [Count(share, 100, (100 * share, 100 * share), counted=True) for share in (0.1, 0.5, 0.9)]
    spread = Spread(0.05, 1, 1)
    assert correlation(agree) == 0.0
    assert (correlation(apart) or 0) > 0.2
    assert sum(pool(apart, spread)) < sum(pool(agree, spread))


def test_the_recipe_gives_the_shipped_bytes(shared_data: Path) -> None:
    with (ROOT / "recipes" / "knowledge.toml").open("rb") as file:
        recipe = tomllib.load(file)
    import json

    for name, rows in build(recipe, shared_data).items():
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        assert text == (TABLES_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8"), name


def test_the_data_card_is_that_of_the_shipped_tables(knowledge: Knowledge) -> None:
    assert (ROOT / "docs" / "data_cards" / "knowledge.md").read_text(encoding="utf-8") == card(knowledge)


def test_a_wrong_data_folder_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT / "recipes" / "knowledge.toml"), "--data", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
