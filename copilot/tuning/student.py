"""The model that learns: a base under a fresh adapter, with a projector where it is to see."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ..language.projector import Projector
from .base import Base
from .recipe import Kind, Recipe
from .sight import give_sight, size_of_words

Weights = dict[str, Tensor]


def student_of(base: Base, recipe: Recipe, features: int | None) -> Any:
    """The base with an adapter on each of its linear layers, and a projector for `features` numbers a picture.

    The adapter begins as no change at all; both begin the same for one seed.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    model = base.model
    if recipe.quantise:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    torch.manual_seed(recipe.seed)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules="all-linear",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going
        student = get_peft_model(model, settings)
    if recipe.recompute:
        student.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    if features is not None:
        size = size_of_words(base.model)
        projector = Projector(features, recipe.projector_width, recipe.visual_tokens, base.width, size)
        give_sight(student, projector)
    return student


def of_projector(name: str) -> bool:
    """Whether a weight of that name is the projector's."""
    return name.startswith("projector.")


def learned(student: Any, kind: Kind | None = None) -> dict[str, nn.Parameter]:
    """The weights that a stage of this kind moves, all that any stage moves for None, by name."""
    found = {}
    for name, parameter in student.named_parameters():
        mine = kind != "prefer" if of_projector(name) else kind != "align" and ".lora_" in name
        if mine:
            found[name] = parameter
    return found


def set_learning(student: Any, kind: Kind) -> None:
    """Freezes everything but what a stage of this kind moves."""
    moving = learned(student, kind)
    for name, parameter in student.named_parameters():
        parameter.requires_grad_(name in moving)


def weights_of(student: Any) -> Weights:
    """A copy of everything that is learned."""
    return {name: parameter.detach().cpu().clone() for name, parameter in learned(student).items()}


def put_weights(student: Any, weights: Weights) -> None:
    """Sets what is learned to these weights; raises `KeyError` when they are another student's."""
    with torch.no_grad():
        for name, parameter in learned(student).items():
            parameter.copy_(weights[name])
