"""Lets torchvision import beside a CPU torch when its compiled library was built for CUDA."""

from __future__ import annotations

import importlib
import sys

import torch

_DETECTION_OPERATORS = ("nms", "qnms")
_kept_alive: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Imports torchvision; run it before timm or open_clip.

    Where the compiled operators cannot load, torchvision stops at `torchvision::nms`. Declaring the
    two detection operators lets everything else work; the operators themselves stay unusable.

    Raises
    ------
    ImportError : torchvision is not installed
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        if not _kept_alive:
            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in _DETECTION_OPERATORS:
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _kept_alive.append(library)
        importlib.import_module("torchvision")
