"""Planted bugs in the reward model and its training."""

from tests.mutation.mutant import mutants_of

FORKED = "reward/test_model.py::test_forked_scores_are_those_of_separate_passes"

MUTANTS = [
    *mutants_of(
        "rlhf_core/reward/losses.py",
        (
            "margins = scores[pairs[:, 0]] - scores[pairs[:, 1]]\n    return -(weights",
            "margins = scores[pairs[:, 1]] - scores[pairs[:, 0]]\n    return -(weights",
            "chosen and rejected exchanged",
            ("reward/test_losses.py::test_the_ranking_of_the_seed_by_hand", "i04"),
        ),
        (
            "return -(weights * logsigmoid(margins)).sum()",
            "return (weights * logsigmoid(margins)).sum()",
            "the sign of the loss",
            ("reward/test_losses.py::test_the_six_pairs_of_the_seed_give_its_loss_function", "i05"),
        ),
        (
            "-(weights * logsigmoid(margins)).sum()",
            "-logsigmoid(margins).sum()",
            "weights are dropped",
            ("reward/test_losses.py::test_weights_multiply_their_pairs", "i04"),
        ),
        (
            ".sum() / num_prompts",
            ".sum() / len(pairs)",
            "the mean over pairs for that over prompts",
            (
                "reward/test_losses.py::"
                "test_prompts_weigh_alike_whatever_their_number_of_responses",
                "i04",
            ),
        ),
        (
            "logsigmoid(margins)).sum()",
            "torch.log(torch.sigmoid(margins))).sum()",
            "a logarithm of zero at extreme margins",
            ("reward/test_losses.py::test_extreme_margins_stay_finite",),
        ),
        (
            "-(weights * logsigmoid(margins))",
            "-(weights * logsigmoid(scores[pairs[:, 0]]))",
            "a loss on the scores themselves",
            ("reward/test_losses.py::test_a_common_shift_changes_neither_loss_nor_accuracy", "i06"),
        ),
        (
            "return (torch.sign(margins) + 1) / 2",
            "return (margins >= 0).float()",
            "ties count as right",
            ("reward/test_losses.py::test_accuracy_counts_ties_half",),
        ),
    ),
    *mutants_of(
        "rlhf_core/reward/model.py",
        (
            "return last_real(values.unsqueeze(-1), lengths).squeeze(-1)",
            "return values[:, -1]",
            "the score is read at padding",
            ("reward/test_model.py::test_score_is_the_head_at_the_last_real_token", "i02"),
        ),
        (
            "return last_real(values.unsqueeze(-1), lengths).squeeze(-1)",
            "return values.mean(1)",
            "the score is a mean over all positions",
            ("reward/test_model.py::test_score_is_the_head_at_the_last_real_token", "i02"),
        ),
        (
            "self.head(last_real(hidden, responses.lengths))",
            "self.head(hidden[:, -1])",
            "the forked score is read at padding",
            (FORKED, "i03"),
        ),
        (
            "lengths = ids.new_full((ids.shape[0],), ids.shape[1]) if mask is None else mask",
            "lengths = (ids != 0)",
            "lengths are read off the ids",
            ("reward/test_model.py::test_padding_changes_no_score", "i02"),
        ),
        (
            "return segments * is_real.unsqueeze(-1)",
            "return segments",
            "a segment embedding on padding",
            ("reward/test_model.py::test_segments_are_never_on_padding",),
        ),
        (
            "is_prompt.unsqueeze(-1), self.prompt_embedding, self.response_embedding",
            "is_prompt.unsqueeze(-1), self.response_embedding, self.prompt_embedding",
            "prompt and response embedding exchanged",
            ("reward/test_model.py::test_segments_are_never_on_padding", "i03"),
        ),
        (
            "self._segment(responses, self.response_embedding)",
            "None",
            "forked responses without their segment",
            (FORKED, "i03"),
        ),
        (
            "            state.select(owners),\n",
            "            None,\n",
            "the state of the prompt is not forked",
            (FORKED, "i03"),
        ),
        (
            "state.select(owners)",
            "state.select(owners.flip(0))",
            "responses read another prompt",
            (FORKED, "i03"),
        ),
        (
            "state.select(owners)",
            "type(state)(*(tuple(y.detach() for y in x) for x in state.select(owners)))",
            "no gradient flows through the shared prompt",
            (FORKED,),
        ),
        (
            "_, state = self.backbone.encode(\n            *prompts,",
            "_, state = self.backbone.encode(\n            prompts.ids,",
            "the prompt's padding is read",
            (FORKED, "i03"),
        ),
        (
            "1 / math.sqrt(policy.dim + 1)",
            "1 / (policy.dim + 1)",
            "the head is drawn too small",
            ("reward/test_model.py::test_head_is_drawn_with_the_known_deviation",),
        ),
        (
            "RewardModel(policy.trunk(), segment",
            "RewardModel(policy, segment",
            "the reward model trains the policy",
            ("reward/test_model.py::test_policy_is_copied_not_shared",),
        ),
    ),
    *mutants_of(
        "rlhf_core/reward/normalisation.py",
        (
            "self.gain * raw + self.bias",
            "self.gain * (raw + self.bias)",
            "the bias is added before the gain",
            ("reward/test_normalisation.py::test_gain_multiplies_and_bias_is_added_after", "i06"),
        ),
        (
            "Normalisation(1 / std, -mean / std)",
            "Normalisation(1 / std, mean / std)",
            "the mean is doubled, not taken off",
            ("i06",),
        ),
    ),
    *mutants_of(
        "rlhf_core/reward/training.py",
        (
            "offset += len(prompt.responses)",
            "offset += len(prompt.pairs)",
            "pairs of another prompt's responses",
            ("reward/test_training.py::test_a_batch_of_prompts_is_the_mean_of_its_prompts",),
        ),
        (
            "(chosen + offset, rejected + offset)",
            "(rejected + offset, chosen + offset)",
            "pairs turned round on their way to the loss",
            ("reward/test_training.py::test_a_batch_of_prompts_is_the_mean_of_its_prompts", "i04"),
        ),
        (
            "owners = [i for i, prompt in enumerate(prompts) for _ in prompt.responses]",
            "owners = [0 for prompt in prompts for _ in prompt.responses]",
            "all responses read the first prompt",
            ("reward/test_training.py::test_scores_come_back_prompt_by_prompt",),
        ),
        (
            "weights += prompt.weights",
            "weights += [1 / len(prompt.pairs) for _ in prompt.pairs]",
            "weights of the rankings are ignored",
            ("reward/test_training.py::test_pair_weights_reach_the_loss",),
        ),
        (
            "self.prompts = [p for p in prompts if p.pairs]",
            "self.prompts = list(prompts)",
            "wholly tied prompts count in the divisor",
            (
                "reward/test_training.py::test_wholly_tied_prompts_are_neither_learnt_nor_counted",
                "reward/test_training.py::test_nothing_to_train_on_is_an_error",
            ),
        ),
        (
            "accuracy > self.best.accuracy",
            "accuracy >= self.best.accuracy",
            "of equal epochs the last is kept",
            ("reward/test_training.py::test_best_epoch_is_the_first_of_the_highest_accuracy",),
        ),
        (
            "self.best = BestEpoch(epoch, accuracy, weights_of(self.model))",
            "self.best = BestEpoch(epoch, accuracy, self.model.state_dict())",
            "the kept epoch goes on learning",
            ("reward/test_training.py::test_best_epoch_is_the_first_of_the_highest_accuracy",),
        ),
        (
            '        load_optimizer_tensors(self.optimizer, part("optimizer", tensors))\n',
            "",
            "a resumed training forgets its moments",
            ("i12",),
        ),
        (
            'self.best = BestEpoch(epoch, accuracy, part("best", tensors))',
            "self.best = BestEpoch(epoch, accuracy, weights_of(self.model))",
            "a resumed training forgets its best epoch",
            ("i12",),
        ),
        (
            'self.seed, "reward", epoch)',
            'self.seed, "reward", epoch - epoch)',
            "one order for all epochs",
            ("reward/test_training.py::test_epochs_are_shuffled_apart",),
        ),
    ),
]
