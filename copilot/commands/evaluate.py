"""`pathcopilot evaluate …`: measures a part of the copilot beside its baselines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from slides.errors import UsageError

from .evaluate_survival import evaluate_survival

app = typer.Typer(
    name="evaluate",
    help="Measure a part of the copilot beside its baselines on held-out groups.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.command("survival")(evaluate_survival)


@app.command("encoder")
def encoder_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[PARQUET]...", help="Further files of --tiles.", show_default=False)
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Encoder to measure; may be repeated. Default: embedded.")
    ] = None,
    tiles: Annotated[
        list[Path] | None, typer.Option(metavar="PARQUET...", help="Test these labelled tiles instead.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds tiles/, atlas/ and peers/.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the model card.")] = None,
    quick: Annotated[bool, typer.Option(help="Labelled sets and atlas only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What an encoder sees, beside ImageNet, random weights and colour, by group, with paired intervals."""
    from vision_encoder.benchmark.card import write_card
    from vision_encoder.benchmark.run import evaluate_encoders
    from vision_encoder.benchmark.tables import summary

    if out is not None and not out.resolve().parent.is_dir():
        raise UsageError(f"the folder of {out.name} does not exist: make it first")
    names = encoder or ["embedded"]
    results = evaluate_encoders(names, data, [*(tiles or []), *(files or [])], quick=quick, progress=_progress)
    _progress("", 0, 0)
    if out is not None:
        from slides.files import write_atomically

        write_atomically(out, write_card(results, _training_card(names[0])))
    typer.echo(json.dumps(results, ensure_ascii=False) if as_json else summary(results))


@app.command("chat")
def chat_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Further names of --suite.", show_default=False)
    ] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="Suites to run, all without it: choice, image, open, support, abstention, pressure, context, "
            "legality, several, magnification, paraphrase, injection.",
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds tiles/ and atlas/.")] = None,
    language: Annotated[str, typer.Option(help="Language model, as for ask.")] = "embedded",
    encoder: Annotated[str, typer.Option(help="Vision encoder, as for ask.")] = "embedded",
    wording: Annotated[str, typer.Option(help="slots or free, as for ask.")] = "slots",
    limit: Annotated[int | None, typer.Option(min=1, help="Questions, or pictures, a suite takes at most.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Write the model card: rows side by side.")
    ] = None,
) -> None:
    """What the chat answers on held-out pictures, suite by suite, each figure beside its baselines."""
    from copilot.evaluation.card import card
    from copilot.evaluation.report import evaluate_chat, summary
    from copilot.evaluation.run import named_suites

    if out is not None and not out.resolve().parent.is_dir():
        raise UsageError(f"the folder of {out.name} does not exist: make it first")
    if wording not in ("slots", "free"):
        raise UsageError("--wording is slots or free")
    results = evaluate_chat(
        named_suites([*(suite or []), *(names or [])]),
        data,
        language,
        encoder,
        wording="free" if wording == "free" else "slots",
        limit=limit,
        compare=out is not None,
        progress=_progress,
    )
    _progress("", 0, 0)
    if out is not None:
        from slides.files import write_atomically

        write_atomically(out, card(results))
    typer.echo(json.dumps(results, ensure_ascii=False) if as_json else summary(results))


@app.command("slide-model")
def slide_model_command(
    data: Annotated[Path | None, typer.Option(help="Folder that holds tiles/ and atlas/.")] = None,
    recipe: Annotated[Path, typer.Option(metavar="RECIPE.toml", help="The recipe of whole cases.")] = Path(
        "recipes/slide-atlas.toml"
    ),
    composed: Annotated[Path, typer.Option(metavar="RECIPE.toml", help="The recipe of composed slides.")] = Path(
        "recipes/slide-composed.toml"
    ),
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="A model of your own, by train-slide.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the model card.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """What a model of whole slides tells, beside pooling and colour, and whether its maps show where."""
    from vision_encoder.benchmark.material import find_data
    from vision_encoder.slide_models.card import summary, write_card
    from vision_encoder.slide_models.evaluate import evaluate_slide_model

    if out is not None and not out.resolve().parent.is_dir():
        raise UsageError(f"the folder of {out.name} does not exist: make it first")
    folder = find_data(data)
    assert folder is not None
    results = evaluate_slide_model(recipe, composed, folder, model, _progress)
    _progress("", 0, 0)
    if out is not None:
        from slides.files import write_atomically

        write_atomically(out, write_card(results))
    typer.echo(json.dumps(results, ensure_ascii=False) if as_json else summary(results))


def _training_card(name: str) -> dict[str, Any] | None:
    """What the card beside the weights of `embedded`, or of a folder, states of their training."""
    from vision_encoder.local_encoder import CARD
    from vision_encoder.shipped import WEIGHTS

    path = (WEIGHTS if name == "embedded" else Path(name).expanduser()) / CARD
    if not path.is_file():
        return None
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[2K{what} {done} of {total}" if what else "\r\x1b[2K")
        sys.stderr.flush()
    elif what and done == total:
        sys.stderr.write(f"{what}: {total}\n")
