"""Planted bugs in updates, in what is carried from step to step, and in what a resume restores."""

from tests.mutation.mutant import mutants_of

CLIPPED = "ppo/test_losses.py::test_no_gradient_in_the_clipped_region"
ELSEWHERE = "ppo/test_losses.py::test_full_gradient_everywhere_else"
FIRST_GRADIENT = "ppo/test_training.py::test_first_gradient_is_the_plain_policy_gradient"
AVERAGE = "ppo/test_ptx_and_average.py::test_average_follows_its_recursion"
PTX = "ppo/test_ptx_and_average.py::test_pretraining_adds_its_gradient_times_the_coefficient"

MUTANTS = [
    *mutants_of(
        "rlhf_core/ppo/losses.py",
        (
            "log_ratio = (logprobs - old_logprobs)",
            "log_ratio = (old_logprobs - logprobs)",
            "the ratio upside down",
            (ELSEWHERE, FIRST_GRADIENT),
        ),
        (
            "losses = torch.maximum(-advantages * ratio, -advantages * clipped)",
            "losses = torch.maximum(advantages * ratio, advantages * clipped)",
            "the sign of the policy loss",
            (ELSEWHERE, FIRST_GRADIENT),
        ),
        (
            "losses = torch.maximum(-advantages * ratio, -advantages * clipped)",
            "losses = torch.minimum(-advantages * ratio, -advantages * clipped)",
            "the larger bound for the smaller",
            (CLIPPED,),
        ),
        (
            "ratio.clamp(1 - clip_ratio, 1 + clip_ratio)",
            "ratio.clamp(max=1 + clip_ratio)",
            "the ratio is clipped above only",
            (CLIPPED,),
        ),
        (
            "ratio.clamp(1 - clip_ratio, 1 + clip_ratio)",
            "ratio.clamp(min=1 - clip_ratio)",
            "the ratio is clipped below only",
            (CLIPPED,),
        ),
        (
            "losses = torch.maximum(-advantages * ratio, -advantages * clipped)",
            "losses = -advantages * clipped",
            "a bad step that cannot be taken back",
            (ELSEWHERE,),
        ),
        (
            "ratio = log_ratio.exp()",
            "ratio = log_ratio.exp().detach()",
            "the ratio is detached",
            (ELSEWHERE, FIRST_GRADIENT),
        ),
        (
            "return masked_mean(losses, is_response), metrics",
            "return losses.mean(), metrics",
            "the policy's mean is over padding too",
            ("ppo/test_losses.py::test_losses_are_means_over_response_tokens", FIRST_GRADIENT),
        ),
        (
            "(logprobs - old_logprobs).masked_fill(~is_response, 0.0)",
            "(logprobs - old_logprobs)",
            "ratios of padding",
            ("ppo/test_losses.py::test_padding_is_inert_in_loss_and_gradient",),
        ),
        (
            "float(0.5 * masked_mean(log_ratio**2, is_response))",
            "float(masked_mean(log_ratio, is_response))",
            "another approximate KL",
            ("ppo/test_losses.py::test_diagnostics_by_hand",),
        ),
        (
            "torch.clamp(values, old_values - value_clip, old_values + value_clip)",
            "torch.clamp(values, returns - value_clip, returns + value_clip)",
            "values are clipped around their targets",
            ("ppo/test_losses.py::test_value_clip_by_hand",),
        ),
        (
            "losses = torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)",
            "losses = torch.minimum((values - returns) ** 2, (clipped - returns) ** 2)",
            "the smaller value error for the larger",
            ("ppo/test_losses.py::test_value_clip_by_hand",),
        ),
        (
            "return 0.5 * masked_mean(losses, is_rewarded)",
            "return masked_mean(losses, is_rewarded)",
            "the value loss without its half",
            (
                "ppo/test_losses.py::test_value_clip_by_hand",
                "ppo/test_training.py::test_critic_follows_the_returns_where_there_are_values",
            ),
        ),
        (
            "values = values.masked_fill(~is_rewarded, 0.0)",
            "values = values * 1.0",
            "zero times NaN on the way back",
            ("ppo/test_losses.py::test_padding_is_inert_in_loss_and_gradient",),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/kl_control.py",
        (
            "kl / target - 1",
            "1 - kl / target",
            "the coefficient falls where KL is too high",
            ("ppo/test_kl_control.py::test_small_errors_move_it_in_proportion",),
        ),
        (
            ", -0.2), 0.2)",
            ", -0.2), 2.0)",
            "the error is clipped below only",
            ("ppo/test_kl_control.py::test_reference_numbers_at_batch_512",),
        ),
        (
            "error * num_episodes / horizon",
            "error / horizon",
            "episodes are not counted",
            ("ppo/test_kl_control.py::test_reference_numbers_at_batch_512",),
        ),
    ),
    *mutants_of(
        "rlhf_core/ppo/training.py",
        (
            "minibatch.dialogues, temperature=config.temperature, pad_id=pad_id",
            "minibatch.dialogues, temperature=1.0, pad_id=pad_id",
            "temperature 1 in the update",
            ("i01", FIRST_GRADIENT),
        ),
        (
            "minibatch.dialogues, temperature=config.temperature, pad_id=pad_id",
            "minibatch.dialogues, temperature=config.temperature, pad_id=None",
            "PAD has a probability in the update alone",
            ("i01",),
        ),
        (
            "learnt + config.ptx_coef * ptx",
            "learnt + ptx",
            "the pretraining coefficient is dropped",
            (PTX,),
        ),
        (
            "learnt + config.ptx_coef * ptx",
            "learnt + config.ptx_coef * ptx.detach()",
            "the pretraining loss is detached",
            (PTX,),
        ),
        (
            "order = endless_order(len(self.documents), place * size, size, self.seed",
            "order = endless_order(len(self.documents), 0, size, self.seed",
            "the same pretraining text at every update",
            ("ppo/test_ptx_and_average.py::test_documents_come_round_evenly",),
        ),
        (
            "lerp_(parameter, 1 - self.config.ema_decay)",
            "lerp_(parameter, self.config.ema_decay)",
            "the shares of the average exchanged",
            (AVERAGE,),
        ),
        (
            "                parameter.copy_(self.average[name])\n",
            "                parameter.copy_(parameter)\n",
            "the average is not what is kept",
            (AVERAGE,),
        ),
        (
            "            return {}\n        self._move_average()",
            "            return metrics\n        self._move_average()",
            "an update that was skipped is reported",
            ("ppo/test_training.py::test_a_minibatch_that_explodes_is_left_out",),
        ),
        (
            "return Losses(loss, config.value_coef * critic_loss)",
            "return Losses(loss, critic_loss)",
            "the coefficient of the value loss is dropped",
            ("ppo/test_training.py::test_critic_follows_the_returns_where_there_are_values",),
        ),
        (
            "minibatch.returns,\n        minibatch.is_rewarded,",
            "minibatch.returns,\n        minibatch.is_response,",
            "the value after EOS is not trained",
            ("ppo/test_training.py::test_critic_follows_the_returns_where_there_are_values",),
        ),
        (
            "loss = loss + kl_coef * masked_mean(kl, is_response)",
            "loss = loss - kl_coef * masked_mean(kl, is_response)",
            "the penalty in the loss draws away from the reference",
            ("ppo/test_training.py::test_penalty_in_the_loss_adds_its_mean_and_gradient",),
        ),
        (
            "KL_ESTIMATORS[config.kl_estimator](logprobs, minibatch",
            "KL_ESTIMATORS[config.kl_estimator](logprobs.detach(), minibatch",
            "the penalty in the loss is detached",
            ("ppo/test_training.py::test_penalty_in_the_loss_adds_its_mean_and_gradient",),
        ),
        (
            "            self.kl_coef = adapted_kl_coef(\n                self.kl_coef,",
            "            self.kl_coef = adapted_kl_coef(\n                config.kl_coef,",
            "the coefficient starts anew at every step",
            ("ppo/test_training.py::test_adaptive_coefficient_follows_the_summed_kl",),
        ),
        (
            "            config,\n            kl_coef=self.kl_coef,\n            moments",
            "            config,\n            kl_coef=config.kl_coef,\n            moments",
            "the adapted coefficient reaches no reward",
            ("ppo/test_training.py::test_adapted_coefficient_is_the_one_that_is_used",),
        ),
        (
            "set_learning_rate(optimizer, 1 - self.step / self.num_steps)",
            "set_learning_rate(optimizer, 1.0)",
            "the rates stay",
            ("ppo/test_training.py::test_rates_fall_linearly_to_zero",),
        ),
        (
            "len(self.prompts), self.step * count, count,",
            "len(self.prompts), 0, count,",
            "the same prompts at every step",
            ("ppo/test_training.py::test_every_prompt_is_asked_equally_often",),
        ),
        (
            '                "update",\n                self.step,\n                epoch,\n',
            '                "update",\n                self.step,\n',
            "one permutation for all epochs of a rollout",
            ("ppo/test_training.py::test_every_episode_is_learnt_once_an_epoch",),
        ),
        (
            'self.seed, "rollout", self.step, device',
            'self.seed, "rollout", device',
            "the same randomness at every rollout",
            ("ppo/test_training.py::test_each_rollout_draws_anew",),
        ),
        (
            'self.step, self.kl_coef = numbers["step"], numbers["kl_coef"]',
            'self.step = numbers["step"]',
            "a resumed training forgets its KL coefficient",
            ("i12",),
        ),
        (
            'self.moments = RunningMoments(**part("moments", numbers))',
            "self.moments = RunningMoments()",
            "a resumed training forgets its scores' moments",
            ("i12",),
        ),
        (
            'self.average = {name: t.to(device) for name, t in part("average", tensors).items()}',
            "self.average = self._trained_weights()",
            "a resumed training forgets its average",
            ("i12",),
        ),
        (
            '            load_optimizer_tensors(self.optimizers[name], part(f"optimizer/{name}", tensors))\n',  # noqa: E501
            "",
            "a resumed training forgets its optimisers' moments",
            ("i12",),
        ),
        (
            'self.guard = Guard(**part("guard", numbers))',
            "self.guard = Guard()",
            "a resumed training forgets what it skipped",
            ("i12",),
        ),
    ),
    *mutants_of(
        "rlhf_core/resume.py",
        (
            "                _refuse_infinite(training)\n",
            "                pass\n",
            "weights that are not finite are kept",
            ("test_rollback.py::test_weights_that_are_not_finite_are_not_kept",),
        ),
        (
            "    training.restore(state)\n    return history",
            "    training.step = state.numbers['step']\n    return history",
            "a resumed training goes on from fresh weights",
            ("i12",),
        ),
        (
            "        yield from history\n",
            "",
            "a resumed training forgets its metrics",
            ("i12",),
        ),
        (
            '"numbers": state.numbers, "history": history}',
            '"numbers": state.numbers, "history": history[:-1]}',
            "the last step's metrics are lost",
            ("i12",),
        ),
    ),
]
