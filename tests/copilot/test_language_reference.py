"""The converted model against transformers reading the GGUF file itself: same weights, same greedy text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from copilot.language.convert import GGUF_NAME, convert, find_gguf
from copilot.language.embedded import load_embedded
from copilot.language.hub import let_transformers_import
from copilot.language.model import Message
from slides import SetupError

pytestmark = pytest.mark.slow

SYSTEM = "You help a pathologist. State the findings you are given in short, plain, exact sentences."
QUESTIONS = (
    "What is the capital of France?",
    "Findings: tissue glandular 0.91; nuclei 3120 per mm²; focus sharp. Write them as sentences.",
    "What separates an adenoma from an adenocarcinoma of the colon?",
    "Name three stains used in histology and what each one shows.",
    "Explain in two sentences why a biopsy is fixed in formalin.",
)
LENGTH = 24


@pytest.fixture(scope="module")
def reference() -> tuple[Any, Any]:
    """Tokenizer and float32 model as transformers reads them from the GGUF file."""
    try:
        folder = str(find_gguf().parent)
    except SetupError as error:
        pytest.skip(str(error))
    let_transformers_import()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF_NAME)
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF_NAME, dtype="float32")


def _prompt(question: str) -> list[Message]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def _greedy(tokenizer: Any, model: Any, question: str) -> str:
    import torch

    text = tokenizer.apply_chat_template(_prompt(question), tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        made = model.generate(ids, max_new_tokens=LENGTH, do_sample=False)[0, ids.shape[1] :]
    return str(tokenizer.decode(made, skip_special_tokens=True))


def test_weights_equal_those_that_transformers_reads(reference: tuple[Any, Any]) -> None:
    import torch
    from safetensors.torch import load_file

    read = reference[1].state_dict()
    ours = load_file(convert("float32") / "model.safetensors")
    assert set(read) - {"lm_head.weight"} == set(ours)
    assert all(torch.equal(read[name], weight) for name, weight in ours.items())
    rounded = load_file(convert("bfloat16") / "model.safetensors")
    assert all(torch.equal(read[name].to(torch.bfloat16), weight) for name, weight in rounded.items())


def test_prompts_are_those_of_the_chat_template(reference: tuple[Any, Any]) -> None:
    tokenizer, _ = reference
    tokens = load_embedded("float32", tuned=False)._tokens
    for question in QUESTIONS:
        turns: list[Message] = [
            *_prompt(question),
            {"role": "assistant", "content": "An answer."},
            *_prompt("More?")[1:],
        ]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        # Where transformers' reading of the file leaves spaces before a digit joined, ours splits them, as trained.
        assert not re.search(r"\s\s\d", text)
        assert tokens.prompt(turns) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_greedy_text_equals_the_reference_in_float32(reference: tuple[Any, Any]) -> None:
    model = load_embedded("float32", tuned=False)
    for question in QUESTIONS:
        ours = "".join(model.stream(_prompt(question), max_new_tokens=LENGTH))
        assert ours == _greedy(*reference, question)


def test_bfloat16_is_no_further_from_the_reference_than_transformers_in_bfloat16(reference: tuple[Any, Any]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(convert("bfloat16"), dtype=torch.bfloat16)
    ours = load_embedded("bfloat16", tuned=False)
    gaps = {"ours": 0.0, "theirs": 0.0}
    for question in QUESTIONS:
        ids = ours._tokens.prompt(_prompt(question))
        with torch.inference_mode():
            exact = reference[1](torch.tensor([ids])).logits[0, -1]
            gaps["theirs"] += float((theirs(torch.tensor([ids])).logits[0, -1].float() - exact).abs().mean())
        logits = ours._read(ids, lambda: False)
        assert logits is not None
        gaps["ours"] += float((logits - exact).abs().mean())
    assert gaps["ours"] <= gaps["theirs"]
