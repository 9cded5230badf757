"""Stand-ins for triage: sights with a known score, and a scorer that reads its score off a small picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from copilot.triage.audit import SHARE
from copilot.triage.certificate import Certificate, certify
from copilot.triage.drift import refer
from copilot.triage.profile import STAIN, Profile
from copilot.triage.scorer import Progress, Sight
from slides import Slide

HASHES = {"encoder": "e" * 64, "heads": "a" * 64, "pathcopilot": "0.1.0"}


def profile(seed: int = 0, *, scanner: str = "aperio", mpp: float = 0.25, shift: float = 0.0) -> Profile:
    """A slide of one laboratory: densities and features vary a little from slide to slide; `shift` moves the stain."""
    rng = np.random.default_rng(seed)
    density = np.array([0.21, 0.42, 0.25]) + rng.normal(0, 0.02, 3) + shift
    gist = rng.normal(0, 1, 16).astype(np.float32)
    return Profile(scanner, mpp, "HE", dict(zip(STAIN, map(float, density), strict=True)), gist)


def sight(name: str, score: float | None, seed: int = 0, **profiled: object) -> Sight:
    """A slide with a fingerprint of its name; without a score it could not be read."""
    seen = profile(seed, **profiled)  # type: ignore[arg-type]
    if score is None:
        return Sight(name, None, None, "the file cannot be read")
    fingerprint = hashlib.sha1(name.encode()).hexdigest()
    return Sight(name, fingerprint, score, f"malignant {score:.2f}", profile=seen, fields=((0, 0, 9, 9),))


class StandIn:
    """A scorer of small pictures: the red of the left upper pixel is the score, its blue tells an uncertain one."""

    name = "stand-in"

    def __init__(self, hashes: Mapping[str, str] = HASHES) -> None:
        self.hashes = hashes
        self.looked: list[str] = []

    def score(self, slide: Slide, progress: Progress) -> Sight:
        progress("looking")
        self.looked.append(slide.name)
        red, _, blue = (int(value) for value in slide.read(slide.bounds)[0, 0])
        uncertain = "its focus is soft" if blue > 200 else None
        seen = profile(int(slide.fingerprint[:6], 16))
        return Sight(slide.name, None, red / 255, f"malignant {red / 255:.2f}", uncertain, profile=seen)


def draw(path: Path, score: float, *, uncertain: bool = False, mark: int = 0) -> Path:
    """A picture that `StandIn` reads; `mark` makes its content its own."""
    pixels = np.full((48, 48, 3), (round(255 * score), 90, 250 if uncertain else 120), np.uint8)
    pixels[-1, -2:] = (mark // 256, mark % 256, 7)
    Image.fromarray(pixels).save(path)
    return path


def certificate(
    positives: Sequence[float | None],
    negatives: Sequence[float | None] = (),
    *,
    sensitivity: float = 0.9,
    audit_share: float = SHARE,
) -> Certificate:
    """A certificate for `StandIn` on slides of one laboratory."""
    slides = [(profile(seed), seed < len(positives)) for seed in range(len(positives) + len(negatives))]
    return certify(
        positives,
        negatives,
        sensitivity=sensitivity,
        confidence=0.95,
        data={"name": "labels.csv", "sha256": "b" * 64, "slides": len(slides), "patients": len(slides)},
        made="2026-11-24",
        scorer={"name": StandIn.name, "hashes": HASHES},
        reference=refer(slides),
        audit_share=audit_share,
    )
