"""Train step, sampling and optimiser state of a small Llama: in full, with LoRA, and with LoRA
written out as x W^T + s (x A^T) B^T.

    PYTHONPATH=. python benchmarks/lora.py

Seconds are of the process on one thread, not of the clock: other programs hardly change them.
"""

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import AdamW
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf_core.generation import generate
from rlhf_core.hf import TransformersBackbone
from rlhf_core.lora import LowRank, add_lora, lora_parameters

RANK, ALPHA = 8, 16.0
BATCH, TOKENS = 8, 128
ROUNDS = 11


class WrittenOut(nn.Module):
    """A linear layer with an adapter beside it."""

    def __init__(self, layer: nn.Linear, adapter: LowRank) -> None:
        super().__init__()
        self.layer = layer
        self.adapter = adapter

    def forward(self, x: Tensor) -> Tensor:
        change = (x @ self.adapter.a.T) @ self.adapter.b.T
        return self.layer(x) + self.adapter.scale * change


def small_llama() -> TransformersBackbone:
    sizes = LlamaConfig(
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        tie_word_embeddings=False,
    )
    return TransformersBackbone(LlamaForCausalLM(sizes))


def adapted(model: TransformersBackbone) -> TransformersBackbone:
    model = copy.deepcopy(model)
    add_lora(model, rank=RANK, alpha=ALPHA, generator=Generator().manual_seed(0))
    return model


def written_out(model: TransformersBackbone) -> TransformersBackbone:
    model = copy.deepcopy(model)
    model.requires_grad_(requires_grad=False)
    for parent in list(model.body.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear):
                weight, generator = layer.weight, Generator().manual_seed(0)
                adapter = LowRank(weight, RANK, ALPHA, generator, is_transposed=False)
                setattr(parent, name, WrittenOut(layer, adapter))
    return model


def train_step(model: TransformersBackbone) -> tuple[Callable[[], None], AdamW]:
    ids = torch.randint(0, 2048, (BATCH, TOKENS), generator=Generator().manual_seed(0))
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        logits, _ = model(ids[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()

    return step, optimizer


def sample(
    model: TransformersBackbone, around: Callable[[], AbstractContextManager[Any]]
) -> Callable[[], None]:
    prompts = torch.randint(2, 2048, (8, 32), generator=Generator().manual_seed(0)).tolist()

    def work() -> None:
        with around():
            generate(
                model,
                prompts,
                responses_per_prompt=4,
                max_tokens=32,
                temperature=1.0,
                pad_id=0,
                eos_id=1,
                generator=Generator().manual_seed(0),
            )

    return work


def state_bytes(optimizer: AdamW) -> int:
    tensors = (t for state in optimizer.state.values() for t in state.values())
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))


def report(title: str, pieces: dict[str, Callable[[], None]]) -> None:
    """Run the pieces in turn; print medians, and ratios to the first with their extremes."""
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    for done in range(ROUNDS + 1):
        for name, work in pieces.items():
            begin = time.process_time()
            work()
            if done:  # the first round warms up
                seconds[name].append(time.process_time() - begin)
    base, *_ = seconds.values()
    print(title)
    for name, rounds in seconds.items():
        ratios = [one / first for one, first in zip(rounds, base, strict=True)]
        print(
            f"  {name:12} {1e3 * median(rounds):6.0f} ms   "
            f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def main() -> None:
    torch.set_num_threads(1)
    model = small_llama()
    models = {"full": model, "lora": adapted(model), "written out": written_out(model)}
    steps = {name: train_step(it) for name, it in models.items()}
    report("train step", {name: step for name, (step, _) in steps.items()})
    for name, (_, optimizer) in steps.items():
        trained = sum(p.numel() for p in models[name].parameters() if p.requires_grad)
        print(f"  {name:12} {trained:9,} trained, {state_bytes(optimizer):11,} B of AdamW state")
    pieces = {
        "plain": sample(models["full"], nullcontext),
        "lora": sample(models["lora"], nullcontext),
        "lora, cached": sample(models["lora"], parametrize.cached),
        "written out": sample(models["written out"], nullcontext),
    }
    report("sampling 8 prompts x 4 responses, 32 tokens", pieces)
    print(f"adapters: {len(lora_parameters(models['lora'])) // 2} of rank {RANK}")


if __name__ == "__main__":
    main()
