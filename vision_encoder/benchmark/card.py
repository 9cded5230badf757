"""Words for what was measured: the table on the screen and the model card, every figure from the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Results = Mapping[str, Any]


def summary(results: Results) -> str:
    """The table for the screen: one line an encoder and probe."""
    rows = [["encoder", "probe", "mean", "gain on imagenet", "error removed", "sets worse"]]
    for name, probes in results["probes"].items():
        for probe, figures in probes.items():
            against = figures["against"].get("imagenet")
            rows.append(
                [
                    name,
                    probe,
                    interval(figures["mean"]),
                    interval(against["mean"]) if against else "",
                    interval(against["error_removed"]) if against else "",
                    ", ".join(against["worse"]) if against else "",
                ]
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"note: {note}" for note in results["notes"])])


def interval(figure: Mapping[str, float | None] | None, digits: int = 2) -> str:
    """A figure with its interval, or a dash where there is none."""
    if figure is None or figure["value"] is None:
        return "–"
    ends = [figure["low"], figure["high"]]
    shown = " to ".join("?" if end is None else f"{end:.{digits}f}" for end in ends)
    return f"{figure['value']:.{digits}f} ({shown})"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    cells = list(header)
    return [_line(cells), _line("---" for _ in cells), *(_line(row) for row in rows), ""]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def write_card(results: Results, training_card: Mapping[str, Any] | None) -> str:
    """The model card of the encoder as Markdown."""
    return "# The encoder\n\n```\n" + summary(results) + "\n```\n"
