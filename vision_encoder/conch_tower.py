"""The image half of CONCH, put together from timm's vision transformer and open_clip's attentional pooling.

Sources: Lu et al., "A visual-language foundation model for computational pathology", Nature Medicine 2024;
Yu et al., "CoCa", TMLR 2022 (the pooling by a learned query). Layer names follow the published weights. The
feature is the one its makers use for tiles: the pooled query after its norm, before the projection that text shares.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .library_networks import Built

SIDE, PATCH, WIDTH, DIMENSION = 448, 16, 768, 512
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class ConchTower(nn.Module):
    """Pixels (n, 3, 448, 448) → features (n, 512)."""

    def __init__(self, depth: int = 12) -> None:
        from open_clip.transformer import AttentionalPooler
        from timm.models.vision_transformer import VisionTransformer

        super().__init__()
        self.trunk = VisionTransformer(
            img_size=SIDE, patch_size=PATCH, embed_dim=WIDTH, depth=depth, num_heads=12, num_classes=0
        )
        self.attn_pool_contrast = AttentionalPooler(DIMENSION, WIDTH, n_head=8, n_queries=1)
        self.ln_contrast = nn.LayerNorm(DIMENSION)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.attn_pool_contrast(self.trunk.forward_features(x))
        feature: Tensor = self.ln_contrast(pooled[:, 0])
        return feature


def conch_network(weights: Path) -> Built:
    """CONCH's image tower from the published file; its text tower, captioner and projection are left out.

    Raises
    ------
    RuntimeError, ValueError, KeyError, OSError : the file is damaged, or of another network
    """
    import timm

    state: dict[str, Tensor] = timm.models.load_state_dict(str(weights))
    visual = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}
    with torch.device("meta"):
        tower = ConchTower()
    wanted = tower.state_dict()
    places = visual["trunk.pos_embed"]
    if places.shape != wanted["trunk.pos_embed"].shape:  # as its makers do for another side
        grid = tower.trunk.patch_embed.grid_size
        visual["trunk.pos_embed"] = timm.layers.resample_abs_pos_embed(
            places, new_size=grid, interpolation="bilinear", antialias=False
        )
    tower.load_state_dict({name: value for name, value in visual.items() if name in wanted}, assign=True)
    return Built(tower.float(), SIDE, MEAN, DEVIATION)
