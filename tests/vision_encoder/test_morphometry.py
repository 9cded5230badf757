"""Laws of measuring: what must not change a measure, what must forbid it, and how far it is from the drawn truth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slides import Evidence, Finding, Region
from tests.conftest import paint_tissue
from vision_encoder import stains
from vision_encoder.evaluate_morphometry import classical, match_nuclei, otsu_baseline, read_drawn, score
from vision_encoder.morphometry import measure
from vision_encoder.nuclear_measures import NUCLEAR_MEASURES
from vision_encoder.nuclei import describe
from vision_encoder.validation import load_validation

IN_UNITS = ("nuclei_density", "nuclear_area")
PLAIN = ("nuclear_area_variation", "nuclear_share", "nuclear_elongation", "clear_space_share")


def painted(side: int = 512, seed: int = 7) -> np.ndarray:
    """The middle of generated tissue: nuclei of 4-8 px radius on pink, no glass."""
    image = np.asarray(paint_tissue(2 * side, 2 * side, seed))
    return image[side // 2 : side // 2 + side, side // 2 : side // 2 + side]


def ring_of(count: int, radius: float, side: int = 512) -> np.ndarray:
    """`count` round nuclei of one radius on pink, far apart."""
    rows = round(count**0.5)
    step = side / rows
    y, x = np.mgrid[:side, :side] + 0.5
    inside = np.hypot(y % step - step / 2, x % step - step / 2) < radius
    pixels = np.where(inside[..., None], (95, 60, 140), (228, 170, 202)).astype(np.float64)
    return (pixels + np.random.default_rng(1).normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)


def measured(pixels: np.ndarray, mpp: float | None = 0.5, stain: str = "HE") -> dict[str, Finding]:
    region = Region(0, 0, pixels.shape[1], pixels.shape[0])
    return {item.finding.name: item.finding for item in measure(pixels, mpp, region, "slide", stain)}


def test_round_nuclei_are_counted_and_sized() -> None:
    found = measured(ring_of(100, 7.0))
    square_mm = (512 * 0.5 / 1000) ** 2
    assert found["nuclei_density"].value == pytest.approx(100 / square_mm, rel=0.03)
    assert found["nuclear_area"].value == pytest.approx(np.pi * 3.5**2, rel=0.1)
    assert found["nuclear_area_variation"].value < 0.1
    assert found["nuclear_elongation"].value == pytest.approx(1.0, abs=0.08)
    assert found["nuclear_share"].value == pytest.approx(100 * np.pi * 49 / 512**2, rel=0.1)


def test_nuclei_of_an_ellipse_have_its_eccentricity() -> None:
    y, x = np.mgrid[:480, :480] + 0.5
    inside = ((y % 40 - 20) / 5) ** 2 + ((x % 40 - 20) / 10) ** 2 < 1
    pixels = np.where(inside[..., None], (95, 60, 140), (228, 170, 202)).astype(np.uint8)
    assert measured(ring_of(100, 7.0))["nuclear_eccentricity"].value < 0.3
    assert measured(pixels)["nuclear_eccentricity"].value == pytest.approx(np.sqrt(1 - 0.5**2), abs=0.03)


def test_darker_nuclei_are_more_hyperchromatic_and_a_paler_stain_is_not() -> None:
    field = ring_of(100, 7.0)
    field[:, :40] = 244  # glass, by which the light is known
    nuclei = (field[..., 0] < 160)[..., None]
    darker = np.where(nuclei, field * 0.7, field).astype(np.uint8)
    paler = (255 * (field / 255.0) ** 0.8).astype(np.uint8)
    usual = measured(field)["nuclear_hyperchromasia"].value
    assert usual > 1.5
    assert measured(darker)["nuclear_hyperchromasia"].value > 1.15 * usual
    assert measured(paler)["nuclear_hyperchromasia"].value == pytest.approx(usual, rel=0.15)


def test_darkness_is_not_measured_where_brown_marks_nuclei() -> None:
    found = measured(brown_and_blue(60, 60), 0.5, "IHC")
    assert found["nuclear_hyperchromasia"].abstained
    assert "H&E" in str(found["nuclear_hyperchromasia"].reason)
    assert found["nuclear_eccentricity"].value is not None


def test_no_interval_reaches_beyond_what_there_can_be() -> None:
    crowded = measured(ring_of(400, 11.0))
    assert crowded["nuclear_share"].interval[1] <= 1
    assert crowded["nuclear_eccentricity"].interval[1] <= 1


def test_a_moved_field_gives_the_same_measures() -> None:
    wide = painted(640)
    still, moved = measured(wide[:512, :512]), measured(wide[9:521, 13:525])
    for name in (*IN_UNITS, *PLAIN):
        assert moved[name].value == pytest.approx(still[name].value, rel=0.06, abs=0.005), name


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_field_gives_the_same_measures(turn: int) -> None:
    field = painted()
    still, turned = measured(field), measured(np.rot90(field, turn).copy())
    for name in (*IN_UNITS, *PLAIN):
        assert turned[name].value == pytest.approx(still[name].value, rel=0.05, abs=0.005), name


def test_a_density_does_not_change_when_the_field_is_doubled_by_mirroring() -> None:
    field = painted(384)
    doubled = np.concatenate([field, field[:, ::-1]], axis=1)
    assert measured(doubled)["nuclei_density"].value == pytest.approx(measured(field)["nuclei_density"].value, rel=0.08)


def test_the_scale_of_reading_hardly_changes_measures_in_units() -> None:
    field = painted()
    finer = np.asarray(Image.fromarray(field).resize((1024, 1024), Image.Resampling.BICUBIC))
    at_half, at_quarter = measured(field, 0.5), measured(finer, 0.25)
    for name in IN_UNITS:
        assert at_quarter[name].value == pytest.approx(at_half[name].value, rel=0.08), name


def test_a_paler_stain_hardly_changes_the_count() -> None:
    field = painted()
    pale = (255 * (field / 255.0) ** 0.75).astype(np.uint8)
    assert measured(pale)["nuclei_density"].value == pytest.approx(measured(field)["nuclei_density"].value, rel=0.1)


def test_without_mpp_no_unit_is_printed_and_the_reason_says_how_to_state_it() -> None:
    found = measured(painted(), None)
    for name in IN_UNITS:
        assert found[name].abstained
        assert found[name].value is None
        assert "--mpp" in str(found[name].reason)
    assert all(finding.unit in (None, "share", "ratio") for finding in found.values())
    assert all("per mm²" not in str(finding.as_json()["unit"]) for finding in found.values())


@pytest.mark.parametrize("value", [0, 128, 243, 255])
def test_a_blank_field_has_no_nuclei(value: int) -> None:
    grain = np.random.default_rng(0).normal(value, 2, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    found = measured(grain)
    assert not found["nuclei_density"].value
    assert found["nuclear_area"].abstained
    assert not found["nuclear_share"].value


def test_stroma_without_nuclei_has_none() -> None:
    stroma = np.random.default_rng(0).normal((226, 168, 200), 5, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    assert not measured(stroma)["nuclei_density"].value


def test_nuclei_are_not_measured_in_walls_between_clear_spaces() -> None:
    y, x = np.mgrid[:512, :512]
    walls = ((x % 90 < 12) | (y % 90 < 12))[..., None]
    fat = np.where(walls, (150, 95, 160), (244, 243, 245)).astype(np.uint8)
    found = measured(fat)
    assert found["clear_space_share"].value == pytest.approx(1 - walls.mean(), abs=0.03)
    assert all(found[measure_.name].abstained for measure_ in NUCLEAR_MEASURES)


def test_nuclei_beside_a_wide_lumen_are_measured() -> None:
    tissue = painted(512).copy()
    tissue[:, :205] = (244, 243, 245)
    found = measured(tissue)
    assert found["clear_space_share"].value == pytest.approx(0.4, abs=0.05)
    assert found["nuclei_density"].value


def test_too_coarse_a_scale_abstains() -> None:
    found = measured(painted(256), 1.5)
    for measure_ in NUCLEAR_MEASURES:
        assert found[measure_.name].abstained
        assert "too coarse" in str(found[measure_.name].reason)
    assert found["clear_space_share"].value is not None


@pytest.mark.parametrize("stain", ["special stain", "cytology", "other colour", ""])
def test_nuclei_of_an_unchecked_stain_are_not_measured(stain: str) -> None:
    found = measured(painted(256), 0.5, stain)
    assert all(found[measure_.name].abstained for measure_ in NUCLEAR_MEASURES)
    assert "positive_nuclei_share" not in found


def test_every_value_lies_in_its_interval_and_names_its_check() -> None:
    found = measured(painted())
    for measure_ in NUCLEAR_MEASURES:
        finding = found[measure_.name]
        assert finding.interval is not None
        assert finding.interval[0] <= finding.value <= finding.interval[1]
        assert load_validation().scope in finding.scope


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 9), (64, 64), (1500, 700)])
@pytest.mark.parametrize("mpp", [None, 0.25, 0.5, 0.9])
def test_any_size_gives_findings_inside_its_region(shape: tuple[int, int], mpp: float | None) -> None:
    tissue = np.asarray(paint_tissue(1600, 1600))
    pixels = tissue[40 : 40 + shape[0], 40 : 40 + shape[1]]
    region = Region(1000, 2000, shape[1] * 3, shape[0] * 3)
    found: tuple[Evidence, ...] = measure(pixels, mpp, region, "slide", "HE")
    assert {item.finding.name for item in found} >= {*IN_UNITS, *PLAIN}
    assert all(region.contains(place) for item in found for place in item.fields)
    assert all(item.finding.value is None or np.isfinite(item.finding.value) for item in found)


def test_the_same_field_gives_the_same_findings() -> None:
    assert measured(painted(256)) == measured(painted(256))


def brown_and_blue(brown: int, blue: int) -> np.ndarray:
    """Round nuclei on a pale ground, the first `brown` of them brown, in a square of 14 x 14 places."""
    pixels = np.full((560, 560, 3), (236, 234, 232), dtype=np.float64)
    y, x = np.mgrid[:40, :40] + 0.5
    disc = np.hypot(y - 20, x - 20) < 8
    for place in range(brown + blue):
        row, column = divmod(place, 14)
        tile = pixels[row * 40 : row * 40 + 40, column * 40 : column * 40 + 40]
        tile[disc] = (104, 62, 34) if place < brown else (126, 150, 190)
    return (pixels + np.random.default_rng(2).normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("brown", "blue"), [(20, 80), (60, 60), (5, 150)])
def test_brown_nuclei_are_counted_among_blue_ones(brown: int, blue: int) -> None:
    found = measured(brown_and_blue(brown, blue), 0.5, "IHC")
    positive = found["positive_nuclei_share"]
    assert positive.value == pytest.approx(brown / (brown + blue), abs=0.03)
    assert positive.interval[0] <= brown / (brown + blue) <= positive.interval[1]
    assert found["chromogen_share"].value > 0


def test_brown_outside_nuclei_gives_no_share_of_positive_nuclei() -> None:
    pixels = brown_and_blue(0, 140)
    pixels[200:300] = np.random.default_rng(3).normal((150, 100, 60), 12, (100, 560, 3)).clip(0, 255)
    found = measured(pixels, 0.5, "IHC")
    assert found["chromogen_share"].value > 0.05
    assert "positive_nuclei_share" not in found


def test_deconvolution_gives_back_the_dyes_of_a_mixed_pixel() -> None:
    amounts = np.random.default_rng(4).uniform(0, 1.2, (40, 40, 2)).astype(np.float32)
    vectors = np.stack([stains.HAEMATOXYLIN, stains.EOSIN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert stains.concentrations(amounts @ vectors, vectors) == pytest.approx(amounts, abs=1e-4)


def test_stain_vectors_stay_within_their_reference() -> None:
    for seed in range(5):
        field = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        for found, near in zip(
            stains.stain_vectors([stains.optical_density(field)]), (stains.HAEMATOXYLIN, stains.EOSIN), strict=True
        ):
            cosine = found @ near / np.linalg.norm(near) / np.linalg.norm(found)
            assert np.degrees(np.arccos(min(cosine, 1.0))) <= stains.CLAMP_DEGREES + 0.1


def test_elongation_of_an_ellipse_is_the_ratio_of_its_axes() -> None:
    y, x = np.mgrid[:80, :120]
    labels = ((x - 60) ** 2 / 40**2 + (y - 40) ** 2 / 16**2 < 1).astype(np.int32)
    assert describe(labels).elongation[0] == pytest.approx(2.5, rel=0.02)


def test_matching_a_field_with_itself_is_perfect() -> None:
    labels = np.kron(np.arange(17).reshape(1, -1), np.ones((8, 8))).astype(np.int32)
    assert match_nuclei(labels, labels) == (1.0, 1.0)


def test_measures_beat_the_otsu_baseline_on_drawn_nuclei(shared_data: Path) -> None:
    drawn = [image for image in read_drawn(shared_data / "nuclei") if image.split == "dev"]
    ours = [score(image, classical, load_validation()) for image in drawn]
    plain = [score(image, otsu_baseline, None) for image in drawn]
    assert np.mean([got.f1 for got in ours]) > 2 * np.mean([got.f1 for got in plain])
    held = [got.covered["nuclei_density"] for got in ours if "nuclei_density" in got.covered]
    assert np.mean(held) >= 0.9


def test_a_ki67_field_has_nuclear_brown_and_a_t_cell_field_has_not(shared_data: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(shared_data / "tiles" / "ihc_misc.parquet").to_pylist()

    def share_of_positive(stain: str) -> list[bool]:
        tiles = [row for row in rows if row["stain"] == stain][:6]
        pictures = [np.asarray(Image.open(io.BytesIO(tile["jpeg"])).convert("RGB")) for tile in tiles]
        return ["positive_nuclei_share" in measured(picture, 0.3, "IHC") for picture in pictures]

    assert np.mean(share_of_positive("IHC Ki-67")) > 0.6
    assert np.mean(share_of_positive("IHC CD3/CD8")) < 0.2
