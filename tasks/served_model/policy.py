"""A policy as MLflow loads it. Run by MLflow as a model, imported by nobody.

Input: `prompt` or `messages` (see dialogues.py). Output: a row a response, `prompt_index` and
`response`. The same request with the same seed gives the same responses.

Omitted on purpose: top-k, top-p and penalties (see rlhf_core/generation.py), streaming.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from rlhf_core.checkpoint import Policy, load_policy
from rlhf_core.generation import generate
from rlhf_core.seeding import generator_for
from tasks.dialogue_ids import encode_turns
from tasks.served_model.dialogues import prompts_of
from tasks.served_model.probe import check_files, check_probe, probe_policy

_PROMPTS_AT_ONCE = 64
_LIMITS = {"max_tokens": 4096, "num_responses": 64}


class ServedPolicy(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Answers prompts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights and refuse them where the probe fails."""
        directory = Path(context.artifacts["model"])
        check_files(directory)
        self._policy = load_policy(directory)
        check_probe(directory, probe_policy(self._policy))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Sample `num_responses` responses to each row, in the rows' order."""
        try:
            return _answer(self._policy, model_input, _checked(params or {}))
        except ValueError as error:
            # The scoring server shows the message of its own exceptions only.
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    for name, limit in _LIMITS.items():
        if not 1 <= params[name] <= limit:
            raise ValueError(f"{name} is {params[name]}; it must lie in 1 to {limit}")
    if not params["temperature"] > 0:
        raise ValueError(f"temperature is {params['temperature']}; it must be above 0")
    return params


def _answer(policy: Policy, requests: pd.DataFrame, params: dict[str, Any]) -> pd.DataFrame:
    prompts = [
        encode_turns(policy.tokenizer, messages)
        for messages in prompts_of(requests.to_dict(orient="records"))
    ]
    generator = generator_for(int(params["seed"]), "serve")
    rows = []
    for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
        answers = generate(
            policy.model,
            prompts[start : start + _PROMPTS_AT_ONCE],
            responses_per_prompt=int(params["num_responses"]),
            max_tokens=int(params["max_tokens"]),
            temperature=float(params["temperature"]),
            pad_id=policy.tokenizer.pad_id,
            eos_id=policy.tokenizer.eos_id,
            generator=generator,
        )
        rows += [
            (index, policy.tokenizer.decode(response.ids).strip())
            for index, responses in enumerate(answers, start=start)
            for response in responses
        ]
    return pd.DataFrame(rows, columns=["prompt_index", "response"])


set_model(ServedPolicy())
