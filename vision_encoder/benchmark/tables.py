"""Rows and cells that the screen and the card share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

START = "imagenet"
"""The baseline whose error the summary asks about: where pretraining starts from."""
Results = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]

PROBE_WORDS = {
    "linear": "linear probe",
    "knn20": "20 nearest neighbours",
    "shot1": "1 tile a class",
    "shot5": "5 tiles a class",
    "shot10": "10 tiles a class",
}


def summary(results: Results) -> str:
    """What the screen shows: the overview, the linear probe set by set, and the notes."""
    lines = [
        "held-out balanced accuracy, mean over sets; 95 % intervals over groups, paired against imagenet",
        "",
        *aligned(*overview(results)),
        "",
        "linear probe, set by set",
        "",
        *aligned(*set_rows(results, "linear")),
        *(f"note: {note}" for note in results["notes"]),
    ]
    return "\n".join(lines)


def overview(results: Results) -> Table:
    """One row an encoder: the figures that the whole is judged by."""
    header = ["encoder", "linear", "error removed", "5-shot", "error removed", "k-NN", "sets worse"]
    rows = [[name, *_probe_cells(probes)] for name, probes in results["probes"].items()]
    atlas, robust, sources = results["atlas"], results["robustness"], results["sources"]
    if atlas is not None:
        names = [name for name in next(iter(atlas["encoders"].values()))["figures"] if ", dev" not in name]
        header += names
        for row in rows:
            row += [interval(atlas["encoders"][row[0]]["figures"][name]) for name in names]
    if robust is not None:
        header += ["stain loss", "stain ratio", "renamed by stain", "ratio"]
        for row in rows:
            lost, renamed = (robust[key][row[0]]["figures"]["stain"] for key in ("encoders", "renamed"))
            row += [interval(lost), interval(robust["stain_ratio"][row[0]])]
            row += [interval(renamed), interval(robust["renamed_ratio"][row[0]])]
    if sources is not None and sources["robustness_index"] is not None:
        header.append("robustness index")
        for row in rows:
            row.append(interval(sources["robustness_index"]["encoders"][row[0]]["figures"]["index"]))
    return header, rows


def _probe_cells(probes: Results) -> list[str]:
    cells = []
    for probe in ("linear", "shot5"):
        against = probes[probe]["against"].get(START)
        cells += [interval(probes[probe]["mean"]), gain(against["error_removed"]) if against else ""]
    cells.append(interval(probes["knn20"]["mean"]))
    worse = probes["linear"]["against"].get(START, {}).get("worse", [])
    return [*cells, str(len(worse)) if START in probes["linear"]["against"] else ""]


def set_rows(results: Results, probe: str) -> Table:
    """One row a task and one for the mean, one column an encoder; differences where an encoder is measured."""
    encoders = list(results["probes"])
    measured = [
        name
        for name, about in results["encoders"].items()
        if about["role"] == "measured" and START in results["probes"][name][probe]["against"]
    ]
    header = ["task", *encoders, *(f"{name} less {START}" for name in measured)]
    rows = []
    for task in results["sets"]:
        figures = [interval(results["probes"][name][probe]["tasks"][task]) for name in encoders]
        gains = [gain(results["probes"][name][probe]["against"][START]["tasks"][task]) for name in measured]
        rows.append([task, *figures, *gains])
    means = [interval(results["probes"][name][probe]["mean"]) for name in encoders]
    gains = [gain(results["probes"][name][probe]["against"][START]["mean"]) for name in measured]
    return header, [*rows, ["mean over sets", *means, *gains]]


def differences(results: Results, encoders: Results, names: Sequence[str], wanted: Sequence[str] = ()) -> Table:
    """Paired differences of each measured encoder from each baseline, or from those wanted: one row a pair."""
    rows = [
        [name, other, *(gain(gains[figure]) for figure in names)]
        for name, found in encoders.items()
        for other, gains in found["against"].items()
        if results["encoders"][name]["role"] == "measured" and (not wanted or other in wanted)
    ]
    return ["encoder", "against", *names], rows


def interval(figure: Mapping[str, float | None] | None, sign: str = "") -> str:
    """A figure with its interval, or a dash where there is none."""
    if figure is None or figure["value"] is None:
        return "–"
    low, high = ("?" if end is None else f"{end:{sign}.2f}" for end in (figure["low"], figure["high"]))
    return f"{figure['value']:{sign}.2f} ({low} to {high})"


def gain(figure: Mapping[str, float | None] | None) -> str:
    """A difference with its sign and interval."""
    return interval(figure, "+")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table and the empty line after it."""
    return [_line(header), _line(["---"] * len(header)), *(_line(row) for row in rows), ""]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table in columns of a fixed-width screen."""
    every = [header, *rows]
    widths = [max(len(row[column]) for row in every) for column in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
