"""Ten questions of real slides, answered unedited: `python -m benchmarks.answers --data DIR --out FILE`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from copilot import Copilot
from copilot.answer import Answer, Done
from copilot.requests import Request, opened
from slides import Evidence, Region
from slides.files import write_atomically


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of the page."""

    slide: str
    question: str
    regions: tuple[Region, ...] = ()
    context: str | None = None
    options: tuple[str, ...] = ()
    mpp: float | None = None


SQUAMOUS = (Region(700, 900, 900, 800),)
DUODENUM = (Region(1500, 1500, 1200, 1200), Region(3300, 3300, 1200, 1200))
QUESTIONS = (
    Asked("CMU-1-Small-Region.svs", "What is this?", SQUAMOUS),
    Asked("OS-1-he-crop.ome.tif", "Is this malignant?"),
    Asked("giardia-generic-pyramid.tif", "What is this?", context="duodenal biopsy, diarrhoea"),
    Asked("giardia-generic-pyramid.tif", "How cellular are these two boxes?", DUODENUM),
    Asked("OS-2-ki67-hamamatsu-crop.ome.tif", "What can be read from this stain?"),
    Asked("CMU-1-Small-Region.svs", "What is the Ki-67 index here?", SQUAMOUS),
    Asked(
        "TCGA-CR-7395-01A-01-TS1.j2k.svs",
        "What is this, and how large are the nuclei?",
        (Region(1500, 1200, 1200, 1200),),
    ),
    Asked("dicom-camelyon-lowres", "Is there a metastasis in this lymph node?"),
    Asked("hamamatsu-fluorescence-tritc.ndpi", "What is this?"),
    Asked(
        "giardia-aperio-layout-fake-label.svs",
        "Which organ is this?",
        context="liver biopsy",
        options=("small intestine", "liver", "lung", "skin"),
    ),
)


def told(copilot: Copilot, folder: Path, asked: Asked) -> Answer:
    """The answer to one question of the page."""
    request = Request((folder / asked.slide,), asked.question, asked.regions, asked.mpp, asked.context, asked.options)
    with opened(request) as question:
        for event in copilot.ask(question):
            if isinstance(event, Done):
                return event.answer
    raise AssertionError("the engine ends every answer with Done")


def page(copilot: Copilot, folder: Path) -> str:
    """The page of answers as Markdown."""
    lines = [
        "# Ten answers, unedited",
        "",
        "Made by `python -m benchmarks.answers --data DIR --out docs/model_cards/answers.md` on the slides of the",
        "shared data. A number in brackets after a sentence is the evidence it rests on; `knowledge` marks what comes",
        "from the sourced tables or from the limits of the method. What the checker struck is listed too.",
    ]
    for number, asked in enumerate(QUESTIONS, 1):
        lines += ["", f"## {number}. {asked.question}", "", *entry(asked, told(copilot, folder, asked))]
    return "\n".join(lines) + "\n"


def entry(asked: Asked, answer: Answer) -> list[str]:
    """One answer: its sentences with their evidence, the evidence, the seconds."""
    where = "; ".join(",".join(map(str, region.xywh)) for region in asked.regions) or "whole slide"
    lines = [f"*{asked.slide}, {where}*" + (f" · context: {asked.context}" if asked.context else ""), ""]
    if asked.options:
        lines += [f"Options: {', '.join(asked.options)}", ""]
    for claim in answer.claims:
        mark = f"[{', '.join(map(str, claim.evidence))}]" if claim.evidence else f"({claim.status})"
        struck = f"- struck: ~~{claim.text}~~ {claim.reason}"
        lines.append(struck if claim.status == "struck" else f"- {claim.text} {mark}")
    lines += [
        "",
        "| evidence | finding | label or value | probability | 90 % set | level-0 box |",
        "|---|---|---|---|---|---|",
    ]
    lines += [row(index, item) for index, item in enumerate(answer.evidence)]
    t = answer.timings
    lines += [
        "",
        f"Look {t.look:.2f} s, first word {t.first_token:.2f} s, whole answer {t.total:.2f} s, models loaded.",
    ]
    if answer.notes:
        lines += ["", "Notes: " + " ".join(f"{note.rstrip('.')}." for note in answer.notes)]
    return lines


def row(index: int, item: Evidence) -> str:
    """One row of the table of evidence."""
    f = item.finding
    value = f.label or (f"{f.value:.3g} {f.unit or ''}".strip() if f.value is not None else "–")
    p = "–" if f.probability is None else f"{f.probability:.2f}"
    name = f"{f.name} (abstains)" if f.abstained else f.name
    box = ",".join(map(str, item.region.xywh))
    return f"| {index} | {name} | {value} | {p} | {', '.join(f.prediction_set) or '–'} | {box} |"


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    copilot = Copilot.load()
    copilot.language  # noqa: B018 - waited for, so that no answer counts its loading
    write_atomically(options.out, page(copilot, options.data / "slides"))
    print(f"{len(QUESTIONS)} answers written to {options.out}")


if __name__ == "__main__":
    main()
