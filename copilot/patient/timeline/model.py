"""The timeline model: stays rolled out token by token from an admission, and the same risks without drawing.

A roll-out reads the admission once, keeps keys and values, and draws each next token by its own uniform number, so two
arms that share numbers differ by their records alone. `exact_risks` sums over the eight ways of being treated instead
of drawing: the oracle of the roll-outs, and what calibrates their interval.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import SetupError, UsageError
from slides.files import sha256_of

from .tokens import DAY, DEAD, GOES_ON, TREATMENTS, Ids, Vocabulary
from .train import ARRAYS, CARD, Recipe, network

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "timeline"
OUTCOMES = ("death", *TREATMENTS)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """A trained network with its vocabulary and card."""

    network: Any
    vocabulary: Vocabulary
    recipe: Recipe
    card: dict[str, Any]

    def roll_out(self, admission: Ids, count: int, seed: int) -> list[list[str]]:
        """`count` drawn stays of one admission (7,), each as words after it, to its end."""
        import torch

        length = len(TREATMENTS) + 2 * self.recipe.days + 1
        uniform = np.random.default_rng(seed).random((count, length))
        words = self.vocabulary.words
        drawn = np.empty((count, length), dtype=np.int64)
        with torch.inference_mode():
            read = self.network(torch.tensor(admission)[None], use_cache=True)
            cache, logits = read.past_key_values, read.logits[:, -1].expand(count, -1)
            cache.batch_repeat_interleave(count)
            for place in range(length):
                shares = torch.softmax(logits.double(), -1).cumsum(-1)
                level = torch.tensor(uniform[:, place])[:, None] * shares[:, -1:]
                token = torch.searchsorted(shares, level).clamp(max=len(words) - 1)
                drawn[:, place] = token[:, 0].numpy()
                if place < length - 1:
                    step = self.network(token, past_key_values=cache, use_cache=True)
                    cache, logits = step.past_key_values, step.logits[:, -1]
        return [_to_end([words[i] for i in row]) for row in drawn]

    def exact_risks(self, admissions: Ids, days: int) -> Array:
        """Risks (n, 4) of `OUTCOMES` for admissions (n, 7): death within `days`, and each treatment on day 0."""
        return np.concatenate([self._exact(admissions[i : i + 64], days) for i in range(0, len(admissions), 64)])

    def _exact(self, admissions: Ids, days: int) -> Array:
        import torch

        at = {word: i for i, word in enumerate(self.vocabulary.words)}
        ways = np.array([[w >> 2 & 1, w >> 1 & 1, w & 1] for w in range(8)])
        no = np.array([at[f"{name} no"] for name in TREATMENTS])
        n = len(admissions)
        path = np.tile([at[DAY], at[GOES_ON]], days)
        rows = np.concatenate(
            [np.repeat(admissions, 8, axis=0), np.tile(no + ways, (n, 1)), np.tile(path, (8 * n, 1))], axis=1
        )
        with torch.inference_mode():
            logits = self.network(torch.tensor(rows), use_cache=False).logits.double()
        shares = torch.softmax(logits, -1).numpy().reshape(n, 8, rows.shape[1], -1)
        start = admissions.shape[1]
        way = np.ones((n, 8))
        for k in range(3):
            way *= np.take_along_axis(shares[:, :, start - 1 + k], np.tile(no[k] + ways[:, k], (n, 1))[..., None], 2)[
                ..., 0
            ]
        there, death = np.ones((n, 8)), np.zeros((n, 8))
        for day in range(days):
            place = start + 3 + 2 * day
            death += there * shares[:, :, place, at[DEAD]]
            there *= shares[:, :, place, at[GOES_ON]]
        total = way.sum(axis=1, keepdims=True)
        treated = [(way * ways[:, k]).sum(axis=1) for k in range(3)]
        return np.asarray(np.stack([(way * death).sum(axis=1), *treated], axis=1) / total)


def counted(stays: list[list[str]], days: int) -> NDArray[np.bool_]:
    """Which of drawn stays (n) had each of `OUTCOMES` (n, 4), death within `days`."""
    found = np.zeros((len(stays), len(OUTCOMES)), dtype=bool)
    for i, words in enumerate(stays):
        if DEAD in words:
            found[i, 0] = words[: words.index(DEAD)].count(DAY) <= days
        for k, name in enumerate(TREATMENTS):
            found[i, 1 + k] = f"{name} yes" in words
    return found


def load_timeline(folder: Path = WEIGHTS) -> Timeline:
    """The shipped timeline model, or one of a folder.

    Raises `UsageError` where there is none, `SetupError` where it differs from its hash or is damaged.
    """
    if not (folder / CARD).is_file() or not (folder / ARRAYS).is_file():
        raise UsageError(f"no timeline model in {folder.name}: train one by recipes/whatif.toml")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if sha256_of(folder / ARRAYS) != card["sha256"]:
            raise SetupError("the timeline model differs from its hash: train it again")
        recipe = Recipe(**card["recipe"])
        vocabulary = Vocabulary({name: tuple(edges) for name, edges in card["edges"].items()})
        model = network(recipe, len(vocabulary.words))
        model.load_state_dict({name: value.float() for name, value in load_file(folder / ARRAYS).items()}, strict=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise SetupError("the timeline model is damaged: train it again") from error
    return Timeline(model.tie_weights() or model.eval(), vocabulary, recipe, card)


def _to_end(words: list[str]) -> list[str]:
    return words[: words.index("end")] if "end" in words else words
