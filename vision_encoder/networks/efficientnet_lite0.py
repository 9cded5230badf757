"""EfficientNet-Lite0, written from the papers.

Sources: Tan & Le, "EfficientNet", ICML 2019 (the B0 table of stages); Sandler et al., "MobileNetV2",
CVPR 2018 (the inverted residual). The Lite variant drops squeeze-and-excite, replaces swish by ReLU6
and keeps stem and head at their B0 widths. Layer names follow the published state dictionary, so that
its weights load by name.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

EARLY, EARLY_CHANNELS = 4, 40
"""The block after which early features are read, and the channels of its maps."""
READOUTS = ("_readout", "_readout_early", "_readout_beside")
"""The last layers, in the order of their parts in a feature."""
DIMENSION = 1280
"""Length of a feature: the channels of the head before its pooling."""


class Stage(NamedTuple):
    """One row of the B0 table: `repeats` blocks, of which the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


STAGES = (
    Stage(1, 3, 1, 1, 32, 16),
    Stage(2, 3, 2, 6, 16, 24),
    Stage(2, 5, 2, 6, 24, 40),
    Stage(3, 3, 2, 6, 40, 80),
    Stage(3, 5, 1, 6, 80, 112),
    Stage(4, 5, 2, 6, 112, 192),
    Stage(1, 3, 1, 6, 192, 320),
)


class SamePadConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME, where the weights were trained.

    With stride 2 on an even side the odd pixel of padding lies right and below; symmetric padding
    would shift every later map by half a pixel and change the features.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        height, width = ((-(-side // stride) - 1) * stride + kernel - side for side in x.shape[-2:])
        height, width = max(height, 0), max(width, 0)
        if height % 2 == 0 and width % 2 == 0:
            return F.conv2d(x, self.weight, self.bias, stride, (height // 2, width // 2), 1, self.groups)
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class InvertedResidual(nn.Module):
    """Expand 1×1, depthwise k×k, project 1×1; the input is added where shapes allow it."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, folded: bool = False
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands = expansion != 1
        self.adds = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SamePadConv(inputs, width, 1, bias=folded)
            self._bn0 = _batch_norm(width, folded)
        self._depthwise_conv = SamePadConv(width, width, kernel, stride, groups=width, bias=folded)
        self._bn1 = _batch_norm(width, folded)
        self._project_conv = SamePadConv(width, outputs, 1, bias=folded)
        self._bn2 = _batch_norm(outputs, folded)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = F.relu6(self._bn0(self._expand_conv(y)), inplace=True)
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        out: Tensor = y + x if self.adds else y
        return out


class EfficientNetLite0(nn.Module):
    """Images (n, 3, h, w) float in about [-1, 1] → features (n, 1280); any h, w from 32 up.

    `folded` builds it as `fold_batch_norms` leaves it: convolutions with biases, no batch norms. `readout`
    adds a linear layer to that many features after the pooling; `early` appends as many features from the
    means and deviations of the maps after block `EARLY`, which still hold colour and sharpness; `beside` as
    many from a second tail of the network, which parts from the first after block `EARLY` too.
    """

    def __init__(self, folded: bool = False, readout: int = 0, early: int = 0, beside: int = 0) -> None:
        super().__init__()
        self.folded = folded
        self._conv_stem = SamePadConv(3, STAGES[0].inputs, 3, stride=2, bias=folded)
        self._bn0 = _batch_norm(STAGES[0].inputs, folded)
        self._blocks = nn.ModuleList(_blocks(folded))
        self._conv_head = SamePadConv(STAGES[-1].outputs, DIMENSION, 1, bias=folded)
        self._bn1 = _batch_norm(DIMENSION, folded)
        self._readout = nn.Linear(DIMENSION, readout) if readout else nn.Identity()
        self._readout_early = nn.Linear(2 * EARLY_CHANNELS, early) if early else None
        self._beside = _Tail(folded) if beside else None
        self._readout_beside = nn.Linear(DIMENSION, beside) if beside else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pooled(x)
        layers = {name: getattr(self, name) for name in READOUTS}
        features = [layer(pooled[name]) for name, layer in layers.items() if layer is not None]
        whole: Tensor = features[0] if len(features) == 1 else torch.cat(features, dim=1)
        return whole

    def pooled(self, x: Tensor) -> dict[str, Tensor]:
        """Pooled maps by the name of the layer that reads them: of the heads (n, 1280), of block `EARLY` (n, 80)."""
        x = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for block in self._blocks[: EARLY + 1]:
            x = block(x)
        flat = x.flatten(2)
        early = torch.cat([flat.mean(dim=2), (flat.var(dim=2) + 1e-6).sqrt()], dim=1)
        found = {"_readout_early": early}
        if self._beside is not None:
            found["_readout_beside"] = self._beside(x)
        for block in self._blocks[EARLY + 1 :]:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)), inplace=True)
        return found | {"_readout": x.mean(dim=(2, 3))}

    def set_beside(self, other: EfficientNetLite0) -> None:
        """Copies the tail of another folded network into the second tail of this one.

        Raises
        ------
        ValueError : there is no second tail, or a network is not folded
        """
        if self._beside is None or not (self.folded and other.folded):
            raise ValueError("a second tail takes the weights of a folded network")
        for own, theirs in zip(self._beside._blocks, other._blocks[EARLY + 1 :], strict=True):
            own.load_state_dict(theirs.state_dict())
        self._beside._conv_head.load_state_dict(other._conv_head.state_dict())


class _Tail(nn.Module):
    """What follows block `EARLY`: its maps → pooled maps (n, 1280) of the head."""

    def __init__(self, folded: bool) -> None:
        super().__init__()
        self._blocks = nn.ModuleList(_blocks(folded)[EARLY + 1 :])
        self._conv_head = SamePadConv(STAGES[-1].outputs, DIMENSION, 1, bias=folded)
        self._bn1 = _batch_norm(DIMENSION, folded)

    def forward(self, x: Tensor) -> Tensor:
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)), inplace=True).mean(dim=(2, 3))


def _blocks(folded: bool) -> list[InvertedResidual]:
    return [
        InvertedResidual(
            stage.outputs if repeat else stage.inputs,
            stage.outputs,
            stage.kernel,
            1 if repeat else stage.stride,
            stage.expansion,
            folded,
        )
        for stage in STAGES
        for repeat in range(stage.repeats)
    ]


def fold_batch_norms(network: EfficientNetLite0) -> EfficientNetLite0:
    """The same function in evaluation, with every batch norm folded into the convolution before it."""
    network.eval()
    if network.folded:
        return network
    network.folded = True
    for module in network.modules():
        if isinstance(module, InvertedResidual):
            pairs = [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            pairs += [("_expand_conv", "_bn0")] if module.expands else []
        elif isinstance(module, EfficientNetLite0):
            pairs = [("_conv_stem", "_bn0"), ("_conv_head", "_bn1")]
        elif isinstance(module, _Tail):
            pairs = [("_conv_head", "_bn1")]
        else:
            continue
        for convolution, norm in pairs:
            fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
            setattr(module, convolution, fused)
            setattr(module, norm, nn.Identity())
    return network


def load_state(network: EfficientNetLite0, state: dict[str, Tensor]) -> EfficientNetLite0:
    """The network with the published weights; the ImageNet classifier `_fc` is left out.

    Raises
    ------
    RuntimeError : a layer is missing or has another shape
    """
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("_fc.")})
    return network


def _batch_norm(channels: int, folded: bool) -> nn.Module:
    if folded:
        return nn.Identity()
    # 1e-3 and 0.01 are TensorFlow's values of the original training.
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


__all__ = ["DIMENSION", "EfficientNetLite0", "fold_batch_norms", "load_state"]
