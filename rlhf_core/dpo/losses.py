"""The loss of DPO: the ranking loss on the rewards that a policy implies.

    r(x, y) = beta * (log pi(y | x) - log pi_ref(y | x))
    L = - sum over pairs (w, l) of weight * log sigmoid(r_w - r_l),    averaged over prompts

pi is the optimum of E[r] - beta KL(pi || pi_ref) for the reward r that it implies, up to a constant
a prompt, which no pair sees [1, eq. 5 and 7]. So the pairs fit a reward model, and the reward
model is the policy. Log-probabilities are summed over tokens, not averaged.

References:
    [1] Rafailov et al. 2023, Direct preference optimization, arXiv:2305.18290.
    [2] E. Mitchell 2023, A note on DPO with noisy preferences (conservative DPO).
"""

from torch import Tensor

from rlhf_core.reward.losses import ranking_loss


def implicit_rewards(logprobs: Tensor, ref_logprobs: Tensor, beta: float) -> Tensor:
    """The rewards (R,) under which a policy would be the best one [1, eq. 5].

    Args:
        logprobs: log pi of each whole response, float (R,).
        ref_logprobs: Likewise under the reference.
        beta: Weight of the KL, above 0.
    """
    return beta * (logprobs - ref_logprobs)


def dpo_loss(
    rewards: Tensor, pairs: Tensor, weights: Tensor, num_prompts: int, *, label_smoothing: float
) -> Tensor:
    """The loss of a batch of prompts [1, eq. 7], a scalar in nats.

    Args:
        rewards: Implicit rewards of all responses of the batch, float (R,).
        pairs: Rows (chosen, rejected) of indices into `rewards`, int64 (P, 2).
        weights: Weight of each pair, float (P,).
        num_prompts: Prompts in the batch, the divisor.
        label_smoothing: Share of pairs taken to be the wrong way round [2], in [0, 0.5).
    """
    loss = ranking_loss(rewards, pairs, weights, num_prompts)
    if label_smoothing == 0:
        return loss
    reversed_loss = ranking_loss(rewards, pairs.flip(1), weights, num_prompts)
    return (1 - label_smoothing) * loss + label_smoothing * reversed_loss
