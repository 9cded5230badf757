"""The command line: human text on stdout, progress on stderr, `--json` one object, exit 0 or 2 with one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from slides.errors import PathcopilotError, UsageError

from .commands import evaluate, survival
from .commands.adapt import adapt
from .commands.build_data import build_data
from .commands.embed import embed
from .commands.index import index as make_index
from .commands.index import similar
from .commands.mcp import mcp
from .commands.pretrain import pretrain
from .commands.report import report
from .commands.selftest import selftest
from .commands.suggest import suggest
from .commands.teach import teach
from .commands.train_slide import train_slide
from .commands.triage import audit_triage, calibrate_triage, triage
from .commands.tune import tune
from .commands.whatif import whatif
from .process import prepare_process

if TYPE_CHECKING:
    from .answer import Answer, Question
    from .chains.agent import Agent
    from .engine import Copilot

app = typer.Typer(
    name="pathcopilot",
    help="A chat copilot for whole-slide pathology: each sentence points at the tissue it rests on. Research software.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Slides, DICOM folders or images.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Mpp = Annotated[float | None, typer.Option(help="µm per pixel of level 0, where the file does not state it.")]
Context = Annotated[str | None, typer.Option(help="Clinical context in plain words.")]
Language = Annotated[
    str,
    typer.Option(
        help="Language model: embedded, a folder, a hub name in the cache, or http://127.0.0.1:PORT/v1[?pictures]."
    ),
]
Encoder = Annotated[
    str,
    typer.Option(
        help="Vision encoder: embedded, imagenet, a folder, timm:NAME@FILE, open_clip:NAME@FILE, or hf-hub:OWNER/NAME "
        "in the cache (docs/encoders.md)."
    ),
]
OwnHeads = Annotated[
    list[Path] | None,
    typer.Option("--head", metavar="HEAD.json", help="A head of your own, made by adapt; may be repeated."),
]
Regions = Annotated[
    list[str] | None,
    typer.Option("--region", metavar="X,Y,W,H", help="Box in level-0 pixels; may be repeated."),
]


@app.command()
def ask(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", help="Slides or images.", show_default=False)
    ] = None,
    question: Annotated[str | None, typer.Option("--question", "-q", help="The question in plain words.")] = None,
    region: Regions = None,
    regions: Annotated[
        Path | None, typer.Option(metavar="FILE.geojson", help="Boxes round the annotations of a QuPath user.")
    ] = None,
    mpp: Mpp = None,
    context: Context = None,
    options: Annotated[str | None, typer.Option(metavar='"A|B|C"', help="Choose among these.")] = None,
    batch: Annotated[
        Path | None, typer.Option(metavar="QUESTIONS.jsonl", help="One request a line; needs --json.")
    ] = None,
    as_json: AsJson = False,
    language: Language = "embedded",
    encoder: Encoder = "embedded",
    head: OwnHeads = None,
    wording: Annotated[
        str,
        typer.Option(help="slots: the model chooses between checked wordings; free: it writes, each sentence checked."),
    ] = "slots",
    quantise: Annotated[
        str | None,
        typer.Option(
            "--quantise", "--quantize", help="4bit or 8bit, for a larger language model (needs bitsandbytes)."
        ),
    ] = None,
    agent: Annotated[
        bool,
        typer.Option(help="Let a server's model look closer by tools before it answers; every sentence is checked."),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Case store that remembers what was seen of each slide; else nothing."),
    ] = None,
) -> None:
    """Ask about slides, images or boxes; the answer prints as it streams."""
    from .reporting.geojson import annotated
    from .requests import Request, checked_mpp, opened, parse_options, parse_region

    if agent and "://" not in language:
        raise UsageError("--agent takes a model that calls tools: add --language http://127.0.0.1:PORT/v1")
    if agent and batch is not None:
        raise UsageError("--agent answers one question: leave --batch out")
    if wording not in ("slots", "free"):
        raise UsageError("--wording is slots or free")
    if batch is not None:
        if paths or question:
            raise UsageError("--batch takes paths and questions from its file: leave PATH and --question out")
        _ask_batch(batch, language, encoder, wording, quantise, head or (), store)
        return
    if question is None:
        raise UsageError('say what you want to know: --question "what is this?"')
    request = Request(
        paths=tuple(paths or ()),
        question=question,
        regions=(*(parse_region(text) for text in region or ()), *(annotated(regions, paths) if regions else ())),
        mpp=checked_mpp(mpp),
        context=context,
        options=parse_options(options),
    )
    with opened(request) as asked:
        copilot = _load(language, encoder, wording, quantise, head or (), store)
        if agent:
            from .chains import agent as agents
        answer = _stream(agents.Agent(copilot) if agent else copilot, asked, show=not as_json)
    if as_json:
        _print_json(answer.as_json())
    else:
        _print_evidence(answer)


def _ask_batch(
    batch: Path,
    language: str,
    encoder: str,
    wording: str,
    quantise: str | None,
    heads: Sequence[Path],
    store: str | None,
) -> None:
    from .requests import from_json, opened

    try:
        lines = [line for line in batch.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"cannot read {batch.name or batch}: name a JSON Lines file in UTF-8") from None
    copilot: Copilot | None = None
    for number, line in enumerate(lines, 1):
        _progress(f"question {number} of {len(lines)}")
        try:
            with opened(from_json(line, batch.parent)) as asked:
                copilot = copilot or _load(language, encoder, wording, quantise, heads, store)
                _print_json(_stream(copilot, asked, show=False).as_json())
        except PathcopilotError as error:
            _print_json({"error": str(error)})
    _progress("")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A slide, DICOM folder or image.")],
    mpp: Mpp = None,
    as_json: AsJson = False,
) -> None:
    """What a slide is: size, levels, µm/px, tissue, focus, stain by colour, and what to know about the file."""
    from slides.open import open_slide
    from slides.quality import measure_quality
    from slides.tissue import tissue_mask

    from .requests import checked_mpp

    with open_slide(path, mpp=checked_mpp(mpp)) as slide:
        mask = tissue_mask(slide)
        quality = measure_quality(slide, slide.bounds, mask)
        told = slide.as_json() | {
            "removed": list(mask.removed),
            "quality": [item.finding.as_json() for item in quality],
        }
    if as_json:
        _print_json(told)
        return
    scale = (
        f"{told['mpp']} µm/px (from the {told['mpp_source']})" if told["mpp"] else "µm/px unknown: state it with --mpp"
    )
    typer.echo(f"{told['name']}: {told['size'][0]} x {told['size'][1]} px, {len(told['levels'])} level(s), {scale}")
    for item in quality:
        finding = item.finding
        value = (
            finding.label
            if finding.label
            else "not measured"
            if finding.value is None
            else f"{finding.value:.3g} {finding.unit or ''}"
        )
        typer.echo(f"  {finding.name.replace('_', ' ')}: {value.strip()}")
    for note in [*told["conditions"], *told["removed"]]:
        typer.echo(f"  note: {note}")


@app.command()
def doctor(
    prepare: Annotated[bool, typer.Option(help="Also convert the language model, once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every dependency, weights file and permission, and say how to mend what fails."""
    from .doctor import check, render

    checks = check(prepare=prepare)
    typer.echo(render(checks, as_json=as_json))
    if any(item.status == "FAIL" for item in checks):
        raise typer.Exit(2)


