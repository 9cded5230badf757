"""Laws of the shipped heads: they abstain off their tissue, keep their numbers, and cover what they say."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import binomtest

from slides.errors import SetupError
from vision_encoder import load_encoder
from vision_encoder.encoder import Encoder
from vision_encoder.heads import HeadSet, load_heads
from vision_encoder.negatives import KINDS, negative
from vision_encoder.reference_tiles import ReferenceTiles, load_reference_tiles, training_tiles
from vision_encoder.shipped import WEIGHTS
from vision_encoder.train_heads import head_labels

from ..conftest import ROOT, paint_tissue

RECIPE = ROOT / "recipes" / "heads.toml"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("embedded")


@pytest.fixture(scope="module")
def heads(encoder: Encoder) -> HeadSet:
    return load_heads(encoder)


@pytest.fixture(scope="module")
def settings() -> dict:
    return tomllib.loads(RECIPE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def everything(shared_data: Path, settings: dict) -> ReferenceTiles:
    return load_reference_tiles(shared_data, settings["rename"])


def speaking(heads: HeadSet, features: np.ndarray) -> list[str]:
    """Tissue heads (all but `stain`) that do not abstain."""
    findings = [reading.finding for reading in heads.read(features)]
    return [f"{f.name}: {f.label}" for f in findings if f.name != "stain" and not f.abstained]


@pytest.mark.parametrize("kind", KINDS)
def test_no_tissue_head_speaks_about_a_picture_that_is_no_histology(encoder, heads, kind: str) -> None:
    pictures = [negative(kind, np.random.default_rng([99, seed])) for seed in range(4)]
    features = encoder.encode_tiles(pictures)
    assert speaking(heads, features) == []
    for row in features:
        assert speaking(heads, row[None]) == []


@pytest.mark.parametrize("shade", [255, 243, 200, 0])
def test_no_tissue_head_speaks_about_a_blank_field(encoder, heads, shade: int) -> None:
    assert speaking(heads, encoder.encode_tiles([Image.new("RGB", (256, 256), (shade, shade, shade))])) == []


def test_every_reading_keeps_its_numbers_and_says_why_it_abstains(encoder, heads) -> None:
    tile = paint_tissue(256, 256).filter(ImageFilter.GaussianBlur(8))
    for reading in heads.read(encoder.encode_tiles([tile] * 3), mpp=0.5):
        finding = reading.finding
        shares = [share for _, share in finding.distribution]
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert finding.label == finding.distribution[0][0] == finding.prediction_set[0]
        assert finding.probability == shares[0]
        assert 0 < finding.novelty <= 1
        assert finding.abstained == (finding.reason is not None)
        assert finding.scope
        assert finding.source.startswith(f"head {finding.name}@")
        assert reading.tile_probabilities.shape == (3, len(reading.classes))
        assert reading.tile_probabilities.dtype == np.float32
        np.testing.assert_allclose(reading.tile_probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_order_of_tiles_does_not_matter(encoder, heads) -> None:
    features = encoder.encode_tiles([paint_tissue(256, 256, seed) for seed in range(5)])
    for forwards, backwards in zip(heads.read(features), heads.read(features[::-1]), strict=True):
        assert forwards.finding.probability == pytest.approx(backwards.finding.probability, abs=1e-5)
        assert forwards.finding.prediction_set == backwards.finding.prediction_set


def test_a_scale_outside_the_scope_silences_every_head(encoder, heads) -> None:
    features = encoder.encode_tiles([paint_tissue(256, 256)])
    assert all(reading.finding.abstained for reading in heads.read(features, mpp=8.0))


def test_features_of_another_length_are_refused(heads) -> None:
    with pytest.raises(ValueError, match="expected features"):
        heads.read(np.zeros((2, 7), dtype=np.float32))


def test_altered_weights_are_refused(encoder, tmp_path: Path) -> None:
    for name in ("heads.json", "heads.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    content = bytearray((tmp_path / "heads.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "heads.safetensors").write_bytes(content)
    with pytest.raises(SetupError, match="differs from its hash"):
        load_heads(encoder, tmp_path)
    with pytest.raises(SetupError, match="missing or damaged"):
        load_heads(encoder, tmp_path / "nowhere")


def test_heads_of_another_encoder_are_refused(encoder, tmp_path: Path) -> None:
    for name in ("heads.json", "heads.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    card = json.loads((tmp_path / "heads.json").read_text(encoding="utf-8"))
    card["encoder"]["sha256"] = "0" * 64
    (tmp_path / "heads.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(SetupError, match="no heads were trained"):
        load_heads(encoder, tmp_path)


def test_the_shipped_card_names_this_recipe_and_attributes_its_sources(heads) -> None:
    import hashlib

    assert heads.card["recipe_sha256"] == hashlib.sha256(RECIPE.read_bytes()).hexdigest()
    assert any("Patoloji Atlası" in line for line in heads.card["attribution"])
    assert any("Kather et al. 2019" in line for line in heads.card["attribution"])


def test_held_out_groups_are_never_trained_on(everything, shared_data, settings, heads) -> None:
    training = training_tiles(settings, shared_data)
    assert not set(training.group) & set(everything.group[everything.split == "dev"])
    assert training.permissive.all()
    assert training.sha256() == heads.card["data_sha256"]


def test_sets_cover_held_out_groups(everything, settings, encoder, heads) -> None:
    """One bag a group: the share covered is not below 0.9 by more than chance (one-sided, 1 %).

    Above 0.9 is no fault: few classes and many sure cases make sets cover more than they must.
    """
    held_out = everything.where(
        (everything.split == "dev") & everything.permissive & np.isin(everything.downsample, settings["downsamples"])
    )
    rng = np.random.default_rng(17)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(held_out.group == group))[:4] for group in sorted(set(held_out.group))]
    )
    tiles = held_out.where(chosen)
    features = encoder.encode_tiles([tiles.image(position) for position in range(len(tiles))])
    for row in settings["head"]:
        head = heads[row["name"]]
        labels = head_labels(row, tiles, head.classes)
        keys = sorted({(group, label) for group, label in zip(tiles.group, labels, strict=True) if label})
        covered = 0
        for group, label in keys:
            bag = features[(tiles.group == group) & (labels == label)]
            finding = next(r.finding for r in heads.read(bag) if r.finding.name == head.name)
            covered += label in finding.prediction_set
        test = binomtest(covered, len(keys), 0.9, alternative="less")
        assert test.pvalue > 0.01, f"{head.name}: {covered} of {len(keys)}"
