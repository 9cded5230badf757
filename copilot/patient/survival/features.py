"""A record as numbers: one vector a modality, and whether the modality is there.

Every map is fitted on training rows and kept as plain arrays, so that reading needs NumPy alone: standardised
covariates with hinges at terciles or logarithms, TF-IDF on a singular basis, principal components of expression or of
a slide's embedding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..record import Patient
from .recipe import Covariate, Settings

Vectors = dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]
"""By modality: vectors (n, d), zero where absent, and presence (n,)."""

_TOKENS = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_KNOWN_WORDS = 0.6
"""A text of which a smaller share of words was ever seen in training is left out."""


@dataclass(frozen=True)
class TableMap:
    """Covariates to d columns: for a number z, for `log` log(1 + x), for `hinge` z and two hinges; for a word one
    column a level but the first. `centre` and `scale` (d,); `medians` are what a missing one is told as."""

    covariates: tuple[Covariate, ...]
    knots: Mapping[str, tuple[float, float]]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    usual: Mapping[str, float | str]

    def raw(self, patient: Patient) -> list[float]:
        """The d columns before standardising; NaN where the covariate is unknown."""
        row: list[float] = []
        for covariate in self.covariates:
            if covariate.levels:
                word = patient.word(covariate.name)
                levels = list(covariate.levels.values())
                known = word in levels
                row += [float(word == level) if known else float("nan") for level in levels[1:]]
                continue
            number = patient.number(covariate.name)
            value = float("nan") if number is None else number
            row.append(float(np.log1p(max(value, 0.0))) if covariate.shape == "log" else value)
            if covariate.shape == "hinge":
                row += [max(value - knot, 0.0) if value == value else value for knot in self.knots[covariate.name]]
        return row

    def __call__(self, patients: Sequence[Patient]) -> NDArray[np.float64]:
        """Standardised columns (n, d); 0, the training mean, where unknown."""
        table = (np.array([self.raw(patient) for patient in patients]) - self.centre) / self.scale
        return np.nan_to_num(table)

    def groups(self) -> NDArray[np.int64]:
        """Which covariate each of the d columns belongs to (d,)."""
        sizes = [
            len(covariate.levels) - 1 if covariate.levels else (3 if covariate.shape == "hinge" else 1)
            for covariate in self.covariates
        ]
        return np.repeat(np.arange(len(sizes)), sizes)


def fit_table(covariates: tuple[Covariate, ...], patients: Sequence[Patient]) -> TableMap:
    """The table's map of training patients (n)."""
    knots: dict[str, tuple[float, float]] = {}
    usual: dict[str, float | str] = {}
    for covariate in covariates:
        if covariate.levels:
            words = Counter(word for patient in patients if (word := patient.word(covariate.name)) is not None)
            usual[covariate.name] = words.most_common(1)[0][0]
            continue
        values = [value for patient in patients if (value := patient.number(covariate.name)) is not None]
        usual[covariate.name] = float(np.median(values))
        low, high = np.quantile(values, (1 / 3, 2 / 3))
        knots[covariate.name] = (float(low), float(high))
    bare = TableMap(covariates, knots, np.zeros(1), np.ones(1), usual)
    raw = np.array([bare.raw(patient) for patient in patients])
    return TableMap(covariates, knots, np.nanmean(raw, axis=0), np.maximum(np.nanstd(raw, axis=0), 0.05), usual)


@dataclass(frozen=True)
class TextMap:
    """Words to components: `idf` (v,) of the vocabulary, basis (v, k), scale (k,)."""

    vocabulary: Mapping[str, int]
    idf: NDArray[np.float64]
    basis: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Components (n, k), and whether the text is there and of the kind learned from (n,)."""
        weights = _tf_idf([tokens(text) for text in texts], self.vocabulary, self.idf)
        words = [set(re.findall(r"[a-z]+", text.lower())) for text in texts]
        known = [len(w & self.vocabulary.keys()) >= _KNOWN_WORDS * len(w) > 0 for w in words]
        there = np.array(known, dtype=bool)
        return (weights @ self.basis / self.scale) * there[:, None], there


def tokens(text: str) -> list[str]:
    """Words, pairs of words, and numbers by size, coarse and fine, with the word before: 'nodes 12' gives nodes#6."""
    found: list[str] = []
    before = ""
    for token in _TOKENS.findall(text.lower()):
        if token[0].isdigit():
            scale = float(np.log2(1 + float(token)))
            found += [f"#{round(1.5 * scale)}", f"{before}#{round(1.5 * scale)}", f"{before}##{round(5 * scale)}"]
        else:
            found.append(token)
            if before:
                found.append(f"{before} {token}")
            before = token
    return found