@app.command()
def sample(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("samples")) -> None:
    """Put a real slide on disk, to try things with."""
    from .sample import bring_sample

    typer.echo(str(bring_sample(folder)))


def _load(
    language: str,
    encoder: str,
    wording: str = "slots",
    quantise: str | None = None,
    heads: Sequence[Path] = (),
    store: str | None = None,
) -> Copilot:
    _progress("loading models")
    from .engine import Copilot
    from .store import open_store

    return Copilot.load(
        language,
        encoder,
        quantise=quantise,
        wording="free" if wording == "free" else "slots",
        heads=heads,
        memory=None if store is None else open_store(store),  # nothing of a slide is written unasked
    )


def _stream(copilot: Copilot | Agent, question: Question, *, show: bool) -> Answer:
    from .answer import Done, Looking, Saying

    for event in copilot.ask(question):
        if isinstance(event, Looking):
            count = f" {event.done} of {event.total}" if event.total else ""
            _progress(f"{event.what}{count}")
        elif isinstance(event, Saying) and show:
            _progress("")
            typer.echo(event.text, nl=False)
        elif isinstance(event, Done):
            _progress("")
            if show:
                typer.echo("")
            return event.answer
    raise AssertionError("the engine ends every answer with Done")


def _print_evidence(answer: Answer) -> None:
    """The evidence that standing sentences rest on, their sources, and what to know of the slide."""
    from .statements import figure, quantity

    standing = [claim for claim in answer.claims if claim.status != "struck"]
    for index in sorted({index for claim in standing for index in claim.evidence}):
        item, finding = answer.evidence[index], answer.evidence[index].finding
        said = [finding.label] if finding.label else []
        said += [quantity(finding.value, finding.unit)] if finding.value is not None and not finding.label else []
        said += [figure(finding.probability)] if finding.probability is not None else []
        where = ",".join(map(str, item.region.xywh))
        typer.echo(f"  [{index}] {item.slide} {where}: {finding.name.replace('_', ' ')} {' '.join(said) or '–'}")
    for source in dict.fromkeys(source for claim in standing for source in claim.sources if source != "house rule"):
        typer.echo(f"  source: {source}")
    for step in answer.steps:
        typer.echo(f"  {step}")
    for note in answer.notes:
        typer.echo(f"  note: {note}")


_shown = False


def _progress(text: str) -> None:
    """One line on stderr that replaces itself on a terminal; an empty text clears it."""
    global _shown
    if sys.stderr.isatty():
        if text or _shown:
            sys.stderr.write(f"\r\x1b[2K{text}")
        _shown = bool(text)
    elif text:
        sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def main() -> NoReturn:
    """Runs the command line; errors that a user can mend end in one line and exit code 2."""
    prepare_process()
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except PathcopilotError as error:
        _fail(str(error))
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a usage error of the parser
            _fail(f"{error.format_message()} (see pathcopilot --help)")
        raise
    except KeyboardInterrupt:
        _progress("")
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    _progress("")
    sys.stderr.write("pathcopilot: " + " ".join(message.split()) + "\n")
    sys.exit(2)


app.add_typer(evaluate.app)
app.add_typer(survival.app)
app.command()(whatif)
app.command()(adapt)
app.command("index")(make_index)
app.command()(similar)
app.command()(embed)
app.command()(pretrain)
app.command()(tune)
app.command()(selftest)
app.command("build-data")(build_data)
app.command()(mcp)
app.command()(teach)
app.command("train-slide")(train_slide)
app.command()(triage)
app.command()(calibrate_triage)
app.command()(audit_triage)
app.command()(report)
app.command()(suggest)

if __name__ == "__main__":
    main()
