"""What must hold of reward model and PPO whatever the settings: I1 to I13; I14 is in test_split.

Each would have caught a bug that was once published. tests/mutation shows that each can fail.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from rlhf_core.collate import Dialogues, is_within, join, pad_right
from rlhf_core.language.training import Document
from rlhf_core.logprobs import KL_ESTIMATORS, kl_k1, kl_k3, response_logprobs
from rlhf_core.masking import whiten
from rlhf_core.ppo.advantages import gae
from rlhf_core.ppo.rollout import sample_episodes
from rlhf_core.ppo.training import PPOTraining
from rlhf_core.resume import Checkpoints, Training, run
from rlhf_core.reward.config import RewardConfig
from rlhf_core.reward.losses import pair_accuracy, ranking_loss
from rlhf_core.reward.model import RewardModel, score
from rlhf_core.reward.normalisation import Normalisation, fit_normalisation
from rlhf_core.reward.training import RankedPrompt, RewardTraining, batch_pairs, batch_scores
from rlhf_core.seeding import generator_for
from tests.oracles.ranking_loops import loss_of_prompt
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import (
    EOS,
    PAD,
    alone,
    ragged_dialogues,
    random,
    shaken,
    tiny_policy,
    tiny_reward_model,
    token_rows,
    with_padding_of,
)
from tests.unit.rlhf_core.ppo.setting import PROMPTS, exact_actors, roll, tiny_ppo


def ppo_training(**fields: Any) -> PPOTraining:
    documents = [Document(ids, 0) for ids in token_rows(3, [4, 7, 2])]
    return PPOTraining(
        exact_actors(),
        PROMPTS,
        tiny_ppo(**fields),
        pad_id=PAD,
        eos_id=EOS,
        seed=0,
        documents=documents,
    )


def ranked(tiers: list[int], responses: list[list[int]]) -> RankedPrompt:
    """A prompt whose responses have the given tiers, 1 the best."""
    places = range(len(tiers))
    pairs = [(i, j) for i in places for j in places if tiers[i] < tiers[j]]
    return RankedPrompt([2, 3, 4], responses, pairs, [1 / len(pairs)] * len(pairs))


def ranking_losses(model: RewardModel, prompts: list[RankedPrompt]) -> Tensor:
    """The loss as the training computes it."""
    pairs, weights = batch_pairs(prompts)
    return ranking_loss(batch_scores(model, prompts, PAD), pairs, weights, len(prompts))


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_i01_nothing_has_changed_at_the_first_update(temperature: float) -> None:
    """On the first minibatch after a rollout ratio = 1, approximate KL = 0, nothing is clipped."""
    training = ppo_training(temperature=temperature, num_epochs=1, num_minibatches=1)
    metrics = training.advance()
    assert metrics["ppo/policy/ratio"] == pytest.approx(1, abs=1e-12)
    assert metrics["ppo/policy/approx_kl"] < 1e-20
    assert metrics["ppo/policy/clip_fraction"] == 0
    assert metrics["ppo/value/clip_fraction"] == 0


@torch.no_grad()
def test_i02_scores_do_not_depend_on_the_batch() -> None:
    """A score is the same under any right-padding, batch size and order."""
    model, batch = tiny_reward_model(dtype=torch.float64), ragged_dialogues()
    expected = score(model, batch)
    for value in (PAD, EOS, 9):
        assert_close(score(model, with_padding_of(batch, value)), expected, atol=1e-10, rtol=0)
    one_by_one = torch.cat([score(model, alone(batch, row)) for row in range(4)])
    assert_close(one_by_one, expected, atol=1e-10, rtol=0)
    order = torch.tensor([3, 1, 0, 2])
    shuffled = score(model, Dialogues(*(x[order] for x in batch)))
    assert_close(shuffled, expected[order], atol=1e-10, rtol=0)


@torch.no_grad()
def test_i03_a_carried_state_gives_the_whole_score() -> None:
    """Reading a prompt once and forking its state gives the scores of whole passes."""
    model = tiny_reward_model(dtype=torch.float64)
    prompts, responses = token_rows(0, [5, 1]), token_rows(1, [3, 6, 1, 4])
    owners = [0, 1, 1, 1]
    forked = model.forked_scores(
        pad_right(prompts, PAD), pad_right(responses, PAD), torch.tensor(owners)
    )
    whole = score(model, join([prompts[owner] for owner in owners], responses, PAD))
    assert_close(forked, whole, atol=1e-10, rtol=0)


@torch.no_grad()
def test_i04_a_ranking_is_the_mean_of_its_pairs_in_any_order() -> None:
    """The loss of a K-way ranking is the mean of its pair losses, however it is written down."""
    model = tiny_reward_model(dtype=torch.float64)
    tiers, responses = [2, 1, 3, 4], token_rows(1, [3, 6, 1, 4])
    scores = score(model, join([[2, 3, 4]] * 4, responses, PAD)).tolist()
    expected = loss_of_prompt(scores, tiers)
    for order in permutations(range(4)):
        shuffled = ranked([tiers[i] for i in order], [responses[i] for i in order])
        # Pair weights are float32.
        assert float(ranking_losses(model, [shuffled])) == pytest.approx(expected, abs=1e-7)


def test_i05_identical_responses_teach_nothing() -> None:
    """Identical responses cost ln 2 and give no gradient."""
    model = tiny_reward_model(dtype=torch.float64)
    loss = ranking_losses(model, [ranked([1, 2, 3, 4], [[5, 6, EOS]] * 4)])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2), abs=1e-7)
    assert all(float(p.grad.abs().max()) < 1e-14 for p in model.parameters())


@torch.no_grad()
def test_i06_a_shift_of_all_scores_matters_to_ppo_alone() -> None:
    """Adding c to scores changes no loss and no accuracy; PPO's scores, c unless normalised."""
    raw, (pairs, weights) = random(0, 4), batch_pairs([ranked([2, 1, 4, 3], [[5]] * 4)])
    first, second = (ranking_loss(scores, pairs, weights, 1) for scores in (raw, raw + 3))
    assert_close(second, first, atol=1e-12, rtol=0)
    assert torch.equal(pair_accuracy(raw + 3, pairs), pair_accuracy(raw, pairs))
    objectives = []
    for bias in (0.0, 3.0):
        actors = exact_actors()
        reference = actors.reference._replace(normalisation=Normalisation(1.5, bias))
        config = tiny_ppo(missing_eos="add", missing_eos_score=0.0)
        objectives.append(roll(actors._replace(reference=reference), config)[1])
    for name in ("objective/score", "objective/reward"):
        assert objectives[1][name] - objectives[0][name] == pytest.approx(3, abs=1e-9)
    normalised = [fit_normalisation(scores)(scores) for scores in (raw, raw + 3)]
    assert_close(normalised[1], normalised[0], atol=1e-9, rtol=0)


