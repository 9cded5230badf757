"""Multiple choice on labelled tiles and cases that no weight was trained on: `python -m benchmarks.options --data DIR`.

Each item (a tile, or up to 16 tiles of a case laid side by side) is looked at once, as a person's picture would be,
and asked one question a label it carries: organ, category, kind of tissue, disease, stain, and two of yes or no.
Distractors come from the other items' labels. Printed beside it: the best answer without any look (the label that
is right most often among the options), and the same questions about a blank picture.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from copilot.answer import Question
from copilot.choose import Choice, choose_option
from instruction_data.knowledge import Knowledge, load_knowledge
from slides import Slide, open_slide
from vision_encoder.look import Eye, load_eye
from vision_encoder.observation import Observation
from vision_encoder.reference_tiles import ReferenceTiles, load_reference_tiles

AXES = {
    "organ": "Which organ is this tissue from?",
    "category": "What kind of process is shown?",
    "tissue": "Which tissue is shown?",
    "disease": "What is the most likely diagnosis?",
    "stain": "Which stain is this?",
}
PARAPHRASE = {
    "organ": "From what site does this specimen come?",
    "category": "How would you classify the lesion?",
    "tissue": "What does this field mostly consist of?",
    "disease": "Which of these fits best?",
    "stain": "How was this slide stained?",
}
WORDS = {
    "HE": "haematoxylin and eosin", "special": "special stain", "benign tumour": "benign tumour",
    "normal/reactive/other": "normal or reactive", "ADI": "adipose tissue", "DEB": "necrotic debris",
    "LYM": "lymphocytes", "MUC": "mucus", "MUS": "smooth muscle", "NORM": "normal mucosa", "STR": "stroma",
    "TUM": "tumour epithelium", "brain/CNS": "brain", "07_ADIPOSE": "adipose tissue", "06_MUCOSA": "normal mucosa",
}  # fmt: skip
SKIPPED = {"", "other", "none", "unknown", "lymphoid", "ISH", "03_COMPLEX", "08_EMPTY", "BACK"}
TISSUE_SETS = ("crc_val_he_7k", "crc_texture_2016")
SIDE = 4
ORDERS = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A picture and its labels by axis."""

    name: str
    group: str
    kind: str
    positions: tuple[int, ...]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about an item: the options in a fixed order and the position of the right one."""

    item: Item
    axis: str
    text: str
    options: tuple[str, ...]
    right: int


def items(tiles: ReferenceTiles, split: str) -> list[Item]:
    """Every tile of a set, and every case of the atlas, of that split."""
    found: dict[str, list[int]] = defaultdict(list)
    for position in np.flatnonzero(tiles.split == split):
        case = tiles.kind[position] == "cases"
        if case and (tiles.downsample[position] != 1 or not tiles.certain[position]):
            continue
        key = "/".join(tiles.id[position].split("/")[:3]) if case else tiles.id[position]
        found[key].append(int(position))
    return [
        Item(key, tiles.group[p[0]], tiles.kind[p[0]], tuple(p[: SIDE * SIDE]), _labels(tiles, p[0]))
        for key, p in sorted(found.items())
    ]


def _labels(tiles: ReferenceTiles, position: int) -> dict[str, str]:
    labels = {axis: str(getattr(tiles, axis)[position]) for axis in AXES}
    if tiles.source[position] not in TISSUE_SETS:
        labels["tissue"] = ""
    if tiles.source[position] in TISSUE_SETS or labels["category"] in SKIPPED:
        labels["disease"] = ""
    if labels["stain"] not in ("HE", "special"):
        labels["stain"] = "immunohistochemistry" if labels["stain"].startswith("IHC") else labels["stain"]
    return {axis: WORDS.get(label, label) for axis, label in labels.items() if label not in SKIPPED}


def questions(found: Sequence[Item], seed: int = 0) -> Iterator[Asked]:
    """Questions with up to four options, and yes or no about the category and the organ."""
    pools = {axis: sorted({item.labels[axis] for item in found if axis in item.labels}) for axis in AXES}
    for item in found:
        rng = random.Random(f"{seed} {item.name}")
        for axis, label in item.labels.items():
            others = [other for other in pools[axis] if other != label]
            if len(others) < 1:
                continue
            options = [label, *rng.sample(others, min(3, len(others)))]
            rng.shuffle(options)
            text = AXES[axis] if rng.random() < 0.5 else PARAPHRASE[axis]
            yield Asked(item, axis, text, tuple(options), options.index(label))
            if axis in ("organ", "category"):
                claim = label if rng.random() < 0.5 else rng.choice(others)
                asked = f"Is this tissue from the {claim}?" if axis == "organ" else f"Is this {claim}?"
                yield Asked(item, f"{axis} yes/no", asked, ("yes", "no"), 0 if claim == label else 1)


def picture(tiles: ReferenceTiles, item: Item) -> Image.Image:
    """The tile, or the tiles of a case in a square."""
    images = [tiles.image(position) for position in item.positions]
    if len(images) == 1:
        return images[0]
    side = 256
    across = int(np.ceil(np.sqrt(len(images))))
    sheet = Image.new("RGB", (across * side, -(-len(images) // across) * side), "white")
    for number, image in enumerate(images):
        sheet.paste(image, ((number % across) * side, (number // across) * side))
    return sheet


def looked(eye: Eye, slide: Slide) -> Observation:
    """The observation of a whole picture."""
    looking = eye.look(slide)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            observation: Observation = end.value
            return observation


def observe(eye: Eye, image: Image.Image, folder: Path) -> Observation:
    """The observation of an image that is saved and opened as a person's would be."""
    path = folder / "picture.png"
    image.save(path)
    with open_slide(path) as slide:
        return looked(eye, slide)


