"""PPO, RLOO and GRPO find the best of all responses, on an RWKV-7 and from few episodes a step."""

from typing import Any

import pytest

from tests.learning.small_problem import (
    drawn_scores,
    learn,
    mean_score,
    probabilities,
    small_rwkv,
)

ESTIMATORS: dict[str, dict[str, Any]] = {
    "ppo": {"estimator": "gae"},
    "rloo": {"estimator": "rloo", "samples_per_prompt": 4, "whiten_advantages": False},
    "grpo": {"estimator": "grpo", "samples_per_prompt": 8, "whiten_advantages": False},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_a_penalty_the_best_response_is_all_that_is_left(name: str, seed: int) -> None:
    # Guards: an advantage that goes to the wrong episode or token, or has the wrong sign.
    scores = drawn_scores(seed)
    best = max(scores, key=lambda response: scores[response])
    start = probabilities(small_rwkv(seed))
    end = learn(
        small_rwkv,
        scores,
        seed,
        num_iterations=40,
        batch_size=64,
        learning_rate=1e-2,
        value_learning_rate=1e-2,
        kl_coef=0.0,
        **ESTIMATORS[name],
    )
    first, last, most = mean_score(start, scores), mean_score(end, scores), scores[best]
    assert start[best] < 0.1
    # Measured: 0.997 to 0.999, and at most 0.2 % of the gap left.
    assert end[best] > 0.99
    assert last > most - 0.01 * (most - first)
