"""`python -m benchmarks.identity`: greedy answers of the fast engine beside those of the reference path.

Prompts are the questions that the copilot's own suites and users ask, with findings as the copilot lists them, drawn
by a fixed seed from a small grammar. Every difference is printed, with how far the two words' logits were apart.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from copilot.language.decoding import LocalModel
from copilot.language.embedded import load_embedded
from copilot.language.model import Message
from instruction_data.prompt import dialogue, with_findings

ORGANS = ("colon", "stomach", "lung", "breast", "prostate", "thyroid", "skin", "kidney", "liver", "lymph node")
KINDS = ("malignant", "benign tumour", "normal or reactive", "pre-malignant", "inflammatory")
STAINS = ("haematoxylin and eosin", "immunohistochemistry")
QUESTIONS = (
    "What is this?",
    "Which organ is this?",
    "Is this malignant?",
    "How cellular is it?",
    "What is the Ki-67 index here?",
    "Describe what is seen.",
    "Is the focus good enough to read?",
    "Which test would settle it?",
    "What separates an adenoma from an adenocarcinoma?",
    "What can be read from this stain?",
)


def prompts(count: int) -> list[list[Message]]:
    """The same conversations every time, no two alike."""
    draw = random.Random(0)
    made: dict[str, list[Message]] = {}
    while len(made) < count:
        organ, kind, stain = draw.choice(ORGANS), draw.choice(KINDS), draw.choice(STAINS)
        facts = [
            f"The picture favours {organ} as the organ ({draw.uniform(0.5, 0.99):.2f}).",
            f"The kind of process is {draw.choice(('most likely', 'consistent with'))} {kind} "
            f"({draw.uniform(0.5, 0.99):.2f}).",
            f"The stain reads as {stain} ({draw.uniform(0.8, 0.99):.2f}).",
            f"There are {draw.randrange(800, 9000):,} nuclei per mm², with a median area of "
            f"{draw.randrange(20, 90)} µm².",
            f"Nuclei cover {draw.randrange(5, 60)} % of the tissue.",
        ]
        turn = with_findings(draw.sample(facts, draw.randrange(0, 5)), draw.choice(QUESTIONS))
        made.setdefault(turn, [{"role": one["role"], "content": one["content"]} for one in dialogue([], turn)])
    return list(made.values())


def written(model: LocalModel, messages: list[Message], length: int) -> list[str]:
    """Greedy pieces of the answer."""
    return list(itertools.islice(model.stream(messages, max_new_tokens=length), length))


def main() -> None:
    """Prints how many answers are the same, and each that is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=32)
    options = parser.parse_args()
    fast, reference = load_embedded(engine="onnx", tuned=False), load_embedded("float32", tuned=False)
    same = 0
    for number, messages in enumerate(prompts(options.prompts), 1):
        ours, theirs = (written(model, messages, options.tokens) for model in (fast, reference))
        same += ours == theirs
        if ours != theirs:
            place = next(i for i, (a, b) in enumerate(itertools.zip_longest(ours, theirs)) if a != b)
            print(f"prompt {number} parts at piece {place}: {''.join(ours[place:])!r} / {''.join(theirs[place:])!r}")
        if number % 20 == 0:
            sys.stderr.write(f"{number} of {options.prompts}\n")
    print(f"greedy answers identical: {same} of {options.prompts}, up to {options.tokens} tokens each")


if __name__ == "__main__":
    main()
