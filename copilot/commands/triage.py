"""`pathcopilot triage`, `calibrate-triage` and `audit-triage`: the worklist, its certificate, and the watch over it."""

from __future__ import annotations

import getpass
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slides.errors import UsageError

from .progress import show_progress

if TYPE_CHECKING:
    from copilot.store import Store
    from copilot.triage.scorer import Scorer

Encoder = Annotated[str, typer.Option(help="Vision encoder, as for ask.")]
OwnHeads = Annotated[
    list[Path] | None, typer.Option("--head", metavar="HEAD.json", help="A head of your own; may be repeated.")
]
SlideModel = Annotated[
    Path | None, typer.Option(metavar="MODEL", help="Folder of train-slide: its model scores, not the head.")
]
Place = Annotated[
    str | None, typer.Option(metavar="FILE|URL", help="Case store; else PATHCOPILOT_STORE, else the user's own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def triage(
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDE...", show_default=False)],
    certificate: Annotated[
        Path | None, typer.Option(metavar="CERTIFICATE.json", help="What calibrate-triage wrote; allows releases.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="path,patient: which slides belong together.")
    ] = None,
    as_json: AsJson = False,
    encoder: Encoder = "embedded",
    head: OwnHeads = None,
    slide_model: SlideModel = None,
    store: Place = None,
) -> None:
    """A ranked worklist, worst first; releases slides only under a certificate that holds here."""
    from copilot.triage import release
    from copilot.triage.certificate import read_certificate
    from copilot.triage.grouping import group
    from copilot.triage.labels import read_table
    from copilot.triage.scorer import look_at_files

    paths = _slides(slides)
    stated = None if certificate is None else read_certificate(certificate)
    table = None if patients is None else read_table(patients, labels=False)
    kept = _store(store) if stated is not None or store is not None or table is not None else None
    scorer = _scorer(encoder, head, slide_model, kept)
    sights = look_at_files(scorer, paths, kept, _Shown())
    if kept is None:
        cases = {str(number): [sight] for number, sight in enumerate(sights)}
    else:
        cases = group(paths, sights, table, kept)
        if stated is not None and table is None:
            typer.echo("each slide is taken for a patient of its own: give --patients path,patient", err=True)
    worklist, _ = release.triage(cases, stated, scorer, kept, _actor())
    typer.echo(_told(worklist.as_json()) if as_json else worklist.markdown())


def calibrate_triage(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="path,patient,label; label 1 = positive.")],
    out: Annotated[Path, typer.Option(metavar="CERTIFICATE.json", help="Where the certificate goes.")],
    sensitivity: Annotated[
        float, typer.Option(help="The share of positive patients that must stay on the list.")
    ] = 0.99,
    confidence: Annotated[float, typer.Option(help="One-sided confidence of the statement.")] = 0.95,
    audit: Annotated[
        float, typer.Option(help="Share of what lies below the threshold that is sampled back for review.")
    ] = 0.15,
    as_json: AsJson = False,
    encoder: Encoder = "embedded",
    head: OwnHeads = None,
    slide_model: SlideModel = None,
    store: Place = None,
) -> None:
    """Certify a threshold on labelled slides of this laboratory, or say how many positive patients lack.

    Slides scored before by the same weights are taken from the case store, so a stopped run goes on where it was.
    """
    from copilot.triage.calibrate import calibrate, check_counts
    from copilot.triage.certificate import write_certificate
    from copilot.triage.labels import read_table

    table = read_table(labels, labels=True)
    check_counts(table, sensitivity, confidence)
    if not out.absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {out.name}: make it, or name another --out")
    kept = _store(store)
    made = calibrate(
        table,
        _scorer(encoder, head, slide_model, kept),
        sensitivity=sensitivity,
        confidence=confidence,
        store=kept,
        progress=_Shown(),
        audit_share=audit,
    )
    certificate = made.certificate
    kept.keep_certificate(certificate.sha256, certificate.as_json(), _actor())
    write_certificate(certificate, out)
    told = certificate.summary()
    if as_json:
        unscored = [{"slide": slide, "why": why} for slide, why in made.unscored]
        typer.echo(_told({"certificate": told, "unscored": unscored, "uncertain": made.uncertain}))
        return
    share = told["released"]
    low, high = share["interval_95"]
    typer.echo(f"{out.name}: {certificate.statement}")
    typer.echo(
        f"  {told['misses']} of {told['n_positives']} positive patients lie below it; exact lower bound "
        f"{told['sensitivity_bound']:.4f}"
    )
    typer.echo(
        f"  {share['released']} of {share['n']} negative patients would be released (95 % interval {low:.2f} to "
        f"{high:.2f})"
    )
    if told["positives_never_released"]:
        typer.echo(
            f"  {told['positives_never_released']} positive patients have a slide without a score or with an uncertain "
            "one: such are never released, so they count as no miss"
        )
    for slide, why in made.unscored:
        typer.echo(f"  not scored: {slide}: {why}")


