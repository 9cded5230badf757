"""The whole way from a recipe to instruction data on disk."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instruction_data.build import Built, build
from instruction_data.card import card as as_card
from instruction_data.checks import HeldOut
from instruction_data.export import write_all
from instruction_data.knowledge import load_knowledge
from instruction_data.material import Material
from slides.errors import UsageError
from slides.files import write_atomically
from vision_encoder.look import Eye, load_eye

from .grounding import CopilotGrounding
from .looking import records_of
from .pictures import Library, held_out_alike

Progress = Callable[[str, int, int], None]
PICTURES = "pictures"
_NEEDED = ("seed", "valid", "verbatim", "pictures", "rename", "builders", "kind", "limits", "licence")


def build_instructions(
    recipe: Path,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    card: Path | None = None,
    with_pictures: bool = False,
    eye: Eye | None = None,
) -> dict[str, Any]:
    """Builds, checks and writes; returns what `build-data --json` prints.

    Raises `UsageError` for a recipe or folder at fault and where a check fails; nothing is written then but the
    records of what was seen.
    """
    settings = read_recipe(recipe)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out.name} cannot be made here: {error.strerror}; name another folder") from error
    library = Library(data, settings["rename"], settings["seed"])
    progress("hashing pictures", 0, 0)
    chosen, left_out = library.without_held_out(library.choose(settings["pictures"]))
    eye = eye or load_eye()
    knowledge = load_knowledge()
    material = Material(
        tuple(records_of(library, chosen, eye, out, progress)),
        knowledge,
        CopilotGrounding(knowledge),
        settings["seed"],
        settings["verbatim"],
    )
    held_out = HeldOut(library.held_out_groups, library.held_out_texts, lambda names: held_out_alike(library, names))
    built = build(settings, material, held_out, progress)
    if built.failed:
        said = "; ".join(f"{check.name}: {check.told}" for check in built.failed)
        raise UsageError(f"the data fail {len(built.failed)} of {len(built.checks)} checks: {said}")
    made_with = {
        "recipe": recipe.name,
        "recipe_sha256": hashlib.sha256(recipe.read_bytes()).hexdigest(),
        "knowledge": knowledge.version,
        "weights_sha256": eye.weights_sha256,
    }
    told = write_all(built.conversations, out, made_with)
    told["builders"] = dict(Counter(one.builder for one in built.conversations))
    told["checks"] = [{"name": check.name, "holds": check.holds, "told": check.told} for check in built.checks]
    counted = _counted(material, left_out)
    if card is not None:
        known = {"recipe": f"recipes/{recipe.name}", "pictures": counted, "weights_sha256": eye.weights_sha256}
        write_atomically(card, as_card(built, settings, known))
    if with_pictures:
        told["pictures"] = _write_pictures(library, built, out / PICTURES, progress)
    return told


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings of a recipe; raises `UsageError` for one that is missing, no TOML, or incomplete."""
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror}; name a file of the folder recipes") from error
    except ValueError as error:  # also not UTF-8
        raise UsageError(f"{path.name} is no recipe in TOML: {error}") from error
    if missing := [name for name in _NEEDED if name not in settings]:
        raise UsageError(f"{path.name} lacks '{missing[0]}': start from recipes/instructions.toml")
    return settings


def outside_of_repositories(out: Path) -> None:
    """Raises `UsageError` for a folder inside a git repository: pictures of patients are not to be committed."""
    for folder in (out.absolute(), *out.absolute().parents):
        if (folder / ".git").exists():
            raise UsageError(f"{out.name} lies in the repository {folder.name}: write pictures outside of it")


def file_name(name: str, content: bytes) -> str:
    """The file that a picture is written to, beside the others: its name with slashes made harmless."""
    suffix = ".png" if content.startswith(b"\x89PNG") else ".jpg"
    return name.replace("/", "__") + suffix


def _write_pictures(library: Library, built: Built, folder: Path, progress: Progress) -> int:
    names = sorted({picture.id for one in built.conversations for picture in one.pictures})
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, 1):
        content = library.content(name)
        write_atomically(folder / file_name(name, content), content)
        progress("writing pictures", number, len(names))
    return len(names)


def _counted(material: Material, left_out: Sequence[str]) -> Mapping[str, int]:
    records = material.records
    counts = {"pictures looked at": len(records), "left out, they show a held-out picture": len(left_out)}
    counts |= {f"… of {name}": count for name, count in sorted(Counter(r.picture.source for r in records).items())}
    counts |= {
        f"… {how}": sum(r.altered == how for r in records) for how in sorted({r.altered for r in records} - {""})
    }
    counts["without tissue to speak about"] = sum(not r.usable for r in records)
    for name in ("stain", "organ", "category"):
        found = [finding for r in records if (finding := r.find(name)) is not None]
        untold = sum(f.abstained or (f.probability or 0.0) < 0.5 for f in found)
        counts[f"{name} read"] = len(found)
        counts[f"… {name} not classified"] = untold
    return counts
