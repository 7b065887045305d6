"""Low-rank adaptation: each matrix W of the blocks becomes W + (alpha / r) B A; only B, A train.

The sum is a parametrisation of the weight, so one piece of code serves nn.Linear, GPT-2's Conv1D
and the projections of RWKV, and nothing that reads a weight has to know. What that costs is in
docs/decisions/0002-lora-by-parametrisation.md.

Omitted on purpose: adapters in files of their own (merge, then save), dropout of the adapter, and
adapting embeddings, vocabulary head and RWKV's own low-rank maps.

References:
    [1] LoRA, arXiv:2106.09685, section 4.1; microsoft/LoRA, loralib/layers.py (initialisation).
"""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from rlhf_core.backbones import Backbone


class LowRank(nn.Module):
    """W to W + scale * B A, for W of shape (rows, columns) that is used as x W^T."""

    def __init__(
        self, weight: Tensor, rank: int, alpha: float, generator: Generator, *, is_transposed: bool
    ) -> None:
        """Draw A as [1] does and leave B zero, so that the sum begins as W.

        Args:
            weight: The matrix, (out, in); (in, out) where `is_transposed`.
            rank: Rows of A.
            alpha: Scale times the rank.
            generator: On the CPU, so that a seed means the same on every device.
            is_transposed: Whether the layer computes x W.
        """
        super().__init__()
        num_out, num_in = reversed(weight.shape) if is_transposed else weight.shape
        self.is_transposed = is_transposed
        self.scale = alpha / rank
        self.a = nn.Parameter(weight.new_empty(rank, num_in))
        self.b = nn.Parameter(weight.new_zeros(num_out, rank))
        # Kaiming with a = sqrt(5): uniform within 1 / sqrt(num_in).
        drawn = torch.empty(rank, num_in, dtype=torch.float64)
        nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
        with torch.no_grad():
            self.a.copy_(drawn)

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted matrix."""
        change = self.b @ self.a
        return torch.add(weight, change.T if self.is_transposed else change, alpha=self.scale)


def add_lora(model: Backbone, *, rank: int, alpha: float, generator: Generator) -> None:
    """Adapt every matrix of the blocks in place; all other parameters of `model` are frozen.

    The model computes what it did before, to the bit. A reward model's head is no part of its
    backbone, so it goes on being trained.

    Raises:
        ValueError: If rank or alpha is not positive, or there is nothing to adapt.
    """
    if rank < 1 or not alpha > 0:
        raise ValueError(f"rank is {rank} and alpha {alpha}; both must be above 0")
    layers = list(_matrices(model))
    if not layers:
        raise ValueError(
            f"a {type(model).__name__} has no matrix to adapt, or has adapters already"
        )
    model.requires_grad_(requires_grad=False)
    for layer in layers:
        weight = layer.get_parameter("weight")
        adapter = LowRank(weight, rank, alpha, generator, is_transposed=_is_transposed(layer))
        parametrize.register_parametrization(layer, "weight", adapter)


def merge_lora(model: nn.Module) -> None:
    """Make the adapted matrices plain parameters again, in place; everything can be trained."""
    for layer in list(model.modules()):
        if _is_adapted(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    model.requires_grad_(requires_grad=True)


def lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The adapters' matrices, in the order of the modules."""
    return [p for it in model.modules() if isinstance(it, LowRank) for p in (it.a, it.b)]


def _matrices(model: Backbone) -> Iterator[nn.Module]:
    """Linear layers with a weight of their own, but for the vocabulary head."""
    for module in model.modules():
        is_linear = isinstance(module, nn.Linear) or _is_transposed(module)
        if is_linear and module is not model.head and not parametrize.is_parametrized(module):
            yield module


def _is_transposed(module: nn.Module) -> bool:
    """Whether it is a Conv1D of transformers, which computes x W."""
    return type(module).__name__ in ("Conv1D", "ParametrizedConv1D")


def _is_adapted(module: nn.Module) -> bool:
    adapters = getattr(module, "parametrizations", {})
    return "weight" in adapters and isinstance(adapters["weight"][0], LowRank)
