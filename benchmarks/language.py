"""`python -m benchmarks.language`: loading, reading, writing and choosing of the embedded language model.

Seconds of the process's own CPU time beside elapsed ones, so that a busy machine can be told from a slow one.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

# Threads that wait asleep: where anything else runs, torch's spinning ones cost a factor of 5 to 8.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from copilot.language.decoding import LocalModel
from copilot.language.model import Message

SYSTEM: Message = {
    "role": "system",
    "content": (
        "You help a pathologist. State the findings you are given in short, plain, exact sentences. "
        "Never add a number, an organ, a diagnosis or a marker that was not given."
    ),
}
RECORDS = (
    "Findings:\n- tissue: glandular, probability 0.91\n- nuclei: 3120 per mm²\n- focus: sharp\n\n"
    "Write the findings as sentences.",
    "Findings:\n- organ: colon, probability 0.88\n- category: malignant, probability 0.74, 90 % set: malignant, "
    "pre-malignant\n\nAnswer from the findings only: what is this?",
)
CHOICES = (
    (
        "The picture favours glandular tissue (0.91).",
        "What is seen favours glandular tissue (0.91).",
        "Glandular tissue is favoured (0.91).",
    ),
    (
        "It looks most like adenocarcinoma of the colon; an adenoma is not excluded by this field.",
        "It most resembles adenocarcinoma of the colon; an adenoma is not excluded by this field.",
        "Its nearest likeness is adenocarcinoma of the colon; an adenoma is not excluded by this field.",
        "Of the reference cases, adenocarcinoma of the colon is nearest; an adenoma is not excluded.",
    ),
    (
        "There are 3120 nuclei per mm², with a median area of 41 µm².",
        "Nuclei: 3120 per mm², median area 41 µm².",
        "The nuclei number 3120 per mm² and have a median area of 41 µm².",
    ),
)


def main() -> None:
    """Prints the figures, one a line, and what the model writes when it is left to its own words."""
    started = time.perf_counter()
    import torch

    imported = time.perf_counter()
    from copilot.language.embedded import load_embedded, native_precision

    model = load_embedded()
    loaded = time.perf_counter()
    _say(f"load: torch {imported - started:.2f} s, model {loaded - imported:.2f} s, {native_precision()}")
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        _say(f"{threads} thread(s)")
        question: list[Message] = [SYSTEM, {"role": "user", "content": RECORDS[0]}]
        long: list[Message] = [SYSTEM, {"role": "user", "content": "The glands are crowded. " * 50}]
        _say(f"  read {len(model._tokens.prompt(long))} tokens: {_span(partial(_read_anew, model, long))}")
        _say(f"  write 24 tokens: {_span(partial(_write, model, question))}")
        for number, wordings in enumerate(CHOICES, 1):
            said = " ".join(choice[0] for choice in CHOICES[: number - 1])
            span = _span(partial(_choose, model, said, wordings))
            _say(f"  choice {number}, {len(wordings)} wordings, its conversation in the cache: {span}")
    for records in RECORDS:
        text = "".join(model.stream([SYSTEM, {"role": "user", "content": records}], max_new_tokens=60))
        _say(f"untuned: {text!r}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    _say(f"peak memory: {peak:.2f} GB")


def _read_anew(model: LocalModel, messages: Sequence[Message]) -> None:
    model.read([{"role": "user", "content": "Another conversation."}])
    model.read(messages)


def _write(model: LocalModel, messages: Sequence[Message]) -> None:
    list(model.stream(messages, max_new_tokens=24))


def _choose(model: LocalModel, said: str, wordings: Sequence[str]) -> None:
    question: list[Message] = [SYSTEM, {"role": "user", "content": "What is this?"}]
    list(model.choose(question, f"{said} " if said else "", wordings))


def _span(work: Callable[[], object], rounds: int = 3) -> str:
    """Least elapsed and CPU seconds of a few rounds, after one to warm up."""
    work()
    spans = []
    for _ in range(rounds):
        elapsed, cpu = time.perf_counter(), time.process_time()
        work()
        spans.append((time.perf_counter() - elapsed, time.process_time() - cpu))
    return f"{min(s for s, _ in spans):.3f} s, CPU {min(c for _, c in spans):.3f} s"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
