"""GPT-2s of 5.6M parameters that both TRL and we train, and an RWKV-7 of their size.

Weights are those of a fresh GPT-2 of transformers, the same at every call; dropout is off.
"""

from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Generator
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from rlhf_core.hf import TransformersBackbone
from rlhf_core.reward.model import RewardModel, reward_model_from
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV


class Size(NamedTuple):
    """Layers, channels and vocabulary of a GPT-2."""

    num_layers: int
    dim: int
    vocab_size: int

    def __str__(self) -> str:
        return f"GPT-2 5.6M (L{self.num_layers} C{self.dim} V{self.vocab_size})"


# Most of the work in the blocks, or in a head with the vocabulary of the released models.
DEEP, WIDE = Size(4, 256, 9216), Size(7, 96, 50257)
RWKV_CONFIG, RWKV_NAME = (
    RWKVConfig(vocab_size=4096, dim=256, num_layers=4),
    "RWKV-7 5.5M (L4 C256 V4096)",
)
PAD, EOS = 0, 1
# What TRL's trainers would else do beside training.
QUIET = {
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
}


def language_model(size: Size) -> Any:
    """A GPT2LMHeadModel, its head tied to the embedding."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        return GPT2LMHeadModel(_config(size)).eval()


def score_model(size: Size) -> Any:
    """A GPT2ForSequenceClassification of the same body, without a bias in its head."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(1)
        model = GPT2ForSequenceClassification(_config(size)).eval()
    model.transformer.load_state_dict(language_model(size).transformer.state_dict())
    return model


def policy(size: Size) -> TransformersBackbone:
    """Our policy with the weights of `language_model`."""
    return TransformersBackbone(language_model(size))


def reward_model(size: Size) -> RewardModel:
    """Our reward model with the weights of `score_model`."""
    model = RewardModel(policy(size).trunk(), segment_embeddings=False)
    with torch.no_grad():
        model.head.weight.copy_(score_model(size).score.weight)
    return model


def rwkv() -> RWKV:
    """An RWKV-7 of about as many parameters."""
    return initialise(RWKV(RWKV_CONFIG), Generator().manual_seed(0))


def rwkv_reward_model() -> RewardModel:
    """A reward model over it."""
    generator = Generator().manual_seed(1)
    return reward_model_from(rwkv(), segment_embeddings=False, generator=generator)


def tokenizer(size: Size) -> Any:
    """Names of the tokens: TRL's trainers want to know PAD and EOS from a tokenizer."""
    words = {f"t{i}": i for i in range(size.vocab_size)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words)),
        pad_token=f"t{PAD}",
        eos_token=f"t{EOS}",
        padding_side="left",
    )


def random_rows(rows: int, columns: int, seed: int) -> list[list[int]]:
    """Ordinary tokens that all models know."""
    generator = Generator().manual_seed(seed)
    tokens: list[list[int]] = torch.randint(
        2, RWKV_CONFIG.vocab_size, (rows, columns), generator=generator
    ).tolist()
    return tokens


def _config(size: Size) -> Any:
    return GPT2Config(
        vocab_size=size.vocab_size,
        n_positions=256,
        n_embd=size.dim,
        n_layer=size.num_layers,
        n_head=4,
        num_labels=1,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=EOS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
