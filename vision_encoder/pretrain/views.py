"""Training views in batches: random squares, D4, stain in optical density, light, blur; on any device.

What may change in a tile while it stays the same tissue. Crop and turn are one bilinear resampling. Stain
moves in the haematoxylin–eosin–DAB space (Ruifrok & Johnston, Anal Quant Cytol Histol 2001; as augmentation:
Tellez et al., Med Image Anal 2019). No solarisation and no turning of hues: they make tissue that no
laboratory makes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import Draws

# Optical density of haematoxylin, eosin and DAB per channel, Ruifrok & Johnston 2001.
STAINS = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
CENTRE, HALF_RANGE = 127 / 255, 128 / 255
"""Of channels in [0, 1]: what every network of ours is trained on."""
BLUR_REACH = 3
"""Half the blur's kernel, px."""


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How far a view may differ from its tile.

    `side` px of the view; `crop` the range of its share of the tile's area; `stain` and `offset` the largest
    relative and additive change of a stain's density; `light` of the brightness; `grey` and `blur` are
    probabilities, `sigma` the range of the blur in px of the view.
    """

    side: int = 160
    crop: tuple[float, float] = (0.3, 0.9)
    stain: float = 0.35
    offset: float = 0.05
    light: float = 0.1
    grey: float = 0.1
    blur: float = 0.2
    sigma: tuple[float, float] = (0.3, 1.2)


def make_views(tiles: Tensor, settings: ViewSettings, draws: Draws) -> Tensor:
    """One view of each tile: uint8 (n, s, s, 3) → float32 (n, 3, side, side) in [0, 1]."""
    planes = tiles.permute(0, 3, 1, 2).float() / 255
    planes = _squares(planes, settings, draws)
    planes = _stained(planes, settings, draws)
    grey = draws.uniform() < settings.grey
    mean = planes.mean(dim=1, keepdim=True).expand_as(planes)
    planes = torch.where(grey.to(planes.device)[:, None, None, None], mean, planes)
    return _blurred(planes, settings, draws).clamp(0, 1)


def _squares(planes: Tensor, settings: ViewSettings, draws: Draws) -> Tensor:
    """A random square of each tile, turned and mirrored at random: affine maps of the output's grid."""
    count = len(planes)
    low, high = settings.crop
    share = torch.sqrt(low + (high - low) * draws.uniform())
    centre = (2 * draws.uniform(2) - 1) * (1 - share)[:, None]
    quarter = draws.integers(4)
    mirror = torch.where(draws.uniform() < 0.5, -1.0, 1.0)
    cosine = torch.tensor([1.0, 0.0, -1.0, 0.0])[quarter] * share
    sine = torch.tensor([0.0, 1.0, 0.0, -1.0])[quarter] * share
    maps = torch.stack([cosine * mirror, -sine, centre[:, 0], sine * mirror, cosine, centre[:, 1]], dim=1)
    grid = F.affine_grid(maps.view(count, 2, 3), [count, 3, settings.side, settings.side], align_corners=False)
    return F.grid_sample(planes, grid.to(planes.device), padding_mode="reflection", align_corners=False)


def _stained(planes: Tensor, settings: ViewSettings, draws: Draws) -> Tensor:
    device = planes.device
    factor = 1 + settings.stain * (2 * draws.uniform(3) - 1)
    added = settings.offset * (2 * draws.uniform(3) - 1)
    brightness = 1 + settings.light * (2 * draws.uniform() - 1)
    # One 3 × 3 matrix a tile: into stains, scaled, and back into optical density.
    maps = torch.linalg.inv(STAINS) @ torch.diag_embed(factor) @ STAINS
    shift = added @ STAINS
    density = -torch.log(planes * (255 / 256) + 1 / 256)
    density = torch.einsum("nchw,ncd->ndhw", density, maps.to(device)) + shift.to(device)[:, :, None, None]
    return torch.exp(-density.clamp(min=0)) * brightness.to(device)[:, None, None, None]


def _blurred(planes: Tensor, settings: ViewSettings, draws: Draws) -> Tensor:
    device = planes.device
    chosen = draws.uniform() < settings.blur
    low, high = settings.sigma
    sigma = low + (high - low) * draws.uniform()
    rows = chosen.nonzero()[:, 0]
    if len(rows) == 0:
        return planes
    reach = torch.arange(-BLUR_REACH, BLUR_REACH + 1.0)
    kernel = torch.exp(-0.5 * (reach / sigma[rows, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0).to(device)
    side = planes.shape[-1]
    flat = F.pad(planes[rows.to(device)], (BLUR_REACH,) * 4, mode="reflect")
    flat = flat.reshape(1, len(rows) * 3, side + 2 * BLUR_REACH, side + 2 * BLUR_REACH)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=len(kernel))
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return planes.index_copy(0, rows.to(device), flat.view(len(rows), 3, side, side))


def normalised(planes: Tensor) -> Tensor:
    """Planes in [0, 1] as a network takes them, channels last in memory."""
    return ((planes - CENTRE) / HALF_RANGE).contiguous(memory_format=torch.channels_last)
