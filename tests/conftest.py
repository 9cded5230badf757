"""Where the shared data lies, and slides made for the tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real slides and tiles; skips where it is absent."""
    folder = Path(os.environ.get("PATHCOPILOT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "slides" / "manifest.csv").is_file():
        pytest.skip(f"no shared data at {folder}: set PATHCOPILOT_DATA to its folder")
    return folder


def paint_tissue(width: int, height: int, seed: int = 7) -> Image.Image:
    """A generated H&E-like field: pink stroma on glass, purple nuclei at 0.5 µm/px, white lumina."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (243, 241, 243))
    draw = ImageDraw.Draw(image)
    margin_x, margin_y = width // 10, height // 10
    draw.ellipse((margin_x, margin_y, width - margin_x, height - margin_y), fill=(226, 168, 200))
    for _ in range(width * height // 1400):
        x, y = rng.uniform(0.12, 0.88, 2) * (width, height)
        if ((x / width - 0.5) / 0.39) ** 2 + ((y / height - 0.5) / 0.39) ** 2 < 1:
            a, b = rng.uniform(4, 8, 2)
            draw.ellipse((x - a, y - b, x + a, y + b), fill=(98, 62, 142))
    grain = rng.normal(0, 5, (height, width, 3))
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float32) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def generated_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled pyramidal TIFF of generated tissue, 2048 x 1536 px at 0.5 µm/px, three levels."""
    import tifffile

    path = tmp_path_factory.mktemp("slides") / "generated.tif"
    image = paint_tissue(2048, 1536)
    with tifffile.TiffWriter(path) as out:
        for level in range(3):
            out.write(
                np.asarray(image),
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                metadata=None,
                subfiletype=1 if level else 0,
                resolution=(20000 / 2**level, 20000 / 2**level),
                resolutionunit="CENTIMETER",
            )
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    return path
