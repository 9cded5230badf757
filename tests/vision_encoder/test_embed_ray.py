"""Over Ray the same plan gives the same file, on one node of this machine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from slides import SetupError
from tests.conftest import ROOT
from vision_encoder.embed import on_ray, plan
from vision_encoder.embed.encode import TorchEngine
from vision_encoder.embed.run import Embedded, Settings, embed_slides

from .fakes import ColourEncoder
from .made_slides import write_slide

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture(scope="module")
def node():
    if not HAS_RAY:
        pytest.skip("Ray is not installed: pip install 'pathcopilot[cluster]'")
    on_ray.quieten()
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},  # workers know the stand-ins
    )
    yield ray
    ray.shutdown()


def _embed(slide: Path, out: Path, *, cluster: bool) -> Embedded:
    out.mkdir(exist_ok=True)
    encoder = ColourEncoder()
    settings = Settings(workers=2, cluster=cluster)
    (result,) = embed_slides(encoder, [slide], out, settings, engine=TorchEngine(encoder))
    assert isinstance(result, Embedded), result
    return result


@pytest.mark.slow
def test_the_file_is_the_same_byte_for_byte(node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BLOCK", 64)
    slide = write_slide(tmp_path / "slide.tif", 6000, tissue=0.8)
    here = _embed(slide, tmp_path / "here", cluster=False)
    there = _embed(slide, tmp_path / "there", cluster=True)
    assert here.tiles == there.tiles > 64
    assert (tmp_path / "here" / "slide.h5").read_bytes() == (tmp_path / "there" / "slide.h5").read_bytes()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["slide.h5"]


@pytest.mark.slow
def test_the_node_listens_on_the_loopback_address_only(node) -> None:
    assert {item["NodeManagerAddress"] for item in node.nodes()} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="cluster"):
        on_ray.join(1)
