"""The hub: nothing is asked of it unasked, and each way in which it refuses has its own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from slides.errors import SetupError, UsageError
from vision_encoder import load_encoder

from .library_models import need_libraries, obey_the_laws, refusal, timm_repository

pytestmark = pytest.mark.usefixtures("forget_encoders")


class Answered:
    """The response that an error of the hub carries."""

    headers: ClassVar[dict[str, str]] = {}
    status_code = 403
    request = None
    text = ""
    url = "https://huggingface.co/x"


def answering(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The hub answers every download with this error; the cache is empty."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def answer(*_args: Any, local_files_only: bool = False, **_settings: Any) -> str:
        raise LocalEntryNotFoundError("not here") if local_files_only else error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)


def download_refusal(name: str) -> str:
    with pytest.raises(SetupError) as told:
        load_encoder(name, download=True)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_gated_repository_says_where_its_terms_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError

    answering(monkeypatch, GatedRepoError("403 Client Error\n\nCannot access", response=Answered()))  # type: ignore[arg-type]
    said = download_refusal("hf-hub:someone/closed")
    assert "gated" in said
    assert "https://huggingface.co/someone/closed" in said
    assert "hf auth login" in said


def test_an_unknown_repository_is_told_apart_from_a_gated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    answering(monkeypatch, RepositoryNotFoundError("401", response=Answered()))  # type: ignore[arg-type]
    assert "check the name" in download_refusal("hf-hub:someone/nobody")


def test_a_hub_out_of_reach_and_one_switched_off_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    answering(monkeypatch, LocalEntryNotFoundError("Please check your connection\nand try again"))
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    assert "cannot be reached" in download_refusal("hf-hub:someone/far")
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: True)
    assert "HF_HUB_OFFLINE" in download_refusal("hf-hub:someone/far")


def test_a_download_is_made_only_where_it_was_allowed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_libraries()
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    source, fetched = timm_repository(tmp_path / "vit"), tmp_path / "fetched"
    fetched.mkdir()

    def serve(_repository: str, name: str, *, local_files_only: bool = False) -> str:
        if (fetched / name).is_file():
            return str(fetched / name)
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        if not (source / name).is_file():
            raise RemoteEntryNotFoundError("404", response=Answered())  # type: ignore[arg-type]
        (fetched / name).write_bytes((source / name).read_bytes())
        return str(fetched / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve)
    assert "hf download someone/vit" in refusal("hf-hub:someone/vit")
    assert not list(fetched.iterdir())
    obey_the_laws(load_encoder("hf-hub:someone/vit", download=True), 64, 160)
    assert {path.name for path in fetched.iterdir()} == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("hf-hub:MahmoodLab/UNI2-h", SetupError, "accept its terms at https://huggingface.co/MahmoodLab/UNI2-h"),
        ("hf-hub:owkin/phikon-v2", SetupError, "hf download owkin/phikon-v2"),
        ("hf-hub:no name at all", UsageError, "OWNER/NAME"),
        ("hf-hub:", UsageError, "no encoder"),
        ("hf-hub:owkin/phikon-v2@/no/such/place", UsageError, "at the path given"),
        ("UNI2-h", UsageError, "hf-hub:MahmoodLab/UNI2-h"),
        ("timm:resnet81", UsageError, "did you mean"),
        ("timm:vit_of_nobody@/no/such/file", UsageError, "no architecture"),
        ("timm:resnet18.nobody", UsageError, "timm:resnet18.nobody@FILE"),
        ("timm:resnet18@/no/such/file", UsageError, "no weights file"),
        ("open_clip:ViT-B-32", UsageError, "@TAG"),
        ("open_clip:ViT-B-32@nobody", UsageError, "no tag of that name"),
        ("open_clip:ViT-B-33", UsageError, "did you mean"),
        ("/no/such/folder", UsageError, "no encoder"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_do(cache: Path, name: str, kind: type[Exception], said: str) -> None:
    need_libraries()
    assert said in refusal(name, kind)
