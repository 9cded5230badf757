"""Report texts written from covariates, for sets that hold none: training's wordings, and others held out.

The held-out wordings share facts and not form with the training ones, so what a text tower gains on them it does not
gain by knowing a template.
"""

from __future__ import annotations

import random

from ..record import Patient, Value

_OPENINGS = (("Clinical report.", "Summary of the patient.", "Record:"), ("We saw this patient.", "Case note."))
_NUMBERS = (
    ("{name} {value}{unit}.", "{name}: {value}{unit}.", "The {name} is {value}{unit}."),
    ("Recorded {value}{unit} for {name}.", "On assessment the {name} came to {value}{unit}.", "{value}{unit} {name}."),
)
_WORDS = (
    ("{name}: {value}.", "{name} {value}.", "The {name} is {value}."),
    ("Noted as to {name}, {value}.", "{value} was the answer to {name}."),
)


def written(patient: Patient, *, held_out: bool, seed: int) -> str:
    """A few sentences that state every covariate of the record once, in an order drawn from the seed."""
    draw = random.Random(seed)
    split = int(held_out)
    sentences = [_sentence(name, value, split, draw) for name, value in patient.covariates.items()]
    draw.shuffle(sentences)
    return " ".join([draw.choice(_OPENINGS[split]), *sentences])


def _sentence(name: str, value: Value, split: int, draw: random.Random) -> str:
    if isinstance(value.value, float):
        unit = f" {value.unit}" if value.unit not in (None, "count") else ""
        return draw.choice(_NUMBERS[split]).format(name=name, value=f"{value.value:.4g}", unit=unit)
    return draw.choice(_WORDS[split]).format(name=name, value=value.value)
