"""`python -m benchmarks.alignment --data DIR`: does a learned image–text space beat looking labels up?

Ways to score a text on a case. *Aligned*: frozen tile features and TF-IDF of the text, each through one linear
map, trained with the contrastive loss of CLIP (Radford et al., ICML 2021; open_clip's own `ClipLoss`) on the
descriptions of training cases, or on their labels and description (*aligned with labels*). *Lookup*: the names of
organs, categories and diagnoses that the text holds, each the mean of the training cases so labelled; the score is
the mean cosine to them. *Text neighbours* weighs every training case by how alike its description is to the text
(cosine of TF-IDF, cubed): what can be had of the texts without training. All see the same cases, features, folds.

Needs the extras `train` and `encoders`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slides.errors import PathcopilotError, SetupError, UsageError
from vision_encoder.catalog import load_encoder
from vision_encoder.features import tile_features
from vision_encoder.projection import principal_axes, unit
from vision_encoder.recipe import show_progress
from vision_encoder.reference_tiles import load_reference_tiles, slide_descriptions

RECIPE = Path("recipes/alignment.toml")
RESAMPLES = 2000
Rows = NDArray[np.float32]
Score = Callable[[Sequence[str]], NDArray[np.float64]]
"""Scores (cases, texts) of texts on the cases that are held out."""


@dataclass(frozen=True)
class Case:
    """One case of the atlas: components of its tiles (n, p), the line that describes it, its labels."""

    tiles: Rows
    text: str
    organ: str
    category: str
    diagnosis: str
    group: str
    split: str


def load_cases(settings: Mapping[str, Any], data: Path, encoder_name: str) -> list[Case]:
    """Cases with an H&E slide and a description; slides of one group and description are one case."""
    encoder = load_encoder(encoder_name)
    tiles = load_reference_tiles(data, settings["rename"])
    described = slide_descriptions(data)
    texts = np.array([described.get(tile_id.rpartition("/")[0], "") for tile_id in tiles.id], dtype=object)
    usable = (tiles.kind == "cases") & (tiles.stain == "HE") & np.isin(tiles.downsample, settings["downsamples"])
    usable &= texts != ""
    if not usable.any():
        raise UsageError(f"no described case under {data}: it should hold the folder atlas")
    tiles, texts = tiles.where(usable), texts[usable]
    features = tile_features(encoder, tiles, "whole", show_progress)
    known = tiles.split == "train"
    components = principal_axes(features[known], settings["dimensions"], whitening=0.5)(features)
    keys = sorted(set(zip(tiles.group, texts, strict=True)))
    cases = []
    for group, text in keys:
        own = np.flatnonzero((tiles.group == group) & (texts == text))
        first = own[0]
        labels = (tiles.organ[first], tiles.category[first], tiles.disease[first])
        cases.append(Case(components[own], text, *labels, group, tiles.split[first]))
    return cases


class Texts:
    """TF-IDF of descriptions over words, word pairs and pieces of words, fitted on training cases."""

    def __init__(self, texts: Sequence[str], dimensions: int, seed: int) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_union

        self._terms = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words="english"),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
        )
        rows = self._terms.fit_transform(texts)
        self._axes = TruncatedSVD(min(dimensions, len(texts) - 1), random_state=seed).fit(rows)
        self.known = rows

    def dense(self, texts: Sequence[str]) -> Rows:
        """Unit rows (n, t) in the singular vectors."""
        return unit(self._axes.transform(self._terms.transform(texts)).astype(np.float32))

    def likeness(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Cosine (n, training texts)."""
        # each of the two blocks has rows of length 1
        return np.asarray((self._terms.transform(texts) @ self.known.T).todense()) / 2


