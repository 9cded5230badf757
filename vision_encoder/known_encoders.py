"""Published encoders of histology, one row each, read from `known_encoders.toml`, which says where each value is from.

`python -m vision_encoder.known_encoders > docs/encoders.md` writes the table that people read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

TABLE = Path(__file__).parent / "known_encoders.toml"
HUB = "https://huggingface.co"

Library = Literal["timm", "open_clip", "transformers", "conch"]
Pooling = Literal["class", "class+mean", "query", "joint"]
Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class KnownEncoder:
    """All that is known of one published encoder; what is None or empty is stated nowhere that was checked.

    `mpp` is the µm/px it was trained at, None where it was several. `mean` and `deviation` belong to channels
    in [0, 1]; None where the repository's own config states them, as does an empty `architecture`.
    """

    name: str
    repository: str
    library: Library
    architecture: str
    pooling: Pooling
    dimension: int
    tile_px: int
    scale: str
    licence: str
    source: str
    checked: str
    gated: bool | None = None
    mpp: float | None = None
    mean: Channels | None = None
    deviation: Channels | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """Where its terms are read and accepted."""
        return f"{HUB}/{self.repository}"


@cache
def known_encoders() -> tuple[KnownEncoder, ...]:
    """The rows, in the table's order."""
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["encoder"]
    for row in rows:
        row.update({key: tuple(value) for key, value in row.items() if isinstance(value, list)})
    return tuple(KnownEncoder(**row) for row in rows)


def find_known(name: str) -> KnownEncoder | None:
    """The row of this repository or of this short name, in any case; None where there is none."""
    wanted = name.casefold()
    return next((row for row in known_encoders() if wanted in (row.repository.casefold(), row.name.casefold())), None)


def encoder_table() -> str:
    """The encoders as Markdown: those that ship, then the published ones with what their makers state."""
    from .catalog import shipped_rows

    lines = [
        _HEAD,
        *_header("`--encoder`", "network", "d", "px", "µm/px", "mean", "deviation", "licence", "what it is"),
    ]
    for own in shipped_rows():
        mpp = "any" if own.mpp is None else f"{own.mpp:g}"
        cells = (
            own.dimension,
            own.tile_px,
            mpp,
            _channels(own.mean),
            _channels(own.deviation),
            own.licence,
            own.source,
        )
        lines.append(f"| `{own.name}` | {own.network} | {' | '.join(map(str, cells))} |")
    columns = (
        "`--encoder`",
        "library",
        "feature",
        "d",
        "px",
        "µm/px",
        "mean",
        "deviation",
        "licence",
        "gated",
        "source",
    )
    lines += [_PUBLISHED, *_header(*columns), *map(_line, known_encoders())]
    lines += ["", "Where the values were read:", "", *(f"- {row.name}: {row.checked}" for row in known_encoders())]
    return "\n".join(lines) + "\n"


def _header(*columns: str) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def _line(row: KnownEncoder) -> str:
    library = f"{row.library}, {row.architecture or 'as its config states'}"
    gated = {True: "yes", False: "no", None: "unknown"}[row.gated]
    stated = row.scale if row.mpp is None else f"{row.mpp:g}" if "µm" in row.scale else f"{row.mpp:g} ({row.scale})"
    cells = (library, _FEATURE[row.pooling], row.dimension, row.tile_px, stated, _channels(row.mean))
    rest = (_channels(row.deviation), row.licence, gated, row.source)
    return f"| `hf-hub:{row.repository}` | {' | '.join(map(str, cells + rest))} |"


def _channels(values: Channels | None) -> str:
    return "as its config states" if values is None else ", ".join(f"{value:.4g}" for value in values)


_FEATURE = {
    "class": "class token",
    "class+mean": "class token and mean of the patch tokens",
    "query": "learned query over all tokens",
    "joint": "embedding shared with text",
}
_HEAD = """# Encoders

Written by `python -m vision_encoder.known_encoders > docs/encoders.md`.

| `--encoder` | what runs |
|---|---|
| `embedded` | the encoder that ships; the heads, the atlas and the novelty scores belong to it |
| `imagenet` | the baseline that everyone can rerun |
| `FOLDER` | `encoder.safetensors` and `encoder.json`, as `pathcopilot pretrain --out FOLDER` writes them |
| `timm:NAME@FILE`, `open_clip:NAME@FILE` | an architecture of that library with a weights file on this machine |
| `timm:NAME`, `open_clip:NAME@TAG` | the library's own weights, from the hub's cache on this machine |
| `hf-hub:OWNER/NAME` | a repository in the hub's cache: a row below, or a config of timm, open_clip or transformers |
| `hf-hub:OWNER/NAME@PATH` | the same from a weights file, or a folder with its config, brought in another way |

No command of pathcopilot downloads anything. `hf download OWNER/NAME` fetches a repository, once; a gated one asks
first for its terms to be accepted on its page and for `hf auth login`. In Python, `load_encoder(name, download=True)`
fetches too, unless `HF_HUB_OFFLINE` is set. timm and open_clip come with the extra `pathcopilot[encoders]`.

With an encoder that has no heads, an answer holds what is measured without them, and its notes say so. The licence of
the weights is between their makers and whoever loads them.

## Shipped
"""
_PUBLISHED = """
## Published

d = length of a feature, px = side of the square it sees; mean and deviation of channels in [0, 1].
"""

if __name__ == "__main__":
    print(encoder_table(), end="")  # noqa: T201 - its output is the file