def fit_text(texts: Sequence[str], components: int) -> TextMap:
    """The text's map of training texts: terms of at least three texts, at most 600, on their singular vectors."""
    terms = [tokens(text) for text in texts]
    counts = Counter(term for found in terms for term in set(found))
    kept = sorted(term for term, count in counts.most_common(600) if count >= 3)
    vocabulary = {term: i for i, term in enumerate(kept)}
    idf = np.log((1 + len(texts)) / (1 + np.array([counts[term] for term in kept], dtype=np.float64))) + 1
    weights = _tf_idf(terms, vocabulary, idf)
    _, _, basis = np.linalg.svd(weights, full_matrices=False)
    components = min(components, len(basis))
    reduced = weights @ basis[:components].T
    return TextMap(vocabulary, idf, basis[:components].T, np.maximum(reduced.std(axis=0), 1e-6))


@dataclass(frozen=True)
class VectorMap:
    """A named or plain vector to components: centre and scale (d,), basis (d, k), spread (k,)."""

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    basis: NDArray[np.float64]
    spread: NDArray[np.float64]

    def __call__(self, rows: Sequence[Sequence[float] | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Components (n, k), and whether the vector is there with its full length (n,)."""
        there = np.array([row is not None and len(row) == len(self.centre) for row in rows], dtype=bool)
        found = np.zeros((len(rows), len(self.spread)))
        for i, row in enumerate(rows):
            if there[i]:
                found[i] = ((np.asarray(row) - self.centre) / self.scale) @ self.basis / self.spread
        return found, there


def fit_vector(rows: Sequence[Sequence[float]], names: tuple[str, ...], components: int) -> VectorMap:
    """The map of training vectors (n, d) onto their leading principal components."""
    values = np.asarray(rows, dtype=np.float64)
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    _, _, basis = np.linalg.svd((values - centre) / scale, full_matrices=False)
    kept = basis[: min(components, len(basis))].T
    spread = np.maximum((((values - centre) / scale) @ kept).std(axis=0), 1e-6)
    return VectorMap(names, centre, scale, kept, spread)


@dataclass(frozen=True)
class Features:
    """All maps of a model; None for a modality that its training rows lack."""

    table: TableMap
    text: TextMap | None
    expression: VectorMap | None
    slide: VectorMap | None

    def __call__(self, patients: Sequence[Patient]) -> Vectors:
        """Vectors and presence by modality; the table counts as there where any of its covariates is."""
        rows = np.array([self.table.raw(patient) for patient in patients])
        found: Vectors = {"table": (self.table(patients), ~np.isnan(rows).all(axis=1))}
        if self.text is not None:
            found["text"] = self.text([patient.text for patient in patients])
        if (genes := self.expression) is not None:
            found["expression"] = genes([_levels(patient, genes.names) for patient in patients])
        if self.slide is not None:
            found["slide"] = self.slide([patient.slide for patient in patients])
        return found


def fit_features(covariates: tuple[Covariate, ...], patients: Sequence[Patient], settings: Settings) -> Features:
    """The maps of training patients, for the modalities that all of them, or a fair part, have."""
    texts = [patient.text for patient in patients if patient.text]
    genes = next((tuple(patient.expression) for patient in patients if patient.expression), ())
    levels = [row for patient in patients if genes and (row := _levels(patient, genes)) is not None]
    slides = [patient.slide for patient in patients if patient.slide]
    return Features(
        fit_table(covariates, patients),
        fit_text(texts, settings.text_components) if len(texts) >= 30 else None,
        fit_vector(levels, genes, settings.vector_components) if len(levels) >= 30 else None,
        fit_vector(slides, (), settings.vector_components) if len(slides) >= 30 else None,
    )


def _levels(patient: Patient, genes: tuple[str, ...]) -> list[float] | None:
    held = patient.expression or {}
    return [held[gene] for gene in genes] if all(gene in held for gene in genes) else None


def _tf_idf(terms: Sequence[list[str]], vocabulary: Mapping[str, int], idf: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.zeros((len(terms), len(idf)))
    for i, found in enumerate(terms):
        for term, count in Counter(found).items():
            if (place := vocabulary.get(term)) is not None:
                weights[i, place] = (1 + np.log(count)) * idf[place]
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    return np.asarray(weights / np.maximum(lengths, 1e-9))
