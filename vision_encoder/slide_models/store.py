"""A slide model on disk: `slide_model.safetensors` and the card `slide_model.json` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..shipped import REMEDY, read_trained, write_trained
from .attention_model import AttentionModel
from .cross_fit import SlideModel
from .multitask import MultiTaskMIL, Shape, Task
from .pooling import LinearHead, PooledModel

NAME = "slide_model"
_PARTS = ("centre", "scale", "slope", "intercept")


def write_slide_model(folder: Path, model: SlideModel, card: Mapping[str, Any]) -> str:
    """Writes both files, each at once or not at all; returns the hash of the first.

    `card` gets the keys `kind`, `classes` and, of attention, `shape` and `networks`.
    """
    told: dict[str, Any] = {
        "kind": model.kind,
        "classes": {task: list(names) for task, names in model.classes.items()},
    }
    if isinstance(model, PooledModel):
        arrays = {
            f"{role}/{task}/{part}": getattr(head, part).astype(np.float32)
            for role, heads in (("head", model.heads), ("ranker", model.rankers))
            for task, head in heads.items()
            for part in _PARTS
        }
    else:
        arrays = {"centre": model.centre, "scale": model.scale}
        for number, network in enumerate(model.networks):
            arrays |= {f"{number}/{name}": value.numpy() for name, value in network.state_dict().items()}
        told |= {"shape": asdict(model.shape), "networks": len(model.networks)}
    return write_trained(folder, NAME, arrays, {**told, **card})


def read_slide_model(folder: Path, remedy: str = REMEDY) -> tuple[SlideModel, dict[str, Any]]:
    """The model and its card, the hash verified.

    Raises
    ------
    SetupError : a file is missing or damaged, or the weights are not those of the card; `remedy` ends the line
    """
    arrays, card = read_trained(folder, NAME, remedy)
    classes = {task: tuple(names) for task, names in card["classes"].items()}
    if "shape" not in card:
        return PooledModel(card["kind"], classes, _heads(arrays, "head"), _heads(arrays, "ranker")), card
    shape = shape_from(card["shape"])
    networks = []
    for number in range(card["networks"]):
        network = MultiTaskMIL(shape)
        prefix = f"{number}/"
        own = {
            name.removeprefix(prefix): torch.from_numpy(value.copy())
            for name, value in arrays.items()
            if name.startswith(prefix)
        }
        network.load_state_dict(own)
        networks.append(network.eval().requires_grad_(False))
    return AttentionModel(card["kind"], shape, tuple(networks), arrays["centre"], arrays["scale"]), card


def shape_from(told: Mapping[str, Any]) -> Shape:
    """The shape that a card tells."""
    tasks = tuple(
        Task(**{**task, "classes": tuple(task["classes"]), "among": tuple(task["among"]) if task["among"] else None})
        for task in told["tasks"]
    )
    return Shape(**{**told, "tasks": tasks})


def _heads(arrays: Mapping[str, NDArray[Any]], role: str) -> dict[str, LinearHead]:
    tasks = dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith(f"{role}/"))
    return {
        task: LinearHead(*(arrays[f"{role}/{task}/{part}"].astype(np.float64) for part in _PARTS)) for task in tasks
    }