def aligned(
    train: Sequence[Case], asked: Sequence[Case], writings: Sequence[str], settings: Mapping[str, Any]
) -> Score:
    """The learned space: one linear map for pictures, one for the writings, full batches of training cases."""
    import torch

    from vision_encoder.torchvision_shim import import_torchvision

    import_torchvision()
    from open_clip.loss import ClipLoss

    torch.manual_seed(settings["seed"])
    rng = np.random.default_rng(settings["seed"])
    texts = Texts(writings, settings["text_dimensions"], settings["seed"])
    written = torch.from_numpy(texts.dense(writings))
    size = settings["shared_dimensions"]
    picture_map = torch.nn.Linear(train[0].tiles.shape[1], size, bias=False)
    text_map = torch.nn.Linear(written.shape[1], size, bias=False)
    scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
    groups = [
        {"params": [*picture_map.parameters(), *text_map.parameters()], "weight_decay": settings["decay"]},
        {"params": [scale], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings["rate"])
    loss, drop = ClipLoss(), torch.nn.Dropout(settings["dropout"])

    def embedded(network: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(network(rows), dim=1)

    for _ in range(settings["steps"]):
        drawn = [case.tiles[rng.integers(len(case.tiles), size=settings["tiles_per_view"])] for case in train]
        pictures = torch.from_numpy(unit(np.stack([tiles.mean(axis=0) for tiles in drawn])))
        error = loss(embedded(picture_map, drop(pictures)), embedded(text_map, drop(written)), scale.exp())
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    with torch.inference_mode():
        places = embedded(picture_map, torch.from_numpy(_pooled(asked)))

    def score(said: Sequence[str]) -> NDArray[np.float64]:
        with torch.inference_mode():
            return (places @ embedded(text_map, torch.from_numpy(texts.dense(said))).T).double().numpy()

    return score


def looked_up(train: Sequence[Case], asked: Sequence[Case]) -> Score:
    """The mean cosine to the prototypes of the label names that a text holds; 0 where it holds none."""
    rows, pictures = _pooled(train), _pooled(asked)
    prototypes: dict[str, Rows] = {}
    for name in sorted({label for case in train for label in _labels(case)}):
        own = np.array([name in _labels(case) for case in train])
        prototypes[name] = unit(rows[own].mean(axis=0, keepdims=True))[0]

    def score(said: Sequence[str]) -> NDArray[np.float64]:
        table = np.zeros((len(pictures), len(said)))
        for column, text in enumerate(said):
            found = [vector for name, vector in prototypes.items() if name in text.lower()]
            if found:
                table[:, column] = (pictures @ np.stack(found).T).mean(axis=1)
        return table

    return score


def by_text_neighbours(train: Sequence[Case], asked: Sequence[Case], texts: Texts) -> Score:
    """The cosine to the training cases weighted by how alike their descriptions are to the text."""
    rows, pictures = _pooled(train), _pooled(asked)

    def score(said: Sequence[str]) -> NDArray[np.float64]:
        weights = texts.likeness(said) ** 3
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        return (pictures @ unit((weights @ rows).astype(np.float32)).T).astype(np.float64)

    return score


def _pooled(cases: Sequence[Case]) -> Rows:
    return unit(np.stack([case.tiles.mean(axis=0) for case in cases]))


def _labels(case: Case) -> set[str]:
    return {label.lower() for label in (case.organ, case.category, case.diagnosis) if label}


def measured(score: Score, asked: Sequence[Case], concepts: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Figures of each held-out case, in order; nan where it has no such label.

    `description` is the share of the other held-out descriptions that score below its own; of `organ` and
    `category`, the share of the other names that score below its own.
    """
    found = {"description": _shares(score([case.text for case in asked]), range(len(asked)))}
    for kind, names in concepts.items():
        labels = [getattr(case, kind) for case in asked]
        own = [names.index(label) if label in names else -1 for label in labels]
        found[kind] = _shares(score(names), own)
    return found


def _shares(table: NDArray[np.float64], own: Sequence[int]) -> list[float]:
    """Of each row, the share of the other columns below the own one, ties counting half; nan where there is none."""
    shares = []
    for row, column in zip(table, own, strict=True):
        others = np.delete(row, column)
        below = (others < row[column]).mean() + 0.5 * (others == row[column]).mean()
        shares.append(float(below) if column >= 0 else float("nan"))
    return shares


def folds(cases: Sequence[Case], settings: Mapping[str, Any]) -> Iterator[tuple[list[Case], list[Case]]]:
    """Training and held-out cases of repeated folds; no group is on both sides."""
    groups = sorted({case.group for case in cases})
    for repeat in range(settings["repeats"]):
        dealt = np.random.default_rng([settings["seed"], repeat]).permutation(len(groups))
        for fold in range(settings["folds"]):
            out = {groups[index] for index in dealt[fold :: settings["folds"]]}
            yield [case for case in cases if case.group not in out], [case for case in cases if case.group in out]


def compare(parts: Sequence[tuple[list[Case], list[Case]]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Means over held-out cases of each way, and each less the lookup with a 95 % interval over groups."""
    rows: dict[str, dict[str, list[float]]] = {}
    groups: list[str] = []
    for number, (train, asked) in enumerate(parts):
        show_progress("parts", number + 1, len(parts))
        texts = Texts([case.text for case in train], settings["text_dimensions"], settings["seed"])
        concepts = {
            kind: sorted(
                name
                for name in {getattr(case, kind) for case in train} - {""}
                if len({case.group for case in train if getattr(case, kind) == name}) >= settings["least_cases"]
            )
            for kind in ("organ", "category")
        }
        described = [case.text for case in train]
        labelled = [", ".join([*sorted(_labels(case)), case.text]) for case in train]
        ways = {
            "lookup": looked_up(train, asked),
            "aligned": aligned(train, asked, described, settings),
            "aligned with labels": aligned(train, asked, labelled, settings),
            "text neighbours": by_text_neighbours(train, asked, texts),
        }
        groups += [case.group for case in asked]
        for way, score in ways.items():
            for figure, values in measured(score, asked, concepts).items():
                rows.setdefault(figure, {}).setdefault(way, []).extend(values)
    owners = np.array(groups)
    return {figure: _summary(table, owners, settings["seed"]) for figure, table in rows.items()}


def _summary(table: Mapping[str, Sequence[float]], owners: NDArray[Any], seed: int) -> dict[str, Any]:
    values = {way: np.array(shares) for way, shares in table.items()}
    known = ~np.isnan(values["lookup"])
    names = sorted(set(owners[known]))
    # one figure a group and way: its mean over repeats
    means = {way: np.array([rows[known & (owners == name)].mean() for name in names]) for way, rows in values.items()}
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), (RESAMPLES, len(names)))
    told: dict[str, Any] = {"groups": len(names)}
    for way, rows in means.items():
        told[way] = round(float(rows.mean()), 3)
        if way != "lookup":
            gain = rows - means["lookup"]
            low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
            told[f"{way} less lookup"] = [round(float(value), 3) for value in (gain.mean(), low, high)]
    return told


def main() -> None:
    """The command line: data folder, encoder, recipe; one JSON object on stdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alignment", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds atlas/ and tiles/")
    parser.add_argument("--encoder", default="embedded")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    options = parser.parse_args()
    settings = tomllib.loads(options.recipe.read_text(encoding="utf-8"))
    try:
        cases = load_cases(settings, options.data, options.encoder)
        train = [case for case in cases if case.split == "train"]
        dev = [case for case in cases if case.split == "dev"]
        told = {
            "encoder": options.encoder,
            "cases": {"train": len(train), "dev": len(dev)},
            "folds over training groups": compare(list(folds(train, settings)), settings),
            "dev": compare([(train, dev)], settings),
        }
    except ImportError as error:
        raise SystemExit(
            str(SetupError(f'{error.name} is missing: pip install "pathcopilot[train,encoders]"'))
        ) from None
    except PathcopilotError as error:
        raise SystemExit(str(error)) from error
    print(file=sys.stderr)
    print(json.dumps(told, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
