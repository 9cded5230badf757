"""Writes the model card of the heads: every number in it was measured in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scipy.stats import binomtest

from slides.files import write_atomically

from .evaluate import HeadResult, Interval, NoveltyResult, RetrievalResult
from .heads import Head, HeadSet

LEFT_OUT = (
    "## Not here",
    "",
    "No head for breast (17 patients to learn from), bone (2), lymph node (2 pseudo-groups) or kidney (1): "
    "too few groups to calibrate. None for H. pylori, Ki-67, glioma or Gleason patterns: the terms of those "
    "sets do not admit shipped weights.",
    "",
)
MUST_NOT = {
    "stain": "Naming an antibody or a special stain; it knows kinds of preparation only.",
    "organ": "Finding the origin of a metastasis, or naming an organ it has no class for: those read as "
    "`another organ` or as one of its own. Organ and laboratory are confounded in single-tile sets.",
    "category": "Calling a case benign or malignant. On whole-slide cases it is near chance and does not "
    "speak; nobody marked where in a slide the lesion lies.",
    "tissue colon": "Anything but H&E of colon; grading, or measuring the share of tumour in a report. Its "
    "tiles come from few laboratories and one tile stands for one group.",
    "disease oral cavity": "Dysplasia and other lesions: it knows normal epithelium and squamous cell "
    "carcinoma only, from one set whose patients are not known (blocks of image numbers stand for them).",
}


def write_card(
    path: Path,
    heads: HeadSet,
    results: Mapping[str, Sequence[HeadResult]],
    novelty: Sequence[NoveltyResult],
    retrieval: RetrievalResult,
) -> None:
    """Writes the Markdown card, atomically."""
    lines = [
        *_opening(heads),
        *summary_table(results),
        *(line for head in heads.heads for line in _head_section(head, results[head.name])),
        *_novelty_section(novelty),
        *_retrieval_section(retrieval),
        *LEFT_OUT,
        *_attribution(heads),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "\n".join(lines) + "\n")


def _opening(heads: HeadSet) -> list[str]:
    card = heads.card
    return [
        "# Heads on the embedded encoder",
        "",
        "Made by `python -m vision_encoder.evaluate heads --data DIR --out docs/model_cards/heads.md`; "
        "nothing here is written by hand.",
        "",
        f"Encoder `{card['encoder']['name']}` (weights {card['encoder']['sha256'][:12]}), see the card of the "
        "encoder. Where that encoder learned labels of a set, only groups it was never told of choose penalties and "
        "calibrate. Heads: ridge multinomial regressions on its features, "
        f"`vision_encoder/weights/heads.safetensors` {card['sha256'][:12]}, made by `recipes/{card['recipe']}` "
        f"({card['recipe_sha256'][:12]}) from {card['tiles']} permissive tiles of {card['groups']} groups "
        f"(data {card['data_sha256'][:12]}).",
        "",
        "**How to read it.** All figures are on the split `dev`, which training, calibration and every choice "
        "left closed. A *group* is a patient or what stands for one; `group` reads all tiles of a group "
        "(at most 48) as one bag, `tile` each tile alone. Balanced accuracy has a 95 % bootstrap interval "
        "over groups. *Colour* is the same regression on a colour histogram; *majority* is what always "
        "naming one class scores. ECE has ten bins of equal mass. Coverage is of the 90 % sets, with the "
        "exact 95 % interval of the share; tiles of one group are not independent, so theirs has none. "
        "*Silent* is the share of readings in which the head abstains; *right when speaking* counts the "
        "rest. Held-out groups are few: no figure is a clinical performance.",
        "",
    ]


def summary_table(results: Mapping[str, Sequence[HeadResult]]) -> list[str]:
    """Lines of the Markdown table of all figures, one row a reading."""
    lines = [
        "## In one table",
        "",
        "| head | reading | tiles | groups | balanced accuracy | colour | majority | ECE | coverage of 90 % sets"
        " | mean set | silent | right when speaking |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {name} | {_row(result)} |" for name, rows in results.items() for result in rows]
    return [*lines, ""]


def _row(result: HeadResult) -> str:
    right, spoken = result.right_when_speaking
    coverage = f"{result.covered}/{result.bags} = {result.covered / result.bags:.2f}"
    if result.reading == "group":
        interval = binomtest(result.covered, result.bags).proportion_ci(0.95)
        coverage += f" ({interval.low:.2f}–{interval.high:.2f})"
    cells = [
        result.reading,
        str(result.tiles),
        str(result.groups),
        _interval(result.balanced_accuracy),
        _interval(result.colour),
        f"{result.majority:.2f}",
        f"{result.ece:.2f}",
        coverage,
        f"{result.set_size:.1f}",
        f"{result.abstained:.2f}",
        f"{right}/{spoken}",
    ]
    return " | ".join(cells)


def _interval(value: Interval) -> str:
    return f"{value[0]:.2f} ({value[1]:.2f}–{value[2]:.2f})"


def _head_section(head: Head, rows: Sequence[HeadResult]) -> list[str]:
    held_out = ", ".join(f"{name} {count}" for name, count in rows[0].per_class.items())
    return [
        f"## `{head.name}`",
        "",
        f"- Classes: {', '.join(head.classes)}.",
        f"- Scope: {head.scope.words}. Outside it, or where novelty p < 0.05, or below its level, it abstains.",
        f"- Held-out groups per class: {held_out}.",
        f"- {_against_colour(rows[0])}",
        f"- Not for: {MUST_NOT.get(head.name, 'use outside its scope.')}",
        "",
    ]


def _against_colour(result: HeadResult) -> str:
    gain = result.balanced_accuracy[0] - result.colour[0]
    verdict = f"{gain:+.2f} balanced accuracy" if gain > 0.005 else f"**no better** ({gain:+.2f})"
    return f"Against colour alone, by group: {verdict}."


def _novelty_section(results: Sequence[NoveltyResult]) -> list[str]:
    return [
        "## Novelty",
        "",
        "Score of the organ head, tile by tile. AUROC is against ordinary held-out H&E; *flagged* is the share "
        "with p < 0.05 (of ordinary tissue, about 0.05 is meant); *tissue head speaks* is the share of "
        "tiles on which any head other than `stain` does not abstain.",
        "",
        "| kind | tiles | AUROC | flagged | tissue head speaks |",
        "|---|---|---|---|---|",
        *(
            f"| {r.kind} | {r.tiles} | {r.auroc:.2f} | {r.flagged:.2f} | {r.any_tissue_head_speaks:.2f} |"
            for r in results
        ),
        "",
    ]


def _retrieval_section(result: RetrievalResult) -> list[str]:
    found = result.cases - result.without_match
    return [
        "## Reference atlas",
        "",
        f"Of {result.cases} held-out whole-slide H&E cases {found} found a match; the best match had the "
        f"case's category in {result.category} (agreement stated: {result.stated_category:.2f} on average) "
        f"and its organ in {result.organ} (stated: {result.stated_organ:.2f}). A likeness is no diagnosis: "
        "the stated agreement is the chance of the right category, not of the right disease.",
        "",
    ]


def _attribution(heads: HeadSet) -> list[str]:
    return ["## Attribution", "", *(f"- {line}" for line in heads.card["attribution"])]
