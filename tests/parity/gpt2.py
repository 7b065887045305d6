"""Tiny GPT-2s of transformers in fp64, and their weights under names that both sides share.

transformers is imported where it is used: tests are collected where it is not installed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn

from rlhf_core.hf import TransformersBackbone
from rlhf_core.reward.model import RewardModel
from rlhf_core.seeding import generator_for

VOCAB, EOS, PAD = 40, 0, 39  # PAD is neither 0 nor EOS, so that neither passes for it
# Names of one weight: ours to those of transformers.
RENAMED = {
    "network.backbone.body.": "transformer.",
    "backbone.body.": "transformer.",
    "network.head.": "score.",
    "head.": "score.",
    "body.": "transformer.",
}


def language_model(seed: int) -> Any:
    """A GPT2LMHeadModel of two layers."""
    from transformers import GPT2LMHeadModel

    return _drawn(GPT2LMHeadModel(_config()), seed)


def score_model(seed: int, *, bias: bool) -> Any:
    """A GPT2ForSequenceClassification of the same body, its head with or without a bias."""
    from transformers import GPT2ForSequenceClassification

    model = GPT2ForSequenceClassification(_config())
    model.score = nn.Linear(model.config.n_embd, 1, bias=bias)
    return _drawn(model, seed)


def perturbed(model: nn.Module, seed: int, amount: float) -> Any:
    """`model` with noise on all its weights, in place."""
    generator = generator_for(seed, "perturbed")
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(amount * noise)
    return model


def reward_model_of(model: Any) -> RewardModel:
    """Our reward model with the weights of a `score_model`, the head's bias left out."""
    body = language_model(0)
    body.transformer.load_state_dict(model.transformer.state_dict())
    ours = RewardModel(TransformersBackbone(body).trunk(), segment_embeddings=False).double()
    with torch.no_grad():
        ours.head.weight.copy_(model.score.weight)
    return ours


def tokenizer() -> Any:
    """Names of the tokens, to pad and to know PAD and EOS by; padding stands on the left."""
    from transformers import PreTrainedTokenizerFast

    words = {f"t{i}": i for i in range(VOCAB)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words)),
        pad_token=f"t{PAD}",
        eos_token=f"t{EOS}",
        padding_side="left",
    )


def shared_names(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Our weights under the names of transformers; theirs as they are."""
    return {_shared_name(name): value for name, value in named}


def flat(named: Mapping[str, Tensor]) -> Tensor:
    """All of them as one vector, in the order of their names."""
    return torch.cat([named[name].detach().flatten() for name in sorted(named)])


def _shared_name(name: str) -> str:
    if name == "bias":
        return "score.bias"
    ours = next((it for it in RENAMED if name.startswith(it)), "")
    return RENAMED.get(ours, "") + name.removeprefix(ours)


def _config() -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=VOCAB,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=2,
        num_labels=1,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=EOS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        summary_first_dropout=0.0,
    )


def _drawn(model: nn.Module, seed: int) -> Any:
    """`model` in fp64, its weights drawn anew: those of a fresh one hide most errors."""
    generator = generator_for(seed, "gpt2")
    model = model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            centre = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.3 * noise)
    return model
