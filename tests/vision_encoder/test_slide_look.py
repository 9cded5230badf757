"""Laws of looking at a whole slide: low power first, evidence spread over it, further looks that stop but never add."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from slides import Finding, Region, Slide
from slides.open import open_slide
from slides.tissue import tissue_mask
from tests.conftest import paint_tissue
from tests.vision_encoder.fakes import ColourEncoder, FixedAtlas, FixedHeads, FixedMatch, FixedReading
from tests.vision_encoder.made_slides import write_slide
from vision_encoder.evidence_tiles import evidence_tiles
from vision_encoder.look import Eye, Progress
from vision_encoder.low_power import scan
from vision_encoder.observation import Observation
from vision_encoder.sampling import seen_share

UNSETTLED = "its 90 % set holds every class, so the picture does not settle it"


class Process(FixedHeads):
    """Heads whose process is of a chosen label in the bag and of a chosen one in each field."""

    def __init__(self, label: str, fields: str, *, abstained: bool = False, again: str | None = None) -> None:
        super().__init__()
        self.label, self.fields, self.abstained, self.again = label, fields, abstained, again
        self.bags: list[int] = []

    def read(self, features: np.ndarray, *, mpp: float | None = None, organ: str | None = None):
        classes = ("malignant", "normal")
        probabilities = np.full((len(features), 2), 0.02, np.float32)
        probabilities[:, classes.index(self.fields)] = 0.98
        label = self.again if self.bags and self.again else self.label
        finding = Finding("category", label=label, probability=0.9, prediction_set=(label,), novelty=0.5)
        if self.abstained:
            finding = replace(finding, abstained=True, reason=UNSETTLED)
        self.bags.append(len(features))
        others = super().read(features, mpp=mpp, organ=organ)
        kept = [reading for reading in others if reading.finding.name != "category"]
        return (FixedReading(finding, probabilities, classes), *kept)


@dataclass
class Likeness(FixedAtlas):
    """Every bag resembles a case of this process."""

    category: str

    def nearest(self, features: np.ndarray, k: int = 3) -> tuple[FixedMatch, ...]:
        return (FixedMatch(category=self.category),)


def steps_and(seeing: Eye, slide: Slide, region: Region | None = None) -> tuple[list[Progress], Observation]:
    looking, steps = seeing.look(slide, region), []
    while True:
        try:
            steps.append(next(looking))
        except StopIteration as end:
            return steps, end.value


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory):
    path = write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", 8192, mpp=0.25, tissue=0.8)
    with open_slide(path) as opened:
        yield opened


def test_low_power_comes_before_any_field_and_stands_at_once(slide: Slide) -> None:
    steps, seen = steps_and(Eye(ColourEncoder(), FixedHeads(), FixedAtlas()), slide)
    looked = [look for step in steps for look in step.looks]
    assert looked[0].region == slide.bounds
    assert all(look.region.area < slide.bounds.area / 20 for look in looked[1:])
    (glimpse,) = [step.glimpse for step in steps if step.glimpse]
    assert seen.evidence[: len(glimpse)] == glimpse
    first = next(step for step in steps if step.looks)
    assert first.glimpse == glimpse


def test_every_look_is_logged_with_its_scale_and_reason(slide: Slide) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), Process("normal", "normal", abstained=True), None), slide)
    by_why = {look.why: look for look in seen.looks}
    assert set(by_why) == {
        "overview of the whole slide at low power", "spread over the tissue", "closer: the process is not settled",
        "nuclei measured",
    }  # fmt: skip
    assert by_why["spread over the tissue"].mpp == 0.5
    assert by_why["closer: the process is not settled"].mpp == 0.25
    assert sum(look.why == "spread over the tissue" for look in seen.looks) == seen.fields_seen
    assert all(slide.whole.contains(look.region) for look in seen.looks)


def test_a_box_is_no_slide(slide: Slide) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), FixedHeads(), None), slide, Region(3000, 3000, 1024, 1024))
    assert seen.find("tissue_pieces") is None
    assert seen.find("suspicious_fields") is None
    share = seen.find("seen_share")
    assert share is None or share.finding.value == pytest.approx(1.0)


def test_the_share_seen_is_exact(slide: Slide) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), FixedHeads(), None), slide)
    mask = tissue_mask(slide)
    tiles = [look.region for look in seen.looks if look.why == "spread over the tissue"]
    by_hand = sum(mask.share(tile) * tile.area for tile in tiles) / mask.area
    found = seen.find("seen_share")
    assert found is not None
    assert found.finding.value == pytest.approx(by_hand, rel=1e-9)
    assert 0 < by_hand < 1
    assert seen_share(mask, [slide.whole]) == pytest.approx(1.0)
    assert seen_share(mask, [*tiles, *tiles]) == pytest.approx(by_hand)


def test_a_settled_process_gets_no_second_look(slide: Slide) -> None:
    heads = Process("malignant", "malignant")
    _, seen = steps_and(Eye(ColourEncoder(), heads, Likeness("malignant")), slide)
    assert heads.bags == [seen.fields_seen]
    assert seen.find("closer_look") is None
    process = seen.find("category")
    assert process is not None
    assert not process.finding.abstained


def test_an_unsettled_process_is_read_again_and_stays_unsettled(slide: Slide) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), Process("normal", "normal", abstained=True), None), slide)
    again, process = seen.find("closer_look"), seen.find("category")
    assert again is not None
    assert process is not None
    assert again.mpp == 0.25
    assert process.finding.abstained
    assert process.finding.reason == UNSETTLED


@pytest.mark.parametrize(
    ("heads", "atlas", "said"),
    [
        (Process("normal", "malignant"), None, "fields read alone are malignant"),
        (Process("malignant", "malignant"), Likeness("normal"), "the nearest reference case is normal"),
    ],
)
def test_readings_that_disagree_stop_the_process_and_say_so(slide: Slide, heads, atlas, said: str) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), heads, atlas), slide)
    process = seen.find("category")
    assert process is not None
    assert process.finding.abstained
    assert said in str(process.finding.reason)
    assert process.finding.probability == 0.9, "figures are kept"


def test_normal_fields_do_not_contradict_a_malignant_slide(slide: Slide) -> None:
    _, seen = steps_and(Eye(ColourEncoder(), Process("malignant", "normal"), None), slide)
    process = seen.find("category")
    assert process is not None
    assert not process.finding.abstained


def test_on_another_stain_nothing_serious_is_looked_for(slide: Slide) -> None:
    heads = Process("normal", "malignant", abstained=True)
    heads.stain = "IHC"
    _, seen = steps_and(Eye(ColourEncoder(), heads, None), slide)
    assert seen.find("suspicious_fields") is None
    assert seen.find("closer_look") is None


@pytest.fixture(scope="module")
def even() -> Image.Image:
    """A piece of tissue of 3.2 x 3.2 mm at 2 µm/px on glass, even to its borders."""
    glass = Image.new("RGB", (1900, 1900), (243, 241, 243))
    glass.paste(paint_tissue(2900, 2900, seed=2).crop((650, 650, 2250, 2250)), (150, 150))
    return glass


def saved(tmp_path: Path, image: Image.Image) -> Path:
    image.save(tmp_path / "slide.png", compress_level=1)
    return tmp_path / "slide.png"


@pytest.mark.parametrize(
    ("colour", "label"),
    [((190, 30, 40), "redder"), ((70, 30, 110), "darker"), ((236, 214, 226), "paler"), ((120, 70, 30), "browner")],
)
def test_what_differs_from_the_rest_of_the_slide_is_found_at_low_power(
    tmp_path: Path, even: Image.Image, colour, label: str
) -> None:
    image = even.copy()
    image.paste(colour, (600, 600, 900, 900))
    with open_slide(saved(tmp_path, image), mpp=2.0) as opened:
        found, _ = scan(opened, opened.bounds, tissue_mask(opened))
    areas = [item for item in found if item.finding.name == "odd_area"]
    lake = Region(600, 600, 300, 300)
    (area,) = areas
    assert area.region.intersect(lake)
    assert area.region.area < 4 * lake.area
    assert label in str(area.finding.label)


def test_an_even_slide_has_nothing_that_stands_out(tmp_path: Path, even: Image.Image) -> None:
    with open_slide(saved(tmp_path, even), mpp=2.0) as opened:
        found, _ = scan(opened, opened.bounds, tissue_mask(opened))
    values = {item.finding.name: item.finding.value for item in found}
    assert values == {"tissue_pieces": 1.0, "low_power": 0.0}


@given(side=st.integers(1, 30), most=st.integers(1, 16), seed=st.integers(0, 1000), kept=st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_evidence_tiles_hold_the_best_and_lie_apart(side: int, most: int, seed: int, kept: float) -> None:
    draw = np.random.default_rng(seed)
    places = [(x, y) for y in range(side) for x in range(side) if draw.random() < kept] or [(0, 0)]
    tiles = [Region(x * 100, y * 100, 100, 100) for x, y in places]
    scores = draw.random(len(tiles))
    chosen = evidence_tiles(tiles, scores, most)
    assert len(chosen) == len(set(chosen)) == min(most, len(tiles))
    assert chosen[0] == int(scores.argmax())
    assert list(scores[chosen]) == sorted(scores[chosen], reverse=True)
    assert chosen == evidence_tiles(tiles, 3 * scores - 7, most), "a logit serves as well as a probability"


def test_evidence_is_spread_where_one_corner_holds_all_the_best() -> None:
    tiles = [Region(x * 100, y * 100, 100, 100) for y in range(20) for x in range(20)]
    scores = np.array([1 - (tile.x + tile.y) / 1e5 for tile in tiles])
    best = np.argsort(-scores, kind="stable")[:16]
    chosen = evidence_tiles(tiles, scores)

    def spanned(indices) -> int:
        return max(tiles[i].right for i in indices) * max(tiles[i].bottom for i in indices)

    assert spanned(chosen) > 3 * spanned(best)
