"""A reward model as MLflow loads it. Run by MLflow as a model, imported by nobody.

Input: `prompt` or `messages`, and `response` (see dialogues.py). Output, row by row: `score`, the
raw one, of which only differences for one prompt mean something, and `normalised_score`, of mean 0
and standard deviation 1 on samples of the SFT model. EOS is added: a response counts as finished.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from rlhf_core.collate import join
from rlhf_core.reward.checkpoint import Scorer, load_scorer
from rlhf_core.reward.model import score
from tasks.dialogue_ids import encode_response, encode_turns
from tasks.served_model.dialogues import Row, prompts_of, responses_of
from tasks.served_model.probe import check_files, check_probe, probe_scorer

_ROWS_AT_ONCE = 64


class ServedRewardModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Scores responses."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights and refuse them where the probe fails."""
        directory = Path(context.artifacts["model"])
        check_files(directory)
        self._scorer = load_scorer(directory)
        check_probe(directory, probe_scorer(self._scorer))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> pd.DataFrame:
        """Score each row."""
        try:
            return _score(self._scorer, model_input.to_dict(orient="records"))
        except ValueError as error:
            # The scoring server shows the message of its own exceptions only.
            raise MlflowException.invalid_parameter_value(str(error)) from None


@torch.no_grad()
def _score(scorer: Scorer, rows: Sequence[Row]) -> pd.DataFrame:
    tokenizer = scorer.tokenizer
    prompts = [encode_turns(tokenizer, messages) for messages in prompts_of(rows)]
    responses = [encode_response(tokenizer, text) for text in responses_of(rows)]
    raw = torch.cat(
        [
            score(scorer.model, join(prompts[i:end], responses[i:end], tokenizer.pad_id))
            for i, end in ((i, i + _ROWS_AT_ONCE) for i in range(0, len(rows), _ROWS_AT_ONCE))
        ]
    )
    columns = {"score": raw.tolist(), "normalised_score": scorer.normalisation(raw).tolist()}
    return pd.DataFrame(columns)


set_model(ServedRewardModel())
