"""`pathcopilot index` and `pathcopilot similar`: an index of tiles, and the tiles that a picture resembles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slides.errors import UsageError

from .progress import show_progress

if TYPE_CHECKING:
    from vision_encoder.index import Neighbour

Encoder = Annotated[str, typer.Option(help="Vision encoder: embedded, or FAMILY:NAME@PATH.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def index(
    out: Annotated[Path, typer.Option(metavar="INDEX", help="Writes INDEX.safetensors and INDEX.json.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[SLIDE]...", help="Slides to index.", show_default=False)
    ] = None,
    tiles: Annotated[
        list[Path] | None,
        typer.Option(metavar="PARQUET...", help="Tiles to index: pictures in the column jpeg, words in caption."),
    ] = None,
    encoder: Encoder = "embedded",
    as_json: AsJson = False,
) -> None:
    """Make an index of tiles for `similar`: features, places and captions, no pixels."""
    from vision_encoder import load_encoder
    from vision_encoder.index import index_slides, index_tiles, write_index

    # an option takes one value: further files of --tiles arrive among the slides
    files = [*(tiles or []), *(path for path in paths or [] if path.suffix == ".parquet")]
    slides = [path for path in paths or [] if path.suffix != ".parquet"]
    if bool(files) == bool(slides):
        raise UsageError("name slides, or Parquet files with --tiles, not both" if files else "name slides to index")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"the folder of {out.name} does not exist: make it first")
    loaded = load_encoder(encoder)
    made, notes = index_tiles(loaded, files, show_progress) if files else index_slides(loaded, slides, show_progress)
    show_progress("")
    written = write_index(made, out)
    told = {"index": written.name, "tiles": len(made.reference), "cases": len(made.cases), "notes": list(notes)}
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    typer.echo(f"{written.name}: {told['tiles']} tiles of {told['cases']} cases")
    for note in notes:
        typer.echo(f"  note: {note}")


def similar(
    path: Annotated[Path, typer.Argument(metavar="IMAGE_OR_SLIDE")],
    index: Annotated[
        Path | None, typer.Option(metavar="INDEX.json", help="An index of your own; the reference cases otherwise.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="X,Y,W,H", help="Box in level-0 pixels.")] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm per pixel of level 0, where the file does not state it.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many tiles.")] = 5,
    encoder: Encoder = "embedded",
    as_json: AsJson = False,
) -> None:
    """The tiles of an index that a picture or a box resembles most; a likeness is no diagnosis."""
    from copilot.requests import checked_mpp, inside, parse_region
    from slides.open import open_slide
    from vision_encoder import load_encoder
    from vision_encoder.index import load_index, of_atlas, tile_features_of
    from vision_encoder.novelty import NOVELTY_LEVEL
    from vision_encoder.retrieval import load_atlas

    with open_slide(path, mpp=checked_mpp(mpp)) as slide:
        box = None if region is None else inside(slide, parse_region(region))
        loaded = load_encoder(encoder)
        atlas = load_atlas(loaded) if index is None else None
        searched = of_atlas(atlas) if atlas is not None else load_index(loaded, index or path)
        show_progress("looking at tissue fields")
        asked, features = tile_features_of(loaded, slide, box)
        name = slide.name
    show_progress("")
    novelty = None if atlas is None else atlas.novelty(features)
    unlike = novelty is not None and novelty < NOVELTY_LEVEL
    found = () if unlike else searched.nearest(features, count)
    told: dict[str, Any] = {
        "slide": name,
        "tiles_asked": len(asked),
        "novelty": None if novelty is None else round(novelty, 4),
        "similar": [_as_json(item) | {"asked_level0_xywh": list(asked[item.asked].xywh)} for item in found],
    }
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    elif unlike:
        typer.echo(f"Nothing: this is unlike all of the reference cases (novelty p {novelty:.3f}).")
    else:
        for row in told["similar"]:
            typer.echo(_line(row))


def _as_json(item: Neighbour) -> dict[str, Any]:
    case = item.case
    return {
        "similarity": round(item.similarity, 4),
        "title": case.title,
        "caption": case.caption,
        "diagnosis": case.diagnosis,
        "organ": case.organ,
        "category": case.category,
        "level0_xywh": None if item.place is None else list(item.place.xywh),
        "attribution": case.attribution,
    }


def _line(row: dict[str, Any]) -> str:
    words = [word for word in (row["diagnosis"], row["organ"], row["category"]) if word and word != row["title"]]
    place = "" if row["level0_xywh"] is None else f" at {','.join(map(str, row['level0_xywh']))}"
    told = f": {', '.join(words)}" if words else ""
    return f"{row['similarity']:.3f}  {row['title']}{place}{told}"
