"""Laws of looking: on any slide, whole or boxed, and what must be said of what was not seen."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slides import Region, RegionUnreadable, Slide, UsageError
from slides.open import open_slide
from tests.conftest import paint_tissue
from tests.vision_encoder.fakes import ColourEncoder, FixedAtlas, FixedHeads
from vision_encoder.look import Eye, Progress
from vision_encoder.observation import Observation
from vision_encoder.sampling import plan_tiles, spread

UNREADABLE = ("hamamatsu-fluorescence-tritc.ndpi", "dicom-camelyon-lowres", "tiny-16px.svs")


def eye(stain: str = "HE") -> Eye:
    return Eye(ColourEncoder(), FixedHeads(stain), FixedAtlas())


def looked(seeing: Eye, slide: Slide, region: Region | None = None, halted=lambda: False) -> Observation:
    steps = seeing.look(slide, region, halted=halted)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        assert isinstance(step, Progress)
        assert 0 <= step.done <= max(step.total, 0)


@pytest.fixture(scope="module")
def slide(generated_slide: Path):
    with open_slide(generated_slide) as opened:
        yield opened


@pytest.fixture
def picture(tmp_path: Path):
    """Opens generated tissue of a size as a plain picture without µm/px."""
    opened: list[Slide] = []

    def made(width: int, height: int) -> Slide:
        path = tmp_path / f"tile{width}x{height}.png"
        x, y = 1000 - width // 2, 1000 - height // 2
        paint_tissue(2000, 2000).crop((x, y, x + width, y + height)).save(path)
        opened.append(open_slide(path))
        return opened[-1]

    yield made
    for item in opened:
        item.close()


def test_evidence_stands_in_the_order_of_use(slide: Slide) -> None:
    names = [item.finding.name for item in looked(eye(), slide).evidence]
    names = names[names.index("stain") :]  # at low power first
    assert names[:5] == ["stain", "organ", "category", "tissue colon", "resembles"]
    assert names.index("resembles") < names.index("nuclei_density") < names.index("tissue_share")


def test_heads_of_another_organ_are_left_out(slide: Slide) -> None:
    assert looked(eye(), slide).find("tissue breast") is None


def test_every_place_lies_inside_the_view(slide: Slide) -> None:
    for region in (None, Region(600, 500, 700, 600), Region(900, 700, 90, 90), Region(-50, -50, 700, 900)):
        observation = looked(eye(), slide, region)
        view = observation.region
        assert slide.whole.contains(view)
        for item in observation.evidence:
            assert view.contains(item.region)
            assert all(view.contains(place) for place in item.fields), item.finding.name
            assert len(item.fields) <= 16


def test_the_fields_that_speak_most_for_a_label_come_first(slide: Slide) -> None:
    found = looked(eye(), slide, Region(600, 400, 900, 800)).find("organ")
    assert found is not None
    reds = [slide.read_size(place, (256, 256))[..., 0].mean() for place in found.fields]
    assert reds == sorted(reds, reverse=True)


def test_heads_are_told_the_scale_at_the_side_the_encoder_sees(slide: Slide) -> None:
    seeing = eye()
    looked(seeing, slide, Region(512, 256, 1024, 1024))
    assert seeing.heads.mpp == pytest.approx(128 / 224, rel=0.02)


def test_cached_is_fresh_and_costs_no_encoding(slide: Slide) -> None:
    seeing, box = eye(), Region(600, 500, 512, 512)
    first = looked(seeing, slide, box)
    before = seeing.encoder.encoded
    assert looked(seeing, slide, box) == first
    assert seeing.encoder.encoded == before
    assert looked(eye(), slide, box) == first


def test_another_scale_is_another_look(generated_slide: Path) -> None:
    seeing, box = eye(), Region(600, 500, 512, 512)
    with open_slide(generated_slide) as stated, open_slide(generated_slide, mpp=0.25) as other:
        assert looked(seeing, stated, box) != looked(seeing, other, box)


def test_what_was_not_looked_at_is_said(slide: Slide) -> None:
    observation = looked(eye(), slide, Region(200, 100, 1700, 1300))
    assert observation.fields_seen == 16 < observation.fields_available
    assert any(f"16 of {observation.fields_available} tissue fields" in note for note in observation.notes)


def test_a_box_of_whole_tiles_is_seen_wholly(slide: Slide) -> None:
    observation = looked(eye(), slide, Region(520, 300, 1020, 1020))
    assert observation.fields_seen == observation.fields_available == 16


def test_no_box_smaller_than_a_tile_shows_its_surroundings(slide: Slide) -> None:
    box = Region(900, 700, 100, 60)
    observation = looked(eye(), slide, box)
    assert observation.usable
    assert observation.fields_seen >= 1
    assert all(box.contains(place) for item in observation.evidence for place in item.fields)


def test_stopping_ends_the_look_and_is_not_remembered(slide: Slide) -> None:
    seeing, box = eye(), Region(300, 200, 1200, 1100)
    asked = iter([False, True, True, True, True, True, True, True])
    stopped = looked(seeing, slide, box, halted=lambda: next(asked, True))
    assert stopped.fields_seen < 16
    assert looked(seeing, slide, box).fields_seen == 16


def test_a_region_outside_is_a_users_error(slide: Slide) -> None:
    with pytest.raises(UsageError, match="2048 x 1536"):
        looked(eye(), slide, Region(9000, 9000, 100, 100))


def test_what_is_no_histology_gets_no_organ(slide: Slide) -> None:
    observation = looked(eye("not histology"), slide)
    assert not observation.usable
    assert observation.reason
    assert observation.find("organ") is None
    assert observation.find("stain") is not None


def test_likeness_to_reference_cases_is_said_of_their_stain_only(slide: Slide) -> None:
    for stain, abstains in (("HE", False), ("IHC", True)):
        found = looked(eye(stain), slide).find("resembles")
        assert found is not None
        assert found.finding.abstained == abstains


def test_a_long_thin_box_is_seen_along_its_length(slide: Slide) -> None:
    observation = looked(eye(), slide, Region(1000, 200, 40, 1100))
    assert observation.fields_seen == 16 < observation.fields_available
    organ = observation.find("organ")
    assert organ is not None
    plan = plan_tiles(slide, observation.region, None, whole=False)
    assert max(place.bottom for place in plan.tiles) > 1150
    assert min(place.y for place in plan.tiles) < 350


@pytest.mark.parametrize("size", [(224, 224), (512, 512), (300, 200), (90, 700), (1024, 768)])
def test_a_plain_picture_is_one_bag_over_its_whole_area(picture, size: tuple[int, int]) -> None:
    tile = picture(*size)
    observation = looked(eye(), tile)
    assert observation.usable
    assert observation.region == tile.whole
    plan = plan_tiles(tile, tile.whole, None, whole=True)
    covered = np.zeros(size[::-1], bool)
    for place in plan.tiles:
        assert tile.whole.contains(place)
        covered[place.y : place.bottom, place.x : place.right] = True
    assert covered.mean() > 0.7
    assert len(plan.tiles) == observation.fields_seen


def test_a_512_px_tile_is_seen_whole_and_in_quarters(picture) -> None:
    tile = picture(512, 512)
    plan = plan_tiles(tile, tile.whole, None, whole=True)
    assert [place.width for place in plan.tiles] == [512, 256, 256, 256, 256]


def test_an_unknown_scale_gives_no_unit_and_says_how_to_state_it(picture) -> None:
    observation = looked(eye(), picture(512, 512))
    density = observation.find("nuclei_density")
    assert density is not None
    assert density.finding.abstained
    assert "--mpp" in str(density.finding.reason)
    assert not any(item.finding.unit in ("per mm²", "µm²") for item in observation.evidence)
    assert any("µm/px" in note for note in observation.notes)


def test_glass_is_not_usable(tmp_path: Path) -> None:
    path = tmp_path / "glass.png"
    grain = np.random.default_rng(0).normal(243, 1, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(grain).save(path)
    with open_slide(path) as glass:
        observation = looked(eye(), glass)
    assert not observation.usable
    assert observation.reason
    assert {item.finding.name for item in observation.evidence} >= {"tissue_share", "stain_colour"}


def test_too_coarse_a_slide_is_not_usable(generated_slide: Path) -> None:
    with open_slide(generated_slide, mpp=8.0) as coarse:
        observation = looked(eye(), coarse)
    assert not observation.usable
    assert "too coarse" in str(observation.reason)


class Broken:
    """A slide of which a part cannot be read."""

    def __init__(self, slide: Slide, bad: Region) -> None:
        self._slide, self._bad = slide, bad

    def __getattr__(self, name: str):
        return getattr(self._slide, name)

    def read_size(self, region: Region, size):
        if region.width < 400 and region.intersect(self._bad):
            raise RegionUnreadable("this part of the slide is damaged")
        return self._slide.read_size(region, size)


def test_an_unreadable_part_is_left_out_and_said(slide: Slide) -> None:
    box = Region(520, 300, 1020, 1020)
    partly = looked(eye(), Broken(slide, Region(520, 300, 300, 300)), box)
    assert partly.usable
    assert 0 < partly.fields_seen < partly.fields_available
    assert any("could not be read" in note for note in partly.notes)
    wholly = looked(eye(), Broken(slide, box), box)
    assert not wholly.usable
    assert wholly.reason


def test_tiles_are_drawn_from_all_of_the_tissue_and_always_the_same() -> None:
    tiles = [Region(x * 10, y * 10, 10, 10) for y in range(40) for x in range(25)]
    drawn = spread(tiles, 16, seed=3)
    assert drawn == spread(tiles, 16, seed=3)
    assert len(set(drawn)) == 16
    assert all(any(tile in drawn for tile in tiles[start : start + 125]) for start in range(0, 1000, 125))


def test_every_slide_of_the_manifest_gives_an_observation(shared_data: Path) -> None:
    folder = shared_data / "slides"
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        names = [row["file"].split(" ")[0] for row in csv.DictReader(lines)]
    for name in names:
        with open_slide(folder / name) as opened:
            observation = looked(eye(), opened)
        assert isinstance(observation, Observation), name
        assert observation.usable or observation.reason, name
        assert observation.usable == (name not in UNREADABLE), name


def test_the_shipped_eye_says_what_it_may_about_a_real_box(shared_data: Path) -> None:
    from vision_encoder.look import load_eye

    seeing = load_eye()
    with open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs") as opened:
        observation = looked(seeing, opened, Region(600, 900, 512, 512))
    assert observation.usable
    stain = observation.find("stain")
    assert stain is not None
    assert stain.finding.label == "HE"
    spoken = [item.finding for item in observation.evidence if not item.finding.abstained]
    assert len(spoken) >= 6
    assert all(finding.source for finding in spoken)
    assert set(seeing.weights_sha256) == {"encoder", "heads", "atlas"}