def audit_triage(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.csv", help="path,patient,label of cases that were read.")],
    certificate: Annotated[Path, typer.Option(metavar="CERTIFICATE.json", help="The one they were triaged under.")],
    by_slide: Annotated[
        bool, typer.Option(help="The cases were triaged without --patients: each slide is one.")
    ] = False,
    as_json: AsJson = False,
    store: Place = None,
) -> None:
    """Enter what was found on reading; a certificate that the results refute releases nothing any more.

    Enter every case drawn for the audit, and every positive case, released or not.
    """
    from copilot.triage.certificate import read_certificate
    from copilot.triage.labels import read_table
    from copilot.triage.review import enter

    stated = read_certificate(certificate)
    entered = enter(read_table(results, labels=True), stated, _store(store), _actor(), by_slide=by_slide)
    if as_json:
        typer.echo(_told(entered.as_json()))
        return
    typer.echo(f"{entered.new} new reviews. {entered.verdict.words[0].upper()}{entered.verdict.words[1:]}.")
    for line in entered.left_out:
        typer.echo(f"  left out: {line}")
    if entered.verdict.refuted:
        typer.echo("  The certificate is stopped: nothing is released under it any more. Calibrate anew.")


class _Shown:
    """Slides done, the step and the time left: a line that replaces itself on a terminal, a line a slide elsewhere."""

    def __init__(self) -> None:
        self._began, self._last = time.monotonic(), -1

    def __call__(self, done: int, total: int, step: str) -> None:
        if done == total:
            show_progress("")
            return
        if not sys.stderr.isatty() and done == self._last:
            return
        self._last = done
        left = round((time.monotonic() - self._began) / done * (total - done)) if done else 0
        pace = f", {left // 60}:{left % 60:02d} left" if done else ""
        show_progress(f"slide {done + 1} of {total}{pace}{': ' if step else ''}{step}")


def _slides(paths: list[Path]) -> list[Path]:
    from slides.folder import is_dicom_folder, slides_in

    found: list[Path] = []
    for path in paths:
        found += slides_in(path) if path.is_dir() and not is_dicom_folder(path) else [path]
    if not found:
        raise UsageError("name at least one slide")
    return list(dict.fromkeys(found))


def _store(place: str | None) -> Store:
    from copilot.store import open_store

    return open_store(place)


def _scorer(encoder: str, heads: list[Path] | None, slide_model: Path | None, memory: Store | None) -> Scorer:
    from copilot.triage.scorer import HeadScorer
    from vision_encoder.look import load_eye

    show_progress("loading models")
    eye = load_eye(encoder, heads or (), memory)
    if slide_model is None:
        return HeadScorer.of(eye)
    from copilot.triage.slide_scorer import load_scorer

    return load_scorer(eye, slide_model)


def _actor() -> str:
    """Who it is that the audit log names."""
    try:
        return f"command line: {getpass.getuser()}"[:64]
    except (OSError, KeyError):
        return "command line"


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
