"""The model card of the assistant: Markdown in which every figure comes from the results of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vision_encoder.benchmark.tables import table

from ..quoting import quoted
from .run import SUITES

Results = Mapping[str, Any]
COLUMNS = (
    ("choice", "accuracy", "multiple choice: right"),
    ("choice", "accuracy of answered", "right of answered"),
    ("choice", "abstained", "left open"),
    ("choice", "flips over orders", "flips"),
    ("open", "concept F1", "concept F1"),
    ("open", "concept F1, outright", "F1, outright"),
    ("open", "answers that contradict", "contradicts"),
    ("open", "own words, before the check: concept F1", "F1 of what the model wrote"),
    ("open", "own words that stand: concept F1", "F1 of what of it stands"),
    ("support", "shown, by the auditor", "shown sentences supported"),
    ("support", "written freely, before the check", "before the check"),
    ("legality", "violations", "unlawful"),
    ("injection", "obeyed", "injections obeyed"),
)
ABOUT = {
    "choice": "Up to five options in every cyclic order, every second one with letters. Left open counts as wrong in "
    "*accuracy*.",
    "image": "The same questions with no picture, empty glass, noise and another case's picture.",
    "open": "Concepts of the labels named in free answers; *outright* leaves likenesses out. *Own words* is "
    "what the language model wrote when it was let write freely, without the templates that say what it left out.",
    "support": "Shown sentences read again by an auditor that shares no code with the checker; sentences that the "
    "language model wrote in its own words, before the checker struck any.",
    "abstention": "What shows no tissue or cannot be answered is to be declined, what can be answered is not.",
    "pressure": "Right answers asked again under a false claim by someone with authority.",
    "context": "The same questions with no, a right and a contradictory clinical context.",
    "legality": "Markers, genes, grades, stages, organisms, outcomes and sizes without scale, asked of H&E in every "
    "tone; judged by a detector of its own.",
    "several": "Two pictures in one question, in both orders, and twice the same.",
    "magnification": "Held-out slides at downsample 1, 2, 4 and 16 of their source.",
    "paraphrase": "The same question in other words.",
    "injection": "Instructions in the picture, the file's name and metadata, and in pasted text.",
}
SHOWN = 5


def card(results: Results) -> str:
    """The card; raises nothing: what was not measured is a dash."""
    names = [name for name in SUITES if name in results["suites"]]
    lines = [
        *_opening(results),
        *_side_by_side(results),
        *(line for name in names for line in _suite(name, results["suites"][name])),
        *_samples(results["suites"].get("open")),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _opening(results: Results) -> list[str]:
    model, data = results["model"], results["data"]
    weights = [[name, digest[:12]] for name, digest in model["weights_sha256"].items() if digest]
    limit = f" At most {results['limit']} a suite (`--limit`)." if results["limit"] else ""
    return [
        "# The assistant",
        "",
        "Made by `pathcopilot evaluate chat --data DIR --out docs/model_cards/assistant.md`; nothing here is written "
        "by hand.",
        "",
        f"Language model {model['language']} ({model['wording']}), encoder {model['encoder']}. {data['pictures']} "
        f"pictures of {data['groups']} groups (patients, or what stands for one) that no weight was trained on.{limit} "
        "Intervals are 95 %, by bootstrap over groups. A picture is a labelled tile without µm/px, or up to 16 tiles "
        "of a slide on one sheet, as a person would upload it.",
        "",
        *table(["weights", "sha256"], weights),
    ]


def _side_by_side(results: Results) -> list[str]:
    rows = {"this copilot": results["suites"], **results.get("rows", {})}
    columns = [(suite, name, title) for suite, name, title in COLUMNS if suite in results["suites"]]
    if not columns:
        return []
    told = [
        [row, *(_figure(suites.get(suite, {}).get("figures", {}).get(name)) for suite, name, _ in columns)]
        for row, suites in rows.items()
    ]
    return [
        "## In one table",
        "",
        *table(["who answers", *(title for _, _, title in columns)], told),
        "*Findings alone* are the plain templates without a language model. *Untuned* is the same small model as it "
        "was published, writing freely from the same findings, each sentence checked. *Text only* is that model "
        "without picture or findings. Rows that write freely, and what they wrote, are of fewer questions.",
        "",
    ]


def _suite(name: str, found: Results) -> list[str]:
    rows = [[figure, _figure(value), str(value["n"])] for figure, value in found["figures"].items()]
    rows += [[f"*{figure}*", _figure(value), str(value["n"])] for figure, value in found["baselines"].items()]
    lines = [
        f"## {name.capitalize()}",
        "",
        f"{ABOUT[name]} {found['questions']} questions about pictures of {found['groups']} groups, "
        f"{found['seconds']:.0f} s. Baselines in italics.",
        "",
        *table(["figure", "value", "n"], rows),
    ]
    lines += [*_details(found["details"]), *(f"Note: {note}." for note in found["notes"])]
    if found["failures"]:
        lines += [f"Gone wrong: {found['failures_in_all']}, of them", ""]
        lines += [*map(_wrong, found["failures"][:SHOWN]), ""]
    return lines


def _wrong(failure: Results) -> str:
    told = {key: quoted(failure[key], 300) for key in ("picture", "question", "answer", "why")}
    return f"- {told['picture']}: {told['question']} → “{told['answer']}” ({told['why']})"


def _details(details: Results) -> list[str]:
    """The details that are tables or single values; samples have their own part."""
    lines: list[str] = []
    for name, value in details.items():
        if name in ("samples", "written", "own"):
            continue
        if not isinstance(value, Mapping):
            lines += [f"{name}: {_plain(value)}.", ""]
        elif value and all(isinstance(row, Mapping) for row in value.values()):
            columns = list(next(iter(value.values())))
            rows = [[key, *(_plain(row[column]) for column in columns)] for key, row in value.items()]
            lines += table([name, *columns], rows)
        elif value:
            lines += [f"{name}: " + "; ".join(f"{key} {_plain(part)}" for key, part in value.items()) + ".", ""]
    return lines


def _samples(found: Results | None) -> list[str]:
    samples: Sequence[Results] = found["details"].get("samples", []) if found else []
    if not samples:
        return []
    lines = [f"## {len(samples)} answers, unedited", "", "Drawn by a fixed seed from the open questions.", ""]
    for number, sample in enumerate(samples, 1):
        labels = ", ".join(f"{axis} {label}" for axis, label in sample["labels"].items())
        lines += [
            f"**{number}. {quoted(sample['question'])}** {quoted(sample['picture'])} (labels: {quoted(labels)})",
            "",
        ]
        lines += [f"> {quoted(sample['answer'], 3000)}", ""]
        lines += [f"Struck: {quoted('; '.join(sample['struck']), 600)}", ""] if sample["struck"] else []
    return lines


def _figure(value: Results | None) -> str:
    if value is None or value["value"] is None:
        return "–"
    ends = "" if value["low"] is None else f" ({value['low']:.2f} to {value['high']:.2f})"
    return f"{value['value']:.2f}{ends}"


def _plain(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
