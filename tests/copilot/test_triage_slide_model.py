"""A laboratory's own model of whole slides in the place of the head: its score, its hash, its doubts."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from copilot.triage.scorer import HeadScorer, joined_hash, through
from copilot.triage.slide_scorer import SlideModelScorer, load_scorer
from slides import Region, SetupError, Slide, open_slide
from tests.vision_encoder.slide_bags import RECIPE, FakeEncoder, made_bags, write_laboratory
from vision_encoder.encode_fields import Progress
from vision_encoder.look import load_eye
from vision_encoder.observation import Observation
from vision_encoder.slide_models import load_slide_model
from vision_encoder.slide_models.run import train_slide

from .observed import observation, unusable

BAGS = made_bags(8, seed=9)


class FakeEye:
    """Sees a sharp slide that its head does not settle, and the features of one of `BAGS`."""

    heads = None

    def __init__(self, bag: int, seen: Observation | None = None, encoder: Any = None) -> None:
        self.encoder = encoder or FakeEncoder()
        self._bag = BAGS.bags[bag]
        undecided = "its 90 % set holds every class, so the picture does not settle it"
        category = {"malignant": 0.4, "normal": 0.6}
        self._seen = seen or observation("a slide", category, abstained=True, reason=undecided)

    def look(self, slide: Slide) -> Generator[Progress, None, Observation]:
        yield Progress("looking", 1, 2)
        return self._seen

    def fields(self, slide: Slide) -> Generator[Progress, None, tuple[list[Region], np.ndarray]]:
        yield Progress("looking", 2, 2)
        places = [Region(int(x), int(y), 256, 256) for x, y in self._bag.coords]
        return places, self._bag.features


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_laboratory(folder, made_bags())
    (folder / "recipe.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision_encoder.slide_models.run.load_encoder", lambda _name: FakeEncoder())
        train_slide(folder / "recipe.toml", folder, folder / "out")
    return folder / "out"


def scorer(model: Path, bag: int = 0, seen: Observation | None = None) -> SlideModelScorer:
    return load_scorer(FakeEye(bag, seen), model)  # type: ignore[arg-type]


def test_the_models_probability_is_the_score_and_its_tiles_the_gallery(model: Path, generated_slide: Path) -> None:
    loaded, found = load_slide_model(model, FakeEncoder()), {}
    with open_slide(generated_slide) as slide:
        for number, bag in enumerate(BAGS.bags):
            sight = scorer(model, number).score(slide, lambda step: None)
            told = loaded.score(bag.features, bag.coords)
            assert sight.score == pytest.approx(told.first.probability("tumour"))
            best = bag.coords[int(np.argmax(told.tile_logits))]
            assert sight.fields[0] == (*map(int, best), 256, 256)
            settled = len(told.first.prediction_set) == 1
            assert (sight.uncertain is None) == settled, "the head's own doubt does not count here"
            assert sight.fingerprint == slide.fingerprint
            assert sight.profile is not None
            found[number] = sight.score
    truth = BAGS.labels["tumour"]
    positive = min(score for number, score in found.items() if truth[number])
    assert positive > max(score for number, score in found.items() if not truth[number])


def test_a_slide_that_cannot_be_scored_or_is_soft_stays_so(model: Path, generated_slide: Path) -> None:
    soft = observation("a slide", {"malignant": 0.4, "normal": 0.6}, focus="soft")
    with open_slide(generated_slide) as slide:
        sight = scorer(model, seen=unusable("a slide")).score(slide, lambda step: None)
        assert (sight.score, sight.held) == (None, "there is no tissue on this slide, only glass")
        sight = scorer(model, seen=soft).score(slide, lambda step: None)
        assert sight.uncertain == "its focus is soft"


def test_another_model_has_another_hash_and_another_encoder_is_refused(model: Path, tmp_path: Path) -> None:
    mine = scorer(model)
    assert mine.hashes["slide model"] == load_slide_model(model).sha256
    head = HeadScorer(lambda slide: FakeEye(0).look(slide), {})
    assert len({joined_hash(mine), joined_hash(head)}) == 2
    other = SimpleNamespace(name="other", sha256="0" * 64)
    with pytest.raises(SetupError, match="another encoder"):
        load_scorer(FakeEye(0, encoder=other), model)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="missing"):
        load_scorer(FakeEye(0), tmp_path)  # type: ignore[arg-type]


def test_the_fields_are_those_that_were_looked_at(generated_slide: Path) -> None:
    eye = load_eye()
    with open_slide(generated_slide) as slide:
        seen = through(eye.look(slide), lambda step: None)
        tiles, features = through(eye.fields(slide), lambda step: None)
    assert seen.gist is not None
    assert len(tiles) == seen.fields_seen == len(features)
    np.testing.assert_allclose(features.mean(axis=0), seen.gist, rtol=1e-5, atol=1e-5)
