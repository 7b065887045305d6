"""Planted bugs in rollouts: rewards, advantages, what is held against what."""

from tests.mutation.mutant import mutants_of

PARTS = "ppo/test_rollout.py::test_returns_and_advantages_follow_from_the_parts"
LEFT_OUT = "ppo/test_rollout.py::test_a_prompt_with_a_broken_score_is_left_out"

MUTANTS = [
    *mutants_of(
        "rlhf_core/ppo/rewards.py",
        (
            "return -kl_coef * kl",
            "return kl_coef * kl",
            "distance from the reference is paid for",
            ("ppo/test_rewards.py::test_rewards_add_up_to_score_minus_penalty", "i08"),
        ),
        (
            "kl.masked_fill(~is_rewarded, 0.0) + is_scored",
            "kl.masked_fill(~is_rewarded, 0.0) / lengths.unsqueeze(1) + is_scored",
            "the penalty is a mean over tokens, not a sum",
            ("ppo/test_rewards.py::test_penalty_stays_on_its_token", "i08"),
        ),
        (
            "kl.masked_fill(~is_rewarded, 0.0)",
            "kl",
            "the penalty of padding",
            ("ppo/test_rewards.py::test_padding_is_inert",),
        ),
        (
            "~is_within(lengths - 1, kl.shape[1])",
            "~is_within(lengths - 2, kl.shape[1])",
            "the score stands on two tokens",
            ("ppo/test_rewards.py::test_score_sits_at_one_position", "i08"),
        ),
        (
            "is_scored = is_rewarded & ~is_within(lengths - 1, kl.shape[1])",
            "is_scored = is_within(lengths.clamp_max(1), kl.shape[1])",
            "the score stands on the first token",
            ("ppo/test_rewards.py::test_score_sits_at_one_position", PARTS),
        ),
        (
            "is_scored = is_rewarded & ~is_within(lengths - 1, kl.shape[1])",
            "is_scored = torch.arange(kl.shape[1]) == kl.shape[1] - 1",
            "the score stands on padding",
            ("ppo/test_rewards.py::test_score_sits_at_one_position", "i08"),
        ),
        (
            'extra = int(score_position == "after_eos")',
            'extra = int(score_position == "last")',
            "the two positions of the score exchanged",
            (
                "ppo/test_rewards.py::"
                "test_rewarded_positions_are_those_of_the_response_and_one_more_after_eos",
                PARTS,
            ),
        ),
        (
            'if missing_eos == "add" else',
            'if missing_eos == "replace" else',
            "replaced where it should be added",
            (
                "ppo/test_rewards.py::test_a_missing_end_replaces_the_score_or_is_added_to_it",
                PARTS,
            ),
        ),
        (
            "return scores.where(ended, without_eos)",
            "return scores.where(~ended, without_eos)",
            "those that ended are punished",
            (
                "ppo/test_rewards.py::test_a_missing_end_replaces_the_score_or_is_added_to_it",
                "i08",
            ),
        ),
        (
            "return scores.where(ended, without_eos)",
            "return scores",
            "a missing end costs nothing",
            (
                "ppo/test_rewards.py::test_a_missing_end_replaces_the_score_or_is_added_to_it",
                "i08",
            ),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/advantages.py",
        (
            "next_value = values[:, t]\n",
            "next_value = values[:, max(t - 1, 0)]\n",
            "the next value is that of the token before",
            ("ppo/test_advantages.py::test_equal_to_the_double_sum_of_the_paper", "i07"),
        ),
        (
            "rewards[:, t] + discount * next_value - values[:, t]",
            "rewards[:, t] + discount * values[:, t] - next_value",
            "values exchanged in time",
            ("ppo/test_advantages.py::test_equal_to_the_double_sum_of_the_paper", "i07"),
        ),
        (
            "delta = rewards[:, t] + discount * next_value - values[:, t]",
            "delta = values[:, t] - rewards[:, t] - discount * next_value",
            "advantages with the wrong sign",
            ("ppo/test_advantages.py::test_equal_to_the_double_sum_of_the_paper", "i07"),
        ),
        (
            "delta + discount * gae_lambda * advantage",
            "delta + discount * advantage",
            "lambda left out",
            ("ppo/test_advantages.py::test_equal_to_the_double_sum_of_the_paper", PARTS),
        ),
        (
            "torch.stack(reversed_advantages[::-1], dim=1)",
            "torch.stack(reversed_advantages, dim=1)",
            "advantages in reversed order",
            ("ppo/test_advantages.py::test_equal_to_the_double_sum_of_the_paper", "i07"),
        ),
        (
            "rewards, values = (x.masked_fill(~is_rewarded, 0.0) for x in (rewards, values))",
            "rewards, values = (x * 1.0 for x in (rewards, values))",
            "episodes go on into their padding",
            ("ppo/test_advantages.py::test_padding_is_inert_and_comes_out_zero", "i07"),
        ),
        (
            "return advantages, (advantages + values)",
            "return advantages, (advantages)",
            "returns without the values",
            (
                "ppo/test_advantages.py::test_lambda_1_makes_returns_the_sum_of_future_rewards",
                "i07",
            ),
        ),
        (
            "others = (groups.sum(1, keepdim=True) - groups) / (group_size - 1)",
            "others = groups.mean(1, keepdim=True)",
            "leave-one-out leaves nobody out",
            ("ppo/test_advantages.py::test_leave_one_out_by_hand",),
        ),
        (
            "return (groups - others).flatten()",
            "return (others - groups).flatten()",
            "leave-one-out with the wrong sign",
            ("ppo/test_advantages.py::test_leave_one_out_by_hand",),
        ),
        (
            "groups = returns.view(-1, group_size)\n    others",
            "groups = returns.view(group_size, -1).T\n    others",
            "groups of episodes of other prompts",
            (
                "ppo/test_advantages.py::test_leave_one_out_by_hand",
                "ppo/test_rollout.py::test_without_a_critic_an_episode_is_held_against_its_group",
            ),
        ),
        (
            "groups.std(1, keepdim=True)",
            "groups.std(1, keepdim=True, correction=0)",
            "the biased deviation of a group",
            ("ppo/test_advantages.py::test_group_normalised_by_hand",),
        ),
        (
            " + 1e-4)",
            ")",
            "zero over zero where a group is equal",
            ("ppo/test_advantages.py::test_a_group_of_equal_returns_says_nothing",),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/scaling.py",
        (
            "delta**2 * self.count * count / total",
            "delta**2 * count / total",
            "the spread between batches is lost",
            ("ppo/test_scaling.py::test_moments_are_those_of_all_scores_together",),
        ),
        (
            "self.mean += delta * count / total",
            "self.mean += delta / 2",
            "small batches weigh as much as large ones",
            ("ppo/test_scaling.py::test_moments_are_those_of_all_scores_together",),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/critic.py",
        (
            "copy.deepcopy(reward_model)",
            "reward_model",
            "the critic trains the reward model",
            ("ppo/test_critic.py::test_critic_is_a_network_of_its_own",),
        ),
        (
            "mul_(normalisation.gain)",
            "mul_(1.0)",
            "the gain is not folded in",
            (
                "ppo/test_critic.py::test_first_values_are_normalised_scores_of_what_was_said_so_far",
            ),
        ),
        (
            "response_positions(batch, width)) + self.bias",
            "response_positions(batch, width))",
            "the bias is not folded in",
            (
                "ppo/test_critic.py::test_first_values_are_normalised_scores_of_what_was_said_so_far",
                "ppo/test_critic.py::test_bias_and_network_both_learn",
            ),
        ),
        (
            "values.gather(1, response_positions(batch, width))",
            "values.gather(1, (response_positions(batch, width) + 1)"
            ".clamp_max(values.shape[1] - 1))",
            "values are read after the token",
            (
                "ppo/test_critic.py::test_first_values_are_normalised_scores_of_what_was_said_so_far",
            ),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/rollout.py",
        (
            "        actors.reference.policy, batch, temperature",
            "        actors.policy, batch, temperature",
            "KL is measured against the policy itself",
            (PARTS, "i08", "i09"),
        ),
        (
            "        actors.policy, batch, temperature",
            "        actors.reference.policy, batch, temperature",
            "the reference for the policy that sampled",
            (PARTS, "i01"),
        ),
        (
            "temperature=config.temperature,\n        pad_id=pad_id,\n        eos_id=eos_id",
            "temperature=1.0,\n        pad_id=pad_id,\n        eos_id=eos_id",
            "temperature 1 in the rollout's sampling",
            ("i13",),
        ),
        (
            "actors.reference.policy, batch, temperature=config.temperature",
            "actors.reference.policy, batch, temperature=1.0",
            "temperature 1 in the reference's scoring",
            (PARTS,),
        ),
        (
            "        actors.policy, batch, temperature=config.temperature",
            "        actors.policy, batch, temperature=1.0",
            "temperature 1 in the rollout's scoring",
            (PARTS, "i01"),
        ),
        (
            "raw = reference.normalisation(score(reference.reward_model, episodes.dialogues))",
            "raw = score(reference.reward_model, episodes.dialogues)",
            "scores are not normalised",
            (PARTS, "i06", "i08"),
        ),
        (
            "    episodes, scores = _finite(episodes, scores, config.samples_per_prompt)\n",
            "",
            "a score that is not finite is whitened with the others",
            (LEFT_OUT,),
        ),
        (
            ".view(-1, group_size).all(1).repeat_interleave(group_size)",
            "",
            "a group is held against what is left of it",
            (LEFT_OUT,),
        ),
        (
            "    moments.update(scores)\n    return scores / moments.std",
            "    scaled = scores / moments.std\n    moments.update(scores)\n    return scaled",
            "scores scaled by the deviation before them",
            ("ppo/test_rollout.py::test_scaled_scores_are_divided_by_the_deviation_of_all_so_far",),
        ),
        (
            'reward_coef = kl_coef if config.kl_placement == "reward" else 0.0',
            "reward_coef = kl_coef",
            "the penalty is in the reward and in the loss",
            (PARTS,),
        ),
        (
            "values = actors.critic(batch, is_rewarded.shape[1]).masked_fill(~is_rewarded, 0.0)",
            "values = actors.critic(batch, is_rewarded.shape[1])",
            "values of padding",
            ("ppo/test_rollout.py::test_a_rollout_is_detached_and_padded_with_zeros",),
        ),
        (
            "advantages = advantages.masked_fill(~is_response, 0.0)",
            "advantages = advantages * 1.0",
            "advantages of padding",
            ("ppo/test_rollout.py::test_without_a_critic_an_episode_is_held_against_its_group",),
        ),
        (
            "advantages = whiten(advantages, is_response, unbiased=unbiased)",
            "advantages = whiten(advantages, is_rewarded, unbiased=unbiased)",
            "the position after EOS is whitened along",
            (PARTS,),
        ),
        (
            "advantages = whiten(advantages, is_response, unbiased=unbiased)",
            "advantages, returns = (\n            whiten(x, is_response, unbiased=unbiased)"
            " for x in (advantages, returns)\n        )",
            "returns are whitened too",
            (PARTS, "i08"),
        ),
        (
            'config.variance == "unbiased"',
            'config.variance == "biased"',
            "biased and unbiased variance exchanged",
            (PARTS, "i11"),
        ),
        (
            "@torch.no_grad()\ndef assess(",
            "def assess(",
            "the rollout is not detached",
            ("ppo/test_rollout.py::test_a_rollout_is_detached_and_padded_with_zeros",),
        ),
        (
            "[prompt for prompt in prompts for _ in range(config.samples_per_prompt)]",
            "[prompt for _ in range(config.samples_per_prompt) for prompt in prompts]",
            "responses stand behind other prompts",
            ("ppo/test_rollout.py::test_episodes_of_a_prompt_stand_together",),
        ),
        (
            "self.dialogues.select(rows)",
            "self.dialogues.select(torch.arange(len(rows)))",
            "a minibatch has the tokens of other episodes",
            ("ppo/test_rollout.py::test_selected_episodes_keep_their_parts_together", "i01"),
        ),
        (
            "width = int(self.is_rewarded[rows].sum(1).max())",
            "width = int(self.is_response[rows].sum(1).max())",
            "the position after EOS is cut off",
            ("ppo/test_rollout.py::test_selected_episodes_keep_their_parts_together",),
        ),
        (
            "kl_k1(ours.logprobs, ref_logprobs).sum(1).mean()",
            "masked_mean(kl_k1(ours.logprobs, ref_logprobs), is_response)",
            "KL is reported per token, not per sequence",
            (
                "ppo/test_rollout.py::test_reward_is_score_less_the_penalty",
                "ppo/test_training.py::test_adapted_coefficient_is_the_one_that_is_used",
            ),
        ),
        (
            'against_group = leave_one_out if config.estimator == "rloo" else group_normalised',
            'against_group = leave_one_out if config.estimator == "grpo" else group_normalised',
            "RLOO and GRPO exchanged",
            ("ppo/test_rollout.py::test_without_a_critic_an_episode_is_held_against_its_group",),
        ),
    ),
]
