"""A rule-made cohort of hospital stays whose causal effects are known, so that answers can be checked against truth.

Invented for this purpose and of nobody: adults with pneumonia in a viral epidemic. At admission age, sex, CRP,
creatinine, oxygen need and blood group are drawn; each day the remaining risk of death depends on age, CRP, creatinine
and oxygen; remdesivir is given more with high CRP and less with bad kidneys; dexamethasone follows oxygen. Drugs have
no effect on death by construction, blood group has none on anything.

The rules, by day d from 0, with logistic σ:
  CRP log-normal around 60 mg/L; creatinine log-normal around 1.1 mg/dL, rising with age; eGFR by CKD-EPI 2021
  oxygen on day 0: σ(-1.4 + 0.9 ln(CRP/60) + 0.02 (age - 65))
  remdesivir on day 0: σ(-0.2 + 0.9 ln(CRP/60) - 1.3 ln(creatinine/1.1))
  dexamethasone on day 0: 0.85 with oxygen, 0.08 without
  death on day d ≥ 1: σ(-5.1 + 0.062 (age - 65) + 0.65 ln(CRP/60) + 0.95 ln(creatinine/1.1) + 0.9 oxygen)
  discharge on day d ≥ 2, if alive: σ(-1.6 - 0.5 ln(CRP/60) - 1.0 oxygen)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOOD = ("A", "B", "AB", "0")
LIMITS = {"age": (18.0, 100.0), "crp": (1.0, 450.0), "creatinine": (0.4, 9.0)}
"""What the cohort holds; an edit outside is refused."""


@dataclass(frozen=True)
class Stays:
    """n stays: admission values (n,), `female`, `blood` (index of `BLOOD`), oxygen, drugs given on day 0, and the day
    of death or discharge (n,), 0 where the stay goes on after the last day."""

    age: Array
    female: NDArray[np.bool_]
    crp: Array
    creatinine: Array
    blood: NDArray[np.int64]
    oxygen: NDArray[np.bool_]
    remdesivir: NDArray[np.bool_]
    dexamethasone: NDArray[np.bool_]
    death: NDArray[np.int64]
    discharge: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.age)


def draw_stays(count: int, days: int, seed: int) -> Stays:
    """Stays of the cohort."""
    draw = np.random.default_rng(seed)
    age = np.clip(draw.normal(64, 17, count), *LIMITS["age"])
    female = draw.random(count) < 0.45
    crp = np.clip(60 * np.exp(draw.normal(0, 1.0, count)), *LIMITS["crp"])
    creatinine = np.clip(1.1 * np.exp(0.006 * (age - 65) + draw.normal(0, 0.5, count)), *LIMITS["creatinine"])
    return follow(age, female, crp, creatinine, draw.integers(4, size=count), days, draw)


def follow(
    age: Array, female: NDArray[np.bool_], crp: Array, creatinine: Array, blood: NDArray[np.int64], days: int,
    draw: np.random.Generator,
) -> Stays:  # fmt: skip
    """What the rules make of admission values (n,) within `days` days."""
    count = len(age)
    inflamed, kidney = np.log(crp / 60), np.log(creatinine / 1.1)
    oxygen = draw.random(count) < _sigmoid(-1.4 + 0.9 * inflamed + 0.02 * (age - 65))
    remdesivir = draw.random(count) < _sigmoid(-0.2 + 0.9 * inflamed - 1.3 * kidney)
    dexamethasone = draw.random(count) < np.where(oxygen, 0.85, 0.08)
    hazard = _sigmoid(-5.1 + 0.062 * (age - 65) + 0.65 * inflamed + 0.95 * kidney + 0.9 * oxygen)
    leaving = _sigmoid(-1.6 - 0.5 * inflamed - 1.0 * oxygen)
    death, discharge = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for day in range(1, days + 1):
        there = (death == 0) & (discharge == 0)
        dies = there & (draw.random(count) < hazard)
        leaves = there & ~dies & (draw.random(count) < leaving) & (day >= 2)
        death[dies], discharge[leaves] = day, day
    return Stays(age, female, crp, creatinine, blood, oxygen, remdesivir, dexamethasone, death, discharge)


def true_risks(age: float, crp: float, creatinine: float, days: int) -> dict[str, float]:
    """The rules' own risk of death within `days`, and of remdesivir, oxygen and dexamethasone on day 0."""
    inflamed, kidney = np.log(crp / 60), np.log(creatinine / 1.1)
    oxygen = float(_sigmoid(-1.4 + 0.9 * inflamed + 0.02 * (age - 65)))
    death = 0.0
    for on, share in ((0, 1 - oxygen), (1, oxygen)):
        hazard = float(_sigmoid(-5.1 + 0.062 * (age - 65) + 0.65 * inflamed + 0.95 * kidney + 0.9 * on))
        leaving = float(_sigmoid(-1.6 - 0.5 * inflamed - 1.0 * on))
        there = 1.0
        for day in range(1, days + 1):
            death += share * there * hazard
            there *= (1 - hazard) * (1 - (leaving if day >= 2 else 0.0))
    return {
        "death": death,
        "oxygen": oxygen,
        "remdesivir": float(_sigmoid(-0.2 + 0.9 * inflamed - 1.3 * kidney)),
        "dexamethasone": 0.85 * oxygen + 0.08 * (1 - oxygen),
    }


def egfr(creatinine: float, age: float, female: bool) -> float:
    """Filtration in mL/min/1.73 m² from creatinine in mg/dL: CKD-EPI 2021 (Inker et al., NEJM 2021)."""
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = creatinine / kappa
    value = 142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**age
    return float(value * (1.012 if female else 1.0))


def _sigmoid(value: Array | float) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.asarray(value, dtype=np.float64))))
