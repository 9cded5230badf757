"""`pathcopilot selftest`: tries this very installation on blanks, swaps, orders, legality and hidden instructions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .progress import show_progress

SAMPLES = Path("samples")


def selftest(
    language: Annotated[str, typer.Option(help="Language model, as for ask.")] = "embedded",
    encoder: Annotated[str, typer.Option(help="Vision encoder, as for ask.")] = "embedded",
    head: Annotated[
        list[Path] | None, typer.Option("--head", metavar="HEAD.json", help="A head of your own, as for ask.")
    ] = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Slides and images of your own to test on; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Test whether this installation looks, abstains and resists; exit 0 when every test passes, else 2."""
    from copilot.engine import Copilot
    from copilot.evaluation.asking import subject_of
    from copilot.evaluation.bench import Bench
    from copilot.evaluation.cases import Gallery
    from copilot.evaluation.own_pictures import pictures_in
    from copilot.evaluation.pictures import tissue_like
    from copilot.evaluation.selftest import self_test, table
    from copilot.sample import sample_at_hand

    sample = sample_at_hand(SAMPLES)
    own, notes = pictures_in([*(folder or []), *([sample] if sample else [])])
    if not folder:
        notes.append("no folder was named: name slides of your own with --folder, they are what you will ask about")
    show_progress("loading models")
    copilot = Copilot.load(language, encoder, heads=head or ())
    with Gallery() as gallery:
        tested = self_test(subject_of(copilot), Bench((), gallery, None, show_progress), [*own, *tissue_like(3)])
    show_progress("")
    passed = all(test.passed for test in tested)
    if as_json:
        told = {
            "passed": passed,
            "tests": [test.as_json() for test in tested],
            "pictures": [case.name for case in own],
            "model": {"language": copilot.card.language, "encoder": copilot.card.encoder},
            "notes": notes,
        }
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        typer.echo(table(tested))
        for note in notes:
            typer.echo(f"  note: {note}")
    if not passed:
        raise typer.Exit(2)