def answered(asked: Asked, observation: Observation, knowledge: Knowledge) -> Choice:
    """The choice of a question from an observation, without the language model."""
    question = Question(asked.text, options=asked.options)
    return choose_option(asked.options, [observation], question, language=None, knowledge=knowledge)


def turned_alike(asked: Asked, observation: Observation, knowledge: Knowledge) -> bool:
    """True when other orders, and letters in front, give the same option the same probability."""
    first = answered(asked, observation, knowledge)
    expected = dict(zip(asked.options, first.probabilities, strict=True))
    for order in itertools.islice(itertools.permutations(asked.options), 1, 1 + ORDERS):
        lettered = tuple(f"{'ABCD'[i]}) {option}" for i, option in enumerate(order))
        again = choose_option(lettered, [observation], Question(asked.text), language=None, knowledge=knowledge)
        if tuple(expected[option] for option in order) != again.probabilities:
            return False
    return True


def report(asked: Sequence[Asked], choices: Sequence[Choice], blank: Sequence[Choice], alike: Sequence[bool]) -> None:
    """One line an axis and kind of item: accuracy of answers, abstentions, and the two baselines."""
    heads = ("n", "right", "of answered", "abstained", "prior only", "chance", "blank")
    print(" " * 24 + "{:>5} {:>7} {:>12} {:>10} {:>11} {:>7} {:>7}".format(*heads))
    for key in sorted({(one.axis, one.item.kind) for one in asked}):
        at = [i for i, one in enumerate(asked) if (one.axis, one.item.kind) == key]
        right = sum(choices[i].index == asked[i].right for i in at)
        told = sum(choices[i].index is not None for i in at)
        counts: dict[str, int] = defaultdict(int)
        for i in at:
            counts[asked[i].options[asked[i].right]] += 1
        prior = sum(max(asked[i].options, key=lambda o: counts[o]) == asked[i].options[asked[i].right] for i in at)
        chance = sum(1 / len(asked[i].options) for i in at)
        seen_nothing = sum(blank[i].index is not None for i in at)
        n = len(at)
        answered_right = f"{right / told:.2f}" if told else "-"
        print(
            f"{key[0]:15} {key[1]:8} {n:5d} {right / n:7.2f} {answered_right:>12} {1 - told / n:10.2f} "
            f"{prior / n:11.2f} {chance / n:7.2f} {seen_nothing / n:7.2f}"
        )
    _calibration(
        [(max(c.probabilities), c.index == q.right) for q, c in zip(asked, choices, strict=True) if not c.abstained]
    )
    print(f"same probabilities in {ORDERS} other orders and with letters: {sum(alike)} of {len(alike)}")


def _calibration(told: Sequence[tuple[float, bool]]) -> None:
    """Mean probability of the option taken beside how often it was right, in five bins."""
    for low, high in itertools.pairwise((0.0, 0.4, 0.6, 0.8, 0.9, 1.01)):
        part = [(p, right) for p, right in told if low <= p < high]
        if part:
            mean, share = np.mean([p for p, _ in part]), np.mean([right for _, right in part])
            print(f"said {mean:.2f}, right {share:.2f} of {len(part)}")


def main() -> None:
    """Asks and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with `tiles` and `atlas`")
    parser.add_argument("--split", default="dev", choices=("dev", "train"))
    arguments = parser.parse_args()
    tiles = load_reference_tiles(arguments.data, {})
    knowledge, eye = load_knowledge(), load_eye()
    asked = list(questions(items(tiles, arguments.split)))
    seen: dict[str, Observation] = {}
    with tempfile.TemporaryDirectory() as folder:
        nothing = observe(eye, Image.new("RGB", (1024, 1024), (243, 243, 243)), Path(folder))
        for item in {one.item.name: one.item for one in asked}.values():
            seen[item.name] = observe(eye, picture(tiles, item), Path(folder))
    choices = [answered(one, seen[one.item.name], knowledge) for one in asked]
    blank = [answered(one, nothing, knowledge) for one in asked]
    report(asked, choices, blank, [turned_alike(one, seen[one.item.name], knowledge) for one in asked])


if __name__ == "__main__":
    main()
