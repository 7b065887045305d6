"""Planted bugs in what all trainings share: shapes, masks, log-probabilities, sampling, steps."""

from tests.mutation.mutant import mutants_of

MUTANTS = [
    *mutants_of(
        "rlhf_core/collate.py",
        (
            "index = (lengths_B - 1)",
            "index = (lengths_B - 2).clamp_min(0)",
            "the last real token is read one too early",
            ("test_collate.py::test_last_real_is_the_row_before_the_padding", "i03"),
        ),
        (
            "positions = batch.prompt_lengths.unsqueeze(1) - 1 + steps",
            "positions = batch.prompt_lengths.unsqueeze(1) + steps",
            "tokens are predicted from one position too late",
            ("test_logprobs.py::test_equal_to_the_full_log_softmax_row_by_row", "i13"),
        ),
        (
            "positions.minimum(batch.lengths.unsqueeze(1) - 1)",
            "positions.minimum(batch.lengths.unsqueeze(1) - 2)",
            "the value after the end is read before the last token",
            (
                "ppo/test_critic.py::test_first_values_are_normalised_scores_of_what_was_said_so_far",
            ),
        ),
        (
            "device=lengths.device) < lengths.unsqueeze(1)",
            "device=lengths.device) <= lengths.unsqueeze(1)",
            "masks hold one position too many",
            ("test_collate.py::test_within_counts_from_the_left", "i04"),
        ),
        (
            "return Dialogues(*pad_right(rows, pad_id), torch.tensor([len(p) for p in prompts]))",
            "return Dialogues(*pad_right(rows, pad_id), torch.tensor([len(p) for p in responses]))",
            "lengths of the responses for those of the prompts",
            ("test_collate.py::test_join_keeps_prompt_then_response",),
        ),
    ),
    *mutants_of(
        "rlhf_core/logprobs.py",
        (
            "targets = batch.ids.gather(1, (positions + 1)",
            "targets = batch.ids.gather(1, positions",
            "the token that was read is scored, not the next one",
            ("test_logprobs.py::test_equal_to_the_full_log_softmax_row_by_row", "i13"),
        ),
        (
            "logits = logits / temperature",
            "logits = logits * temperature",
            "the temperature multiplies",
            ("test_logprobs.py::test_token_logits_are_tempered_and_without_padding", "i13"),
        ),
        (
            "temperature=temperature, pad_id=pad_id\n    ).log_softmax(-1)",
            "temperature=temperature, pad_id=None\n    ).log_softmax(-1)",
            "PAD has a probability in the scorer, none in the sampler",
            ("test_logprobs.py::test_scorer_agrees_with_the_distribution_that_is_sampled", "i13"),
        ),
        (
            "temperature=temperature, pad_id=pad_id\n    ).log_softmax(-1)",
            "temperature=1.0, pad_id=pad_id\n    ).log_softmax(-1)",
            "the scorer knows no temperature",
            ("test_logprobs.py::test_equal_to_the_full_log_softmax_row_by_row", "i13"),
        ),
        (
            "ResponseLogprobs(logprobs.masked_fill(~is_response, 0.0), is_response)",
            "ResponseLogprobs(logprobs, is_response)",
            "log-probabilities of padding",
            ("test_logprobs.py::test_padding_is_inert", "i08"),
        ),
        (
            "return logprobs - ref_logprobs",
            "return ref_logprobs - logprobs",
            "k1 with the wrong sign",
            ("test_logprobs.py::test_k1_and_k3_have_the_expectation_of_the_true_kl", "i10"),
        ),
        (
            "return 0.5 * (logprobs - ref_logprobs) ** 2",
            "return (logprobs - ref_logprobs) ** 2",
            "k2 without its half",
            ("test_logprobs.py::test_k2_is_half_the_squared_log_ratio",),
        ),
        (
            "log_ratio = ref_logprobs - logprobs",
            "log_ratio = logprobs - ref_logprobs",
            "k3 with its ratio upside down",
            ("test_logprobs.py::test_k1_and_k3_have_the_expectation_of_the_true_kl", "i10"),
        ),
        (
            "torch.expm1(log_ratio) - log_ratio",
            "(log_ratio.exp() - 1) - log_ratio",
            "k3 with cancellation near 1",
            ("test_logprobs.py::test_k3_is_never_negative_and_zero_at_equality",),
        ),
    ),
    *mutants_of(
        "rlhf_core/generation.py",
        (
            "policy_now = token_logits(logits, temperature=temperature, pad_id=pad_id).softmax(-1)",
            "policy_now = token_logits(logits, temperature=1.0, pad_id=pad_id).softmax(-1)",
            "the sampler knows no temperature",
            ("test_generation.py::test_a_low_temperature_takes_the_likeliest_token", "i13"),
        ),
        (
            "pad_id=pad_id).softmax(-1)\n",
            "pad_id=pad_id).softmax(-1)\n"
            "        policy_now = policy_now.masked_fill(policy_now < 0.1, 0.0)\n",
            "unlikely tokens are never sampled",
            ("test_generation.py::test_whole_responses_have_their_exact_frequencies", "i13"),
        ),
        (
            "token_logits(logits, temperature=temperature, pad_id=pad_id)",
            "token_logits(logits, temperature=temperature, pad_id=None)",
            "PAD is sampled",
            ("test_generation.py::test_padding_is_never_sampled", "i13"),
        ),
        (
            "going_on = (tokens != eos_id)",
            "going_on = (tokens != pad_id)",
            "a response goes on after EOS",
            ("test_generation.py::test_eos_is_kept_and_ends_the_response", "i13"),
        ),
        (
            "ended=ids[-1] == eos_id)",
            "ended=len(ids) < max_tokens)",
            "EOS at the last step does not count",
            ("test_generation.py::test_eos_at_the_very_last_step_counts_as_ended",),
        ),
        (
            "state.select(going_on), active[going_on]",
            "state.select(torch.arange(len(going_on))), active[going_on]",
            "a row goes on from the state of another",
            ("test_generation.py::test_whole_responses_have_their_exact_frequencies",),
        ),
        (
            "logits.repeat_interleave(responses_per_prompt, dim=0)",
            "logits.repeat(responses_per_prompt, 1)",
            "first tokens of another prompt",
            ("test_generation.py::test_answers_stay_with_their_prompts",),
        ),
        (
            "policy.head(last_real(hidden, lengths))",
            "policy.head(hidden[:, -1])",
            "a short prompt goes on from its padding",
            ("test_generation.py::test_whole_responses_have_their_exact_frequencies",),
        ),
    ),
    *mutants_of(
        "rlhf_core/masking.py",
        (
            ".sum() / mask.sum()",
            ".sum() / mask.numel()",
            "means over padding",
            (
                "ppo/test_losses.py::test_losses_are_means_over_response_tokens",
                "i11",
            ),
        ),
        (
            "return variance * count / (count - 1).clamp_min(1) if unbiased else variance",
            "return variance if unbiased else variance * count / (count - 1).clamp_min(1)",
            "biased and unbiased variance exchanged",
            ("test_masking.py::test_two_values_tell_the_variances_apart", "i11"),
        ),
        (
            "torch.rsqrt(variance + WHITEN_EPS)).masked_fill(~mask, 0.0)",
            "torch.rsqrt(variance + WHITEN_EPS))",
            "whitened padding is not zero",
            ("test_masking.py::test_padding_comes_out_zero", "i11"),
        ),
        (
            "centred = values - masked_mean(values, mask)",
            "centred = values",
            "whitening keeps the mean",
            ("test_masking.py::test_whitened_values_have_mean_0_and_variance_1", "i11"),
        ),
        (
            "return (whiten(values, mask, unbiased=unbiased) + mean)",
            "return (whiten(values, mask, unbiased=unbiased))",
            "rescaling loses the mean",
            (
                "test_masking.py::test_rescaled_values_have_variance_1_and_their_own_mean",
                "ppo/test_rollout.py::test_whitened_rewards_keep_their_mean",
            ),
        ),
    ),
    *mutants_of(
        "rlhf_core/guard.py",
        (
            "        return None\n    for optimizer, _ in losses:",
            "        pass\n    for optimizer, _ in losses:",
            "a step that is not finite is taken",
            (
                "test_guard.py::test_a_loss_that_is_not_finite_changes_nothing_of_either",
                "test_guard.py::test_a_gradient_that_is_not_finite_changes_nothing",
            ),
        ),
        (
            "guard.admits([*norms, *(float(loss.detach()) for _, loss in losses)])",
            "guard.admits([float(loss.detach()) for _, loss in losses])",
            "gradients are not looked at",
            ("test_guard.py::test_a_gradient_that_is_not_finite_changes_nothing",),
        ),
        (
            "self.in_a_row > MAX_SKIPPED",
            "self.in_a_row >= MAX_SKIPPED",
            "the third skip is the end",
            ("test_guard.py::test_the_fourth_in_a_row_is_the_end",),
        ),
        (
            "            self.in_a_row = 0\n            return True",
            "            return True",
            "skips are counted over the whole run",
            ("test_guard.py::test_a_step_that_is_taken_starts_the_count_anew",),
        ),
        (
            "        optimizer.zero_grad(set_to_none=True)\n",
            "",
            "gradients add up over steps",
            (
                "test_guard.py::test_gradients_do_not_add_up_over_steps",
                "test_guard.py::test_steps_after_a_skip_are_those_without_it",
            ),
        ),
        (
            "if not guard.admits([*norms, *(float(loss.detach()) for _, loss in losses)]):",
            "for optimizer, _ in losses[:1]:\n        optimizer.step()\n"
            "    if not guard.admits([*norms, *(float(loss.detach()) for _, loss in losses)]):",
            "the first optimiser steps before the second is looked at",
            ("test_guard.py::test_a_loss_that_is_not_finite_changes_nothing_of_either",),
        ),
    ),
    *mutants_of(
        "rlhf_core/optim.py",
        (
            '"base": factor * learning_rate',
            '"base": learning_rate',
            "w0 is not twice as fast",
            ("test_optim.py::test_decay_is_on_matrices_alone_and_w0_is_twice_as_fast",),
        ),
        (
            "        eps=eps,\n",
            "        eps=1e-8,\n",
            "an epsilon that nobody asked for",
            (
                "test_optim.py::test_tiny_gradients_still_move_their_weights",
                "test_optim.py::test_epsilon_is_the_one_asked_for",
            ),
        ),
    ),
    *mutants_of(
        "rlhf_core/seeding.py",
        (
            "_permutation(num_items, seed, *purpose, number)[offset]",
            "_permutation(num_items, seed, *purpose)[offset]",
            "one permutation for all passes",
            ("test_seeding.py::test_an_endless_order_is_one_permutation_after_the_other",),
        ),
    ),
    *mutants_of(
        "rlhf_core/rwkv/time_mix.py",
        (
            "log_w, k, kk = log_w * is_real_BT1, k * is_real_BT1, kk * is_real_BT1",
            "log_w, kk = log_w * is_real_BT1, kk * is_real_BT1",
            "padding writes into the state",
            ("rwkv/test_model.py::test_padding_changes_neither_logits_nor_state", "i03"),
        ),
        (
            "log_w, k, kk = log_w * is_real_BT1, k * is_real_BT1, kk * is_real_BT1",
            "k, kk = k * is_real_BT1, kk * is_real_BT1",
            "padding lets the state decay",
            ("rwkv/test_model.py::test_padding_changes_neither_logits_nor_state", "i03"),
        ),
    ),
    *mutants_of(
        "rlhf_core/rwkv/model.py",
        (
            "(last_real(time_input, lengths_B), wkv, last_real(channel_input, lengths_B))",
            "(time_input[:, -1], wkv, channel_input[:, -1])",
            "padding is carried on as the last token",
            ("rwkv/test_model.py::test_ragged_prefill_and_decode_is_one_by_one", "i03"),
        ),
        (
            "x.repeat_interleave(num_copies, dim=0)",
            "x.repeat(num_copies, *[1] * (x.ndim - 1))",
            "forked states in another order than their rows",
            ("rwkv/test_model.py::test_forked_states_go_their_own_ways",),
        ),
    ),
    *mutants_of(
        "rlhf_core/language/training.py",
        (
            " & ~is_within(context, ids.shape[1])",
            " & ~is_within(context.clamp_max(1), ids.shape[1])",
            "the prompt is learnt",
            (
                "language/test_training.py::test_loss_is_the_mean_over_learnt_tokens",
                "language/test_training.py::test_context_gets_no_gradient_of_its_own",
            ),
        ),
    ),
    *mutants_of(
        "data/families.py",
        (
            ".casefold().split()",
            ".split()",
            "two spellings of a prompt are two families",
            ("i14",),
        ),
    ),
]
