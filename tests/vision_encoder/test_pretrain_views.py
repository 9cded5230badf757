"""Laws of training views: the eight symmetries, stain that stays stain, one seed one view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vision_encoder.pretrain.draws import Draws
from vision_encoder.pretrain.views import ViewSettings, make_views, normalised

from ..conftest import paint_tissue

WHOLE = {"crop": (1.0, 1.0), "stain": 0.0, "offset": 0.0, "light": 0.0, "grey": 0.0, "blur": 0.0}
"""Settings that leave only turns and mirrors."""


def draws(count: int, seed: int = 1, rows: Tensor | None = None) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), count, rows)


def tissue(count: int = 1, side: int = 48) -> Tensor:
    box = (side // 2, side // 2, 3 * side // 2, 3 * side // 2)
    return torch.from_numpy(np.stack([paint_tissue(2 * side, 2 * side, seed).crop(box) for seed in range(count)]))


def test_without_change_a_view_is_one_of_the_eight_symmetries_and_each_comes() -> None:
    tile = tissue()
    views = make_views(tile.repeat(64, 1, 1, 1), ViewSettings(side=48, **WHOLE), draws(64))  # type: ignore[arg-type]
    plain = tile[0].permute(2, 0, 1).float() / 255
    symmetries = [torch.rot90(side, turns, (1, 2)) for side in (plain, plain.flip(2)) for turns in range(4)]
    far = torch.stack([(views - symmetry).abs().amax(dim=(1, 2, 3)) for symmetry in symmetries])
    assert far.min(dim=0).values.max() < 1.5 / 255  # density of black is finite: half a grey level
    assert set(far.argmin(dim=0).tolist()) == set(range(8))


def test_a_view_of_an_even_tile_is_even() -> None:
    colours = torch.tensor([[226, 168, 200], [98, 62, 142], [255, 255, 255], [0, 0, 0]], dtype=torch.uint8)
    tiles = colours[:, None, None].expand(-1, 40, 40, -1).repeat(8, 1, 1, 1)
    views = make_views(tiles, ViewSettings(side=32, grey=0.3, blur=0.5), draws(len(tiles)))
    assert (views.amax(dim=(2, 3)) - views.amin(dim=(2, 3))).max() < 1e-5
    # Up to stain and light: glass stays near white and keeps less than its own density of any stain.
    assert views[2::4].amin() > 0.75
    assert len({tuple(round(float(value), 4) for value in view[:, 0, 0]) for view in views[0::4]}) == 8


def test_views_lie_in_the_unit_interval_and_fit_the_network() -> None:
    wild = ViewSettings(side=32, stain=1.5, offset=0.5, light=0.9, grey=0.5, blur=1.0, sigma=(0.3, 3.0))
    tiles = torch.randint(256, (32, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    for settings in (ViewSettings(side=32), wild):
        views = make_views(tiles, settings, draws(32))
        assert views.shape == (32, 3, 32, 32)
        assert views.dtype == torch.float32
        assert 0 <= views.min() <= views.max() <= 1
        assert normalised(views).abs().max() <= 1


def test_one_seed_makes_one_set_of_views() -> None:
    tiles, settings = tissue(4), ViewSettings(side=32)
    first, again, other = (make_views(tiles, settings, draws(4, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.05)
    generator = torch.Generator().manual_seed(1)
    pair = [make_views(tiles, settings, Draws(generator, 4)) for _ in range(2)]
    assert torch.equal(pair[0], first)
    assert not torch.allclose(pair[0], pair[1], atol=0.05)


def test_a_share_of_the_batch_has_the_views_that_the_whole_batch_would_give_it() -> None:
    tiles, settings = tissue(6), ViewSettings(side=32, blur=0.5)
    whole = make_views(tiles, settings, draws(6))
    rows = torch.tensor([1, 4, 5])
    assert torch.allclose(make_views(tiles[rows], settings, draws(6, rows=rows)), whole[rows], atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_crop_is_of_the_stated_share_of_the_area(share: float) -> None:
    """On a ramp the range of values tells the side of the square."""
    ramp = torch.arange(0, 250, dtype=torch.uint8)[None, :, None].expand(250, 250, 3)
    settings = ViewSettings(side=100, **WHOLE | {"crop": (share, share)})  # type: ignore[arg-type]
    views = make_views(ramp.repeat(20, 1, 1, 1), settings, draws(20))
    across = (views.amax(dim=(1, 2, 3)) - views.amin(dim=(1, 2, 3))) * 255 / 250
    assert torch.allclose(across, torch.full((20,), share**0.5), atol=0.02)


def test_stain_moves_and_structure_stays() -> None:
    tile = tissue(1)
    settings = ViewSettings(side=48, **WHOLE | {"stain": 0.35, "offset": 0.05})  # type: ignore[arg-type]
    views = make_views(tile.repeat(64, 1, 1, 1), settings, draws(64))
    means = views.mean(dim=(2, 3))
    assert means.std(dim=0).min() > 0.01
    plain = tile[0].float().mean(dim=2)
    turned = [torch.rot90(side, turns, (0, 1)) for side in (plain, plain.flip(1)) for turns in range(4)]
    likeness = [
        max(float(torch.corrcoef(torch.stack([view.mean(dim=0).flatten(), one.flatten()]))[0, 1]) for one in turned)
        for view in views
    ]
    assert min(likeness) > 0.9
