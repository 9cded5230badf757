"""How a class is said in a sentence, where its name alone would not read well."""

from __future__ import annotations

SPOKEN = {
    "HE": "H&E",
    "malignant": "a malignant process",
    "benign tumour": "a benign tumour",
    "pre-malignant": "a pre-malignant process",
    "inflammatory/infectious": "an inflammatory or infectious process",
    "normal": "normal tissue",
}
