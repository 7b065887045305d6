"""Optimiser and learning-rate schedule, shared by all trainings."""

import math
from collections.abc import Mapping
from operator import itemgetter

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

BETAS = (0.9, 0.99)  # RWKV-LM's
FASTER = {"att.w0": 2.0, "att.time_decay": 2.0, "att.time_first": 3.0}  # times the base rate

RWKV_EPS = 1e-18  # RWKV-LM's value: some RWKV gradients are tiny and must still move their weights


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    eps: float = RWKV_EPS,
    betas: tuple[float, float] = BETAS,
) -> AdamW:
    """AdamW in RWKV-LM's groups: decay on 2-D `.weight` matrices only, decays of RWKV faster.

    Source: BlinkDL/RWKV-LM, RWKV-v7/train_temp/src/model.py and RWKV-v4neo/src/model.py,
    configure_optimizers. Each group keeps its base rate under "base", which `set_learning_rate`
    scales. Parameters that are frozen are left out.
    """
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_plain = not (name.endswith(".weight") and parameter.ndim == 2)
            factor = next((f for end, f in FASTER.items() if name.endswith(end)), 1.0)
            groups.setdefault((factor, is_plain), []).append(parameter)
    return AdamW(
        [
            {
                "params": own,
                "weight_decay": 0.0 if is_plain else weight_decay,
                "base": factor * learning_rate,
            }
            for (factor, is_plain), own in sorted(groups.items(), key=itemgetter(0))
        ],
        lr=learning_rate,
        betas=betas,
        eps=eps,
        fused=True,
    )


def cosine_schedule(step: int, num_steps: int, *, warmup: float, final: float) -> float:
    """Share of the base rate at `step`: linear over the first `warmup` share, cosine to `final`."""
    warmup_steps = max(1, round(warmup * num_steps))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: Optimizer, scale: float) -> None:
    """Set each group's rate to `scale` times its base rate, in place."""
    for group in optimizer.param_groups:
        group["lr"] = scale * group["base"]


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of each parameter (moments, step count) as "INDEX/NAME"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{name}": value for i, own in state.items() for name, value in own.items()}


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimizer_tensors`; rates stay as they are, the schedule sets them at each step."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
