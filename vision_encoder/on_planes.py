"""An encoder as a module on tensors: for batches that never were pictures, on whatever device they lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Channels = tuple[float, float, float]


class OnPlanes(nn.Module):
    """Planes float (n, 3, h, h) of RGB in [0, 1] → features float32 (n, d), as `encode_tiles` gives of the picture.

    Equal up to what the resampling differs in: bilinear with antialiasing here, whatever the encoder takes there.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, tile_px: int, mean: Channels, deviation: Channels) -> None:
        super().__init__()
        self.network, self.tile_px = network, tile_px
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])

    @torch.no_grad()
    def forward(self, planes: Tensor) -> Tensor:
        if planes.shape[-1] != self.tile_px:
            planes = F.interpolate(planes, size=self.tile_px, mode="bilinear", antialias=True)
        features: Tensor = self.network((planes - self.mean) / self.deviation)
        return features.float().flatten(1)
