"""Survival models on disk: `model.safetensors` beside `model.json`, which holds the hash, the set and the words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from slides.errors import SetupError, UsageError
from slides.files import sha256_of, write_atomically

from .features import Features, TableMap, TextMap, VectorMap
from .hazards import Hazards
from .model import SurvivalModel
from .recipe import Covariate, Settings, SurvivalSet

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_ARRAYS, _CARD = "model.safetensors", "model.json"
DEFAULT = "breast"


def save_model(model: SurvivalModel, settings: Settings, folder: Path) -> dict[str, Any]:
    """Writes a model into a folder, made if missing, and gives its card."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    hazards, features = model.hazards, model.features
    arrays: dict[str, Any] = {
        "edges": hazards.edges, "base": hazards.base, "gate": hazards.gate, "gate_bias": hazards.gate_bias,
        "reference": model.reference, "calibration": model.calibration, "outcomes": model.outcomes,
        "table.centre": features.table.centre, "table.scale": features.table.scale,
    }  # fmt: skip
    arrays |= {f"weights.{name}": values for name, values in hazards.weights.items()}
    if features.text is not None:
        arrays |= {f"text.{part}": getattr(features.text, part) for part in ("idf", "basis", "scale")}
    vectors: dict[str, VectorMap | None] = {"expression": features.expression, "slide": features.slide}
    for name, mapped in vectors.items():
        if mapped is not None:
            parts = ("centre", "scale", "basis", "spread")
            arrays |= {f"{name}.{part}": getattr(mapped, part) for part in parts}
    packed = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in arrays.items()}
    write_atomically(folder / _ARRAYS, save(packed))
    card: dict[str, Any] = {
        "kind": "survival",
        "sha256": sha256_of(folder / _ARRAYS),
        "set": asdict(model.made),
        "settings": asdict(settings),
        "patients": len(model.reference),
        "events": int(model.outcomes[:, 1].sum()),
        "scaling": hazards.scaling,
        "modalities": list(hazards.weights),
        "ranges": model.ranges,
        "knots": features.table.knots,
        "usual": features.table.usual,
        "vocabulary": [] if features.text is None else list(features.text.vocabulary),
        "genes": [] if features.expression is None else list(features.expression.names),
        "told": [list(row.items()) for row in model.told],
    }
    write_atomically(folder / _CARD, json.dumps(card, ensure_ascii=False) + "\n")
    return {key: value for key, value in card.items() if key not in ("told", "vocabulary", "genes")}


def shipped_models() -> list[str]:
    """Names of the survival models that ship."""
    folders = (path.parent for path in WEIGHTS.glob(f"*/{_ARRAYS}") if path.parent.name != "timeline")
    return sorted(folder.name for folder in folders if (folder / _CARD).is_file())


def load_model(name: str = DEFAULT) -> SurvivalModel:
    """A shipped model by name, or one of a folder that `survival train` wrote.

    Raises `UsageError` where there is none; `SetupError` where it differs from its hash or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = WEIGHTS / name if name in shipped_models() else Path(name).expanduser()
    if not (folder / _CARD).is_file():
        raise UsageError(f"no survival model '{name}': choose {', '.join(shipped_models())}, or name a folder")
    try:
        card: dict[str, Any] = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        if sha256_of(folder / _ARRAYS) != card["sha256"]:
            raise SetupError(f"survival model {name} differs from its hash: train it again")
        return _assembled(card, {key: v.astype(np.float64) for key, v in load_file(folder / _ARRAYS).items()})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SetupError(f"survival model {name} is damaged: train it again") from error


def _assembled(card: Mapping[str, Any], arrays: Mapping[str, Any]) -> SurvivalModel:
    made = dict(card["set"])
    covariates = tuple(Covariate(**row) for row in made.pop("covariates"))
    horizons, needed = tuple(made.pop("horizons_years")), tuple(made.pop("needed"))
    chosen = SurvivalSet(covariates=covariates, horizons_years=horizons, needed=needed, **made)
    knots = {name: (low, high) for name, (low, high) in card["knots"].items()}
    table = TableMap(covariates, knots, arrays["table.centre"], arrays["table.scale"], card["usual"])
    text = None
    if card["vocabulary"]:
        vocabulary = {term: i for i, term in enumerate(card["vocabulary"])}
        text = TextMap(vocabulary, arrays["text.idf"], arrays["text.basis"], arrays["text.scale"])
    vectors = {
        name: VectorMap(
            tuple(card["genes"]) if name == "expression" else (),
            *(arrays[f"{name}.{part}"] for part in ("centre", "scale", "basis", "spread")),
        )
        for name in ("expression", "slide")
        if f"{name}.centre" in arrays
    }
    shift, slope = card["scaling"]
    weights = {name: arrays[f"weights.{name}"] for name in card["modalities"]}
    return SurvivalModel(
        chosen,
        Features(table, text, vectors.get("expression"), vectors.get("slide")),
        Hazards(arrays["edges"], arrays["base"], weights, arrays["gate"], arrays["gate_bias"], (shift, slope)),
        arrays["reference"],
        arrays["calibration"],
        {name: (low, high) for name, (low, high) in card["ranges"].items()},
        arrays["outcomes"],
        tuple(dict(row) for row in card["told"]),
        card["sha256"],
    )
