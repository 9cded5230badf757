"""The table of published encoders: each row builds what it describes, and people read the same table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vision_encoder import known_encoders as known_encoders_module
from vision_encoder import load_encoder
from vision_encoder.known_encoders import KnownEncoder, encoder_table, find_known, known_encoders

from ..conftest import ROOT
from .library_models import TISSUE, need_libraries, obey_the_laws, put_into_cache, refusal, tiny_timm

pytestmark = pytest.mark.usefixtures("forget_encoders")


MILLIONS = {"UNI": 303, "UNI2-h": 681, "Virchow": 631, "Virchow2": 631, "H-optimus-0": 1135, "H-optimus-1": 1135}
"""Published sizes: 0.30, 0.68, 0.63, 0.63, 1.1 and 1.1 thousand millions of weights."""


@pytest.mark.parametrize("row", known_encoders(), ids=lambda row: row.name)
def test_a_row_builds_the_network_that_it_describes(row: KnownEncoder) -> None:
    """On the meta device, so that a network of a billion weights costs none."""
    assert row.library in ("timm", "open_clip", "transformers", "conch")
    assert 0 < row.dimension <= 4096
    assert row.mean is None or all(0 < value < 1 for value in (*row.mean, *(row.deviation or ())))
    if row.library not in ("timm", "conch") or not row.architecture:
        return
    need_libraries()
    import timm

    from vision_encoder.conch_tower import ConchTower
    from vision_encoder.library_networks import Pooled, _resolved

    with torch.device("meta"):
        if row.library == "conch":
            network: torch.nn.Module = ConchTower(depth=1)
        else:
            built = timm.create_model(row.architecture, num_classes=0, **_resolved(row.arguments))
            network = Pooled(built, row.pooling, built.num_prefix_tokens)
        assert network(torch.empty(1, 3, row.tile_px, row.tile_px)).shape == (1, row.dimension)
    if row.name in MILLIONS:
        assert round(sum(value.numel() for value in network.parameters()) / 1e6) == MILLIONS[row.name]


def small_row(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> KnownEncoder:
    """UNI's row with a small network in place of its own."""
    uni = find_known("UNI")
    assert uni is not None
    small = {"architecture": "test_vit", "arguments": {"reg_tokens": 4}, "tile_px": 160, "dimension": 128}
    row = replace(uni, **(small | {"pooling": "class+mean"} | changes))
    monkeypatch.setattr(known_encoders_module, "known_encoders", lambda: (row,))
    return row


def test_a_row_states_normalisation_scale_and_pooling(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_libraries()
    row = small_row(monkeypatch)
    put_into_cache(cache, row.repository, tiny_timm(tmp_path / "uni", reg_tokens=4).parent)
    encoder = load_encoder("hf-hub:mahmoodlab/uni")
    obey_the_laws(encoder, 128, 160)
    assert (encoder.name, encoder.mpp) == ("hf-hub:MahmoodLab/UNI", 0.5)
    placed = load_encoder(f"hf-hub:UNI@{tmp_path / 'uni' / 'pytorch_model.bin'}")
    assert np.array_equal(placed.encode_tiles(TISSUE), encoder.encode_tiles(TISSUE))
    small_row(monkeypatch, mean=(0.1, 0.1, 0.1))
    other = load_encoder(f"hf-hub:UNI@{tmp_path / 'uni'}")
    assert not np.allclose(other.encode_tiles(TISSUE), encoder.encode_tiles(TISSUE), atol=1e-3)
    small_row(monkeypatch, dimension=64)
    load_encoder.cache_clear()
    assert "128 numbers" in refusal("hf-hub:MahmoodLab/UNI")


def test_conch_is_read_from_the_published_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights under `visual.`, its text tower and captioner beside them, its positions of another side."""
    need_libraries()
    from vision_encoder import conch_tower

    monkeypatch.setattr(conch_tower, "SIDE", 64)
    monkeypatch.setattr(conch_tower.ConchTower.__init__, "__defaults__", (1,))
    torch.manual_seed(0)
    tower = conch_tower.ConchTower().eval()
    state = {f"visual.{name}": value for name, value in tower.state_dict().items()}
    state |= {
        "visual.proj_contrast": torch.rand(512, 512),
        "text.cls_emb": torch.rand(768),
        "logit_scale": torch.ones(1),
    }
    torch.save(state, tmp_path / "pytorch_model.bin")
    built = conch_tower.conch_network(tmp_path / "pytorch_model.bin")
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected, found = tower(x), built.network.eval()(x)
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, 512)
    monkeypatch.setattr(conch_tower, "SIDE", 96)
    assert conch_tower.conch_network(tmp_path / "pytorch_model.bin").network(torch.rand(1, 3, 96, 96)).shape == (1, 512)
    del state["visual.ln_contrast.weight"]
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(RuntimeError):
        conch_tower.conch_network(tmp_path / "pytorch_model.bin")


def test_the_table_that_people_read_is_the_table() -> None:
    text = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    assert text == encoder_table(), "run: python -m vision_encoder.known_encoders > docs/encoders.md"
    for row in known_encoders():
        assert f"`hf-hub:{row.repository}`" in text
