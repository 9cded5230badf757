"""The blocks of a slide encoded over a Ray cluster with Ray Data: the same plan, the same journal, other hands.

Workers open the slide by its path, which every node must see, and send back features; only the process that was
started writes. Without `RAY_ADDRESS` one node is started on this machine, on the loopback address, without dashboard
and without usage statistics; with it the cluster that the user runs is joined.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slides import SetupError, Slide, open_slide

from ..encoder import Encoder, Features
from .decode import TileReader
from .encode import tile_engine
from .plan import EmbeddingPlan

if TYPE_CHECKING:
    from .run import Settings

_STORE_BYTES = 200 * 2**20
"""Object store of the node that is started here: features in flight are a few megabytes."""


def quieten() -> None:
    """Settles, before Ray is imported, that it sends no usage statistics and that a node started here listens on the
    loopback address only, as it does on Windows and macOS; on Linux it would take the address of the network."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if "RAY_ADDRESS" not in os.environ:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def join(threads: int) -> None:
    """Joins the cluster at `RAY_ADDRESS`, or starts one node here with as many workers as `threads`; once.

    Raises
    ------
    SetupError : Ray is not installed, or the cluster cannot be reached
    """
    if importlib.util.find_spec("ray") is None:
        raise SetupError("Ray is not installed: pip install 'pathcopilot[cluster]', or leave --engine ray out")
    quieten()
    import ray

    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address := os.environ.get("RAY_ADDRESS"):
            ray.init(address=address, **quiet)
        else:
            ray.init(
                num_cpus=threads,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                **quiet,
            )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise SetupError(f"no Ray node can be used: {str(error).splitlines()[0]}: check RAY_ADDRESS") from error


def encoded_on_ray(
    encoder: Encoder, path: Path, slide: Slide, plan: EmbeddingPlan, settings: Settings, left: Sequence[int]
) -> Generator[tuple[int, Features], None, None]:
    """The features of the blocks that are left, in the order in which they are done."""
    if not left:
        return
    join(settings.threads)
    import ray

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = ray.data.from_items([{"block": number} for number in left], override_num_blocks=len(left))
    workers = max(1, min(int(ray.cluster_resources().get("CPU", 1)), len(left)))
    made = (encoder, str(path.absolute()), slide.mpp, plan, settings.direct)
    done = blocks.map(_Worker, fn_constructor_args=made, compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1)
    for row in done.iter_rows():
        features = np.frombuffer(row["features"], "<f4").reshape(-1, encoder.dimension)
        yield int(row["block"]), features


class _Worker:
    """One worker's slide and engine; called with one block after the other."""

    def __init__(self, encoder: Encoder, path: str, mpp: float | None, plan: EmbeddingPlan, direct: bool) -> None:
        self._slide = open_slide(Path(path), mpp=mpp, probe=False)  # the process that started this has probed it
        self._reader = TileReader(Path(path), self._slide, plan, direct=direct)
        self._engine = tile_engine(encoder, 1)
        self._plan, self._dimension = plan, encoder.dimension

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from .run import features_of

        number = int(row["block"])
        features = features_of(
            self._reader.read(self._plan.block(number)), self._engine, self._plan.mpp, self._dimension
        )
        return {"block": number, "features": np.ascontiguousarray(features, "<f4").tobytes()}
