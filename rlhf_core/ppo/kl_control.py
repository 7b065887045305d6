"""The KL coefficient: fixed, or moved towards a target.

Reference:
    [1] Ziegler et al. 2019, arXiv:1909.08593, section 2.2; openai/lm-human-preferences,
    train_policy.py, AdaptiveKLController.
"""


def adapted_kl_coef(
    kl_coef: float, kl: float, *, target: float, horizon: int, num_episodes: int
) -> float:
    """The next coefficient [1].

    Args:
        kl_coef: The present coefficient.
        kl: Mean over episodes of the KL summed over tokens, in nats. A per-token mean is not it.
        target: Wanted `kl`.
        horizon: Episodes over which the coefficient moves.
        num_episodes: Episodes since the last call.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * num_episodes / horizon)
