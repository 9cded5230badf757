"""Chat models of a few thousand random weights, in the forms that users have them."""

from __future__ import annotations

from pathlib import Path

TEXT = (
    "The picture favours glandular tissue of the colon. The nuclei are round and even. What is seen is consistent "
    "with adenocarcinoma. There are 3120 nuclei per mm², with a median area of 41 µm². Nothing else was asked, "
    "which is why the answer ends here; system user assistant tumour tumor malignant benign normal mucosa"
)
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + TEMPLATE


def save_tiny_model(folder: Path, family: str, head_width: int = 8, inner: int = 48) -> Path:
    """A random model of a family (llama, qwen2, gemma2, gemma3) and its tokenizer, as transformers saves them."""
    import torch

    from copilot.language.hub import let_transformers_import

    let_transformers_import()
    import transformers

    vocabulary = _save_tokenizer(folder, NO_SYSTEM if family.startswith("gemma") else TEMPLATE)
    settings = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": inner,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": head_width,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.4,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    if family.startswith("gemma"):
        settings |= {"sliding_window": 16, "query_pre_attn_scalar": 8}
    config_name, model_name = {
        "llama": ("LlamaConfig", "LlamaForCausalLM"),
        "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
        "gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
        "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    }[family]
    torch.manual_seed(5)
    config = getattr(transformers, config_name)(**settings)
    getattr(transformers, model_name)(config).to(torch.float32).save_pretrained(folder)
    return folder


def graph_of(folder: Path) -> Path:
    """The folder of a Llama with its ONNX graph beside the weights, in whole floats."""
    from safetensors.numpy import load_file

    from copilot.language.onnx_network import GRAPH, write_graph

    if not (folder / GRAPH).is_file():
        weights = load_file(folder / "model.safetensors")
        write_graph(folder, weights.__getitem__, weights.__getitem__)
    return folder


def _save_tokenizer(folder: Path, template: str) -> int:
    """Byte-level BPE with a few merges, so that one text has several ways to be cut; returns its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    fast.chat_template = template
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    return int(tokenizer.get_vocab_size())
