"""Tiny models and tokenizers of transformers, made on the spot."""

from collections.abc import Callable
from functools import partial
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers
from torch.nn.functional import rms_norm

from rlhf_core.seeding import generator_for
from tests.unit.rlhf_core.builders import shaken

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = SIZES | {"num_key_value_heads": 2}
GPT2: dict[str, Any] = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4}
NO_ENDS = {"bos_token_id": None, "eos_token_id": None}

CHAT_TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


def gpt2(**settings: Any) -> Any:
    sizes = {**GPT2, **NO_ENDS, "n_positions": 64, **settings}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))


def llama(**settings: Any) -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**GROUPED, **settings))


def qwen2(**settings: Any) -> Any:
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**GROUPED, **settings))


def qwen3() -> Any:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**GROUPED, head_dim=8))


def gpt_neox() -> Any:
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**SIZES))


def mistral(window: int | None) -> Any:
    sizes = transformers.MistralConfig(**GROUPED, sliding_window=window)
    return transformers.MistralForCausalLM(sizes)


FAMILIES: dict[str, Callable[[], Any]] = {
    "gpt2": gpt2,
    "llama": lambda: llama(tie_word_embeddings=False),
    "llama tied": lambda: llama(tie_word_embeddings=True),
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gpt_neox": gpt_neox,
    "mistral": lambda: mistral(None),
}


def tiny_model(family: str) -> Any:
    """A float64 model of `FAMILIES`, with weights so large that attention is not uniform."""
    model = shaken(FAMILIES[family](), 0, 0.2).double().eval()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_rms_norm, module)
    return model


def _rms_norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """The norm without the detour to float32 that transformers takes, whatever the dtype."""
    return rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)


def tiny_tokenizer(
    text: str = "my lamp flickers", size: int = 300, *, chat: bool = True, **special: str
) -> Any:
    """BPE of at most `size` tokens with those of a chat model, and `special` ones (pad="<pad>")."""
    names = {f"{name}_token": token for name, token in {"eos": "<|endoftext|>", **special}.items()}
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [text],
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", *special.values()],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        chat_template=CHAT_TEMPLATE if chat else None,
        **names,
    )


def random_ids(seed: int, *shape: int) -> torch.Tensor:
    """Token ids below the tiny models' vocabulary."""
    return torch.randint(0, 40, shape, generator=generator_for(seed, "ids"))