def test_i07_lambda_1_returns_are_the_rewards_to_come() -> None:
    """With lambda = 1 and discount 1 the return at t is the sum of the rewards from t on."""
    rewards, values, lengths = random(0, 3, 6), random(1, 3, 6), [6, 1, 4]
    is_rewarded = is_within(torch.tensor(lengths), 6)
    _, returns = gae(rewards, values, is_rewarded, discount=1.0, gae_lambda=1.0)
    for row, length in enumerate(lengths):
        for t in range(length):
            to_come = float(rewards[row, t:length].sum())
            assert float(returns[row, t]) == pytest.approx(to_come, abs=1e-12)


@pytest.mark.parametrize("score_position", ["last", "after_eos"])
@pytest.mark.parametrize("kl_estimator", sorted(KL_ESTIMATORS))
@torch.no_grad()
def test_i08_rewards_of_an_episode_are_its_score_less_its_penalty(
    score_position: str, kl_estimator: str
) -> None:
    """The rewards of an episode add up to score - kl_coef * sum of kl."""
    actors, coef = exact_actors(), 0.3
    fields = {"score_position": score_position, "kl_estimator": kl_estimator, "kl_coef": coef}
    rollout, metrics = roll(actors, tiny_ppo(gae_lambda=1.0, missing_eos_score=-2.0, **fields))
    for row in range(10):
        episode = alone(rollout.dialogues, row)
        final = float(actors.reference.normalisation(score(actors.reference.reward_model, episode)))
        final = final if episode.ids[0, -1] == EOS else -2.0
        ours, theirs = (
            response_logprobs(policy, episode, temperature=1.0, pad_id=PAD).logprobs
            for policy in (actors.policy, actors.reference.policy)
        )
        kl = float(KL_ESTIMATORS[kl_estimator](ours, theirs).sum())
        assert kl != 0
        # With lambda = 1 the first return is the sum of all rewards (I7).
        assert float(rollout.returns[row, 0]) == pytest.approx(final - coef * kl, abs=1e-10)
    assert metrics["objective/reward"] == pytest.approx(float(rollout.returns[:, 0].mean()))


def hash_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def test_i09_what_is_frozen_stays_frozen() -> None:
    """KL and score come from weights whose hash is the same after the training."""
    training = ppo_training(learning_rate=1e-2)
    policy, critic, reference = training.actors
    assert critic is not None
    frozen = (reference.policy, reference.reward_model)
    before = [hash_of(module) for module in (*frozen, policy, critic)]
    metrics = list(run(training))
    after = [hash_of(module) for module in (*frozen, policy, critic)]
    assert before[:2] == after[:2]
    assert before[2] != after[2]
    assert before[3] != after[3]
    assert all(step["objective/kl_k3"] > 0.01 for step in metrics)


