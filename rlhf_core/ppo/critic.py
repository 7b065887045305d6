"""The critic: a network of its own that starts as the normalised reward model (InstructGPT C.4)."""

import copy

import torch
from torch import Tensor, nn

from rlhf_core.collate import Dialogues, is_within, response_positions
from rlhf_core.reward.model import RewardModel
from rlhf_core.reward.normalisation import Normalisation


class Critic(nn.Module):
    """V(s_t) before response token t; gain and bias of the normalisation are folded in."""

    def __init__(self, reward_model: RewardModel, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = copy.deepcopy(reward_model)
        with torch.no_grad():
            self.network.head.weight.mul_(normalisation.gain)
        bias = self.network.head.weight.new_tensor(normalisation.bias)
        self.bias = nn.Parameter(bias)

    def forward(self, batch: Dialogues, width: int) -> Tensor:
        """Values before each response token, float (B, width); arbitrary at padding.

        The value after a response's last token stands where the next token would.
        """
        mask = is_within(batch.lengths, batch.ids.shape[1])
        values, _ = self.network.token_values(batch.ids, mask, prompt_lengths=batch.prompt_lengths)
        return values.gather(1, response_positions(batch, width)) + self.bias
