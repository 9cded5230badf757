"""Vision transformer, written from the papers.

Sources: Dosovitskiy et al., "An image is worth 16×16 words", ICLR 2021; Touvron et al., DeiT, ICML 2021 (the
sizes Ti and S) and CaiT, ICCV 2021 (layer scale); Huang et al., "Deep networks with stochastic depth", ECCV
2016; Darcet et al., "Vision transformers need registers", ICLR 2024; Zhou et al., iBOT, ICLR 2022 (mask
token). Layer names follow the state dictionaries of timm, so that its weights load by name; class token and
registers have no position.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head self-attention: (n, t, d) → (n, t, d)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        query, key, value = self.qkv(x).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)  # (n, heads, t, d / heads)
        mixed: Tensor = self.proj(seen.transpose(1, 2).reshape(n, t, d))
        return mixed


class Mlp(nn.Module):
    """Two layers with GELU between, four times as wide."""

    def __init__(self, width: int, expansion: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, expansion * width)
        self.fc2 = nn.Linear(expansion * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class LayerScale(nn.Module):
    """A learned factor a channel, small at first, so that a block begins as nearly nothing."""

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Norm, attention, scale, add; norm, layers, scale, add. In training a path is dropped with `drop`."""

    drop: Tensor

    def __init__(self, width: int, heads: int, layer_scale: float, drop: float) -> None:
        super().__init__()
        self.drops = drop > 0
        # A tensor, as compiled code would be made anew for each block's own number.
        self.register_buffer("drop", torch.tensor(drop), persistent=False)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = LayerScale(width, layer_scale)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.ls2 = LayerScale(width, layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._kept(self.ls1(self.attn(self.norm1(x))))
        return x + self._kept(self.ls2(self.mlp(self.norm2(x))))

    def _kept(self, path: Tensor) -> Tensor:
        """The path of each image, or nothing of it; what stays is scaled up, so that the mean stays."""
        if not (self.training and self.drops):
            return path
        stays = torch.rand(len(path), 1, 1, device=path.device) >= self.drop
        return path * stays / (1 - self.drop)


class PatchEmbed(nn.Module):
    """Images (n, 3, h, w) → one token a patch (n, d, h / p, w / p)."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        patches: Tensor = self.proj(images)
        return patches


class VisionTransformer(nn.Module):
    """Images (n, 3, h, w) float in about [-1, 1] → features (n, width), the class token after the last norm.

    Parameters
    ----------
    width, depth, heads : 192, 12, 3 are ViT-Ti and 384, 12, 6 are ViT-S
    patch : px of a patch; sides of an image are multiples of it
    image_px : side that the learned positions are of; for other sides they are resampled bilinearly
    registers : further tokens that hold no patch and are not given out
    layer_scale : where the scales of the blocks' paths begin; CaiT takes 0.1 for up to 18 blocks
    drop_path : chance that the last block's paths are dropped in training, rising linearly from 0 at the first

    Raises
    ------
    ValueError : heads do not divide the width, or a patch not the side
    """

    def __init__(
        self,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        patch: int = 16,
        image_px: int = 224,
        registers: int = 4,
        layer_scale: float = 0.1,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads or image_px % patch:
            raise ValueError(f"{heads} heads have to divide the width {width}, and {patch} px the side {image_px}")
        self.patch, self.grid = patch, image_px // patch
        self.patch_embed = PatchEmbed(patch, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.reg_token = nn.Parameter(torch.zeros(1, registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, layer_scale, drop_path * number / max(depth - 1, 1)) for number in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self._start()

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_tokens(images)[0]

    def forward_tokens(self, images: Tensor, masked: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Class token (n, d) and patch tokens (n, p, d), row by row of the image, both after the last norm.

        `masked` bool (n, p): patches that are replaced by the mask token before the network sees them.
        """
        patches = self.patch_embed(images)  # (n, d, h, w)
        height, width = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2)  # (n, p, d)
        if masked is not None:
            tokens = torch.where(masked[:, :, None], self.mask_token.to(tokens.dtype), tokens)
        tokens = tokens + self._positions(height, width)
        n = len(images)
        x = torch.cat([self.cls_token.expand(n, -1, -1), self.reg_token.expand(n, -1, -1), tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x[:, 0], x[:, 1 + self.reg_token.shape[1] :]

    def _positions(self, height: int, width: int) -> Tensor:
        if (height, width) == (self.grid, self.grid):
            return self.pos_embed
        square = self.pos_embed.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return F.interpolate(square, size=(height, width), mode="bilinear").flatten(2).transpose(1, 2)

    def _start(self) -> None:
        """Narrow normal weights and no biases; the patches' projection as a linear layer of the patch."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        bound = 1 / math.sqrt(3 * self.patch**2)
        nn.init.uniform_(self.patch_embed.proj.weight, -bound, bound)
        if self.patch_embed.proj.bias is not None:
            nn.init.zeros_(self.patch_embed.proj.bias)
        for token in (self.pos_embed, self.cls_token, self.reg_token, self.mask_token):
            nn.init.trunc_normal_(token, std=0.02)
