"""What happens to an optimiser step whose loss or gradient is not finite: it is not taken.

One bad batch must not ruin a run, and a run that is lost must not go on in silence: after
`MAX_SKIPPED` skips in a row the training has to be rolled back (rlhf_core.resume).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

MAX_SKIPPED = 3


class DivergedError(FloatingPointError):
    """Steps, or what the weights give, are not finite any more; the message names the mend."""


@dataclass(slots=True)
class Guard:
    """Counts what was skipped; part of a training's state.

    Attributes:
        in_a_row: Steps skipped since the last one that was taken.
        skipped: Steps skipped in all.
        rollbacks: Times the training went back to a checkpoint.
    """

    in_a_row: int = 0
    skipped: int = 0
    rollbacks: int = 0

    def admits(self, values: Sequence[float]) -> bool:
        """Whether all of a step's losses and gradient norms are finite; counts the step.

        Raises:
            DivergedError: If too many steps in a row were not.
        """
        if all(map(math.isfinite, values)):
            self.in_a_row = 0
            return True
        self.in_a_row += 1
        self.skipped += 1
        if self.in_a_row > MAX_SKIPPED:
            raise DivergedError(
                f"{self.in_a_row} steps in a row had a loss or gradient that is not finite; lower "
                "the learning rate"
            )
        return False


def guarded_step(
    guard: Guard, losses: Sequence[tuple[Optimizer, Tensor]], *, max_grad_norm: float
) -> list[float] | None:
    """Backward, clip by global norm and step: all optimisers, or none if anything is not finite.

    Args:
        guard: Counts the skips.
        losses: Each optimiser with the loss of its own parameters.
        max_grad_norm: Norm to which each optimiser's gradients are clipped.

    Returns:
        Gradient norms before clipping; None where the step was skipped and no parameter changed.

    Raises:
        DivergedError: If too many steps in a row were skipped.
    """
    norms = []
    for optimizer, loss in losses:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(nn.utils.clip_grad_norm_(parameters, max_grad_norm)))
    if not guard.admits([*norms, *(float(loss.detach()) for _, loss in losses)]):
        return None
    for optimizer, _ in losses:
        optimizer.step()
    return norms