@torch.no_grad()
def test_i10_estimators_agree_with_the_true_kl() -> None:
    """k3 >= 0 and E[k1] = E[k3] = KL; under samples of another policy the mean of k1 tells."""
    policy, reference = (tiny_policy(2, vocab_size=5, dtype=torch.float64) for _ in range(2))
    shaken(policy.float(), 7, 0.1).double()
    p, q = (
        response_probabilities(it, [2, 3], max_tokens=3, temperature=0.7, pad_id=PAD, eos_id=EOS)
        for it in (policy, reference)
    )
    batch = join([[2, 3]] * len(p), list(p), PAD)
    ours, theirs = (
        response_logprobs(it, batch, temperature=0.7, pad_id=PAD).logprobs
        for it in (policy, reference)
    )
    shares, other = (torch.tensor(list(it.values()), dtype=torch.float64) for it in (p, q))
    true = sum(share * math.log(share / q[ids]) for ids, share in p.items())
    assert true > 0.01
    for estimator in (kl_k1, kl_k3):
        mean = float(shares @ estimator(ours, theirs).sum(1))
        assert mean == pytest.approx(true, abs=1e-10)
    assert (kl_k3(ours, theirs) >= 0).all()
    assert float(other @ kl_k1(ours, theirs).sum(1)) < 0


@pytest.mark.parametrize("variance", ["biased", "unbiased"])
def test_i11_whitening_sees_the_mask_alone(variance: str) -> None:
    """Whitened values have mean 0 and variance 1 over the mask and are exactly 0 elsewhere."""
    mask = is_within(torch.tensor([4, 1, 3]), 4)
    garbage = random(0, 3, 4).masked_fill(~mask, torch.nan)
    rollout, _ = roll(exact_actors(), tiny_ppo(variance=variance))
    unbiased = variance == "unbiased"
    for values, inside in (
        (whiten(3 + 5 * garbage, mask, unbiased=unbiased), mask),
        (rollout.advantages, rollout.is_response),
    ):
        assert float(values[inside].mean()) == pytest.approx(0, abs=1e-9)
        assert float(values[inside].var(correction=int(unbiased))) == pytest.approx(1, abs=1e-6)
        assert not inside.all()
        assert (values[~inside] == 0).all()


def fresh_ppo(noise: float) -> PPOTraining:
    training = ppo_training(
        num_iterations=4,
        num_epochs=1,
        learning_rate=1e-2,
        kl_control="adaptive",
        kl_target=0.1,
        kl_horizon=50,
        scale_scores=True,
        ema_decay=0.9,
        ptx_coef=0.1,
        ptx_batch_size=2,
    )
    shaken(training.actors.policy, 1, noise)
    shaken(training.actors.critic, 2, noise)
    return training


def fresh_reward(noise: float) -> RewardTraining:
    prompts = [ranked([1, 2, 3], [[5, i, EOS], [6, EOS], [i, 7, EOS]]) for i in range(2, 6)]
    # The opposite of what is learnt: the first epoch stays the best.
    validation = [p._replace(pairs=[(low, high) for high, low in p.pairs]) for p in prompts]
    config = RewardConfig(num_epochs=2, batch_size=2, learning_rate=1e-3)
    model = shaken(tiny_reward_model(), 1, noise)
    return RewardTraining(model, prompts, config, validation=validation, pad_id=PAD, seed=0)


@pytest.mark.parametrize("fresh", [fresh_ppo, fresh_reward])
@pytest.mark.parametrize("stop", [1, 3])
def test_i12_a_resumed_training_is_the_uninterrupted_one(
    fresh: Callable[[float], Training], stop: int, tmp_path: Path
) -> None:
    """Stopped anywhere and resumed in a process that knows nothing: equal to the bit."""
    straight, stopped, resumed = fresh(0.0), fresh(0.0), fresh(0.1)
    for training in (straight, stopped):
        training.guard.skipped = 5
    expected = list(run(straight))
    checkpoints = Checkpoints(tmp_path, every=1)
    steps = run(stopped, checkpoints)
    assert [next(steps) for _ in range(stop)] == expected[:stop]
    assert list(run(resumed, checkpoints)) == expected
    ours, theirs = straight.state(), resumed.state()
    assert ours.numbers == theirs.numbers
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


@torch.no_grad()
def test_i13_what_is_sampled_is_what_is_scored() -> None:
    """Sampler and scorer have one distribution and one temperature: no top-k, no penalty."""
    policy, count = tiny_policy(2, vocab_size=5, dtype=torch.float64), 4000
    config = tiny_ppo(
        temperature=0.7, batch_size=count, samples_per_prompt=count, max_tokens=2, num_minibatches=1
    )
    episodes = sample_episodes(
        policy, [[2, 3]], config, pad_id=PAD, eos_id=EOS, generator=generator_for(0, "i13")
    )
    exact = response_probabilities(
        policy, [2, 3], max_tokens=2, temperature=0.7, pad_id=PAD, eos_id=EOS
    )
    batch = join([[2, 3]] * len(exact), list(exact), PAD)
    scored = response_logprobs(policy, batch, temperature=config.temperature, pad_id=PAD)
    probabilities = scored.logprobs.sum(1).exp().tolist()
    assert probabilities == pytest.approx(list(exact.values()), abs=1e-12)
    rows = range(count)
    found = Counter(tuple(alone(episodes.dialogues, row).ids[0, 2:].tolist()) for row in rows)
    assert found.keys() <= exact.keys()
    chi_square = sum((found[ids] - count * p) ** 2 / (count * p) for ids, p in exact.items())
    degrees = len(exact) - 1
    assert chi_square < degrees + 5 * math.sqrt(2 * degrees)
