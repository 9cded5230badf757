"""Laws of the reference atlas: it knows its own, refuses what is unlike it, and states measured agreement."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from slides.errors import SetupError
from vision_encoder import load_encoder
from vision_encoder.encoder import Encoder
from vision_encoder.heads import load_heads
from vision_encoder.negatives import KINDS, negative
from vision_encoder.projection import Projection
from vision_encoder.retrieval import Atlas, ReferenceCase, load_atlas, tile_likeness
from vision_encoder.shipped import WEIGHTS


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("embedded")


@pytest.fixture(scope="module")
def atlas(encoder: Encoder) -> Atlas:
    return load_atlas(encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_histology_resembles_nothing(encoder, atlas, kind: str) -> None:
    """Either the atlas finds it strange, or the stain is read as none, which keeps a likeness from being said."""
    features = encoder.encode_tiles([negative(kind, np.random.default_rng([99, seed])) for seed in range(4)])
    stain = load_heads(encoder)["stain"]
    read = stain.classes[int(stain.tile_probabilities(features).mean(axis=0).argmax())]
    assert atlas.nearest(features) == () or read == "not histology"


def test_a_training_case_finds_itself(encoder, atlas, shared_data: Path) -> None:
    """Tiles of a case that is in the reference are nearest to that case."""
    import tomllib

    from vision_encoder.reference_tiles import training_tiles

    from ..conftest import ROOT

    settings = tomllib.loads((ROOT / "recipes" / "atlas.toml").read_text(encoding="utf-8"))
    tiles = training_tiles(settings, shared_data)
    for title in ("Melanosis Coli", "Hodgkin lymphoma", "Pancreatic Adenocarcinoma"):
        own = np.flatnonzero((tiles.title == title) & (tiles.stain == "HE"))[:12]
        matches = atlas.nearest(encoder.encode_tiles([tiles.image(int(position)) for position in own]))
        assert matches[0].title == title
        assert [match.similarity for match in matches] == sorted((match.similarity for match in matches), reverse=True)
        assert all(0 <= match.agreement <= 1 and 0 <= match.organ_agreement <= 1 for match in matches)


def test_agreement_rises_with_likeness(atlas) -> None:
    for ranks in atlas.card["agreement"].values():
        for knots in (knots for pair in ranks for knots in pair):
            similarities, agreements = zip(*knots, strict=True)
            assert list(similarities) == sorted(similarities)
            assert list(agreements) == sorted(agreements)


def test_likeness_is_the_mean_cosine_of_the_nearest() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cases = [ReferenceCase("a", "a", "o", "c", 0, 2), ReferenceCase("b", "b", "o", "c", 2, 6)]
    found = tile_likeness(rows[6:], rows[:6], cases, neighbours=3)
    for row, likeness in zip(rows[6:], found, strict=True):
        assert likeness[0] == pytest.approx(np.mean(rows[:2] @ row), abs=1e-5)
        assert likeness[1] == pytest.approx(np.mean(np.sort(rows[2:6] @ row)[-3:]), abs=1e-5)


def test_the_atlas_holds_features_and_words_only_and_is_small(atlas) -> None:
    assert len(atlas.cases) > 60
    assert isinstance(atlas.projection, Projection)
    assert (WEIGHTS / "atlas.safetensors").stat().st_size < 3 * 2**20
    assert all(case.organ and case.category and case.stop > case.start for case in atlas.cases)


def test_an_altered_atlas_is_refused(encoder, tmp_path: Path) -> None:
    for name in ("atlas.json", "atlas.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    with (tmp_path / "atlas.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(SetupError, match="differs from its hash"):
        load_atlas(encoder, tmp_path)
