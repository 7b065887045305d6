"""Pairs of the store as the reward model reads them: one batch element a prompt."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_core.text_tokenizer import TextTokenizer
from tasks.dialogue_ids import encode_response
from tasks.texts import cut_dialogue, encode_prompt, prompt_room

if TYPE_CHECKING:
    import polars as pl

    from rlhf_core.reward.training import RankedPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedDialogue:
    """A prompt with its responses, as ids for the model and as text for people.

    Attributes:
        split: train, validation or test.
        family_id: Cluster of alike prompts.
        question: The last user turn.
        texts: The responses, in the order of `ranked.responses`.
        ranked: What the reward model reads.
    """

    split: str
    family_id: str
    question: str
    texts: list[str]
    ranked: "RankedPrompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedDialogues:
    """All ranked prompts of a pairs artifact.

    Attributes:
        dialogues: In the order of prompts.parquet.
        texts_cut: Prompt-response texts beyond the limit.
        pairs_dropped: Pairs whose responses are equal after the cut.
        of_own_model: Whether all responses are of the run's own SFT model.
    """

    dialogues: list[RankedDialogue]
    texts_cut: int
    pairs_dropped: int
    of_own_model: bool

    def of(self, *splits: str) -> list[RankedDialogue]:
        """The dialogues of the given splits."""
        return [dialogue for dialogue in self.dialogues if dialogue.split in splits]


def read_ranked(pairs: Path, tokenizer: TextTokenizer, max_tokens: int) -> RankedDialogues:
    """Read pairs.parquet, prompts.parquet and responses.parquet of the directory `pairs`."""
    import polars as pl

    from data.corpus_frames import decode_messages
    from rlhf_core.reward.training import RankedPrompt

    all_responses = pl.read_parquet(pairs / "responses.parquet")
    responses = all_responses.partition_by("prompt_id", as_dict=True, maintain_order=True)
    rows = pl.read_parquet(pairs / "pairs.parquet").partition_by(
        "prompt_id", as_dict=True, maintain_order=True
    )
    dialogues, texts_cut, pairs_dropped = [], 0, 0
    for prompt in pl.read_parquet(pairs / "prompts.parquet").iter_rows(named=True):
        own = responses[prompt["prompt_id"],]
        question = encode_prompt(tokenizer, prompt["messages"])
        answers = [encode_response(tokenizer, text) for text in own["text"]]
        room = prompt_room(map(len, answers), max_tokens)
        cuts = [cut_dialogue(question, answer, room, max_tokens) for answer in answers]
        texts_cut += sum(is_cut for *_, is_cut in cuts)
        ids = [response for _, response, _ in cuts]
        index = {name: i for i, name in enumerate(own["response_id"])}
        pairs_of_prompt, weights = [], []
        for chosen, rejected, weight in _pairs_of(rows, prompt["prompt_id"]):
            better, worse = index[chosen], index[rejected]
            if ids[better] == ids[worse]:
                pairs_dropped += 1
                continue
            pairs_of_prompt.append((better, worse))
            weights.append(weight)
        dialogues.append(
            RankedDialogue(
                split=prompt["split"],
                family_id=prompt["family_id"],
                question=decode_messages(prompt["messages"])[-1]["content"],
                texts=own["text"].to_list(),
                ranked=RankedPrompt(cuts[0][0], ids, pairs_of_prompt, weights),
            )
        )
    return RankedDialogues(
        dialogues=dialogues,
        texts_cut=texts_cut,
        pairs_dropped=pairs_dropped,
        of_own_model=bool((all_responses["generator"] == "sft").all()),
    )


def _pairs_of(
    rows: dict[tuple[str, ...], "pl.DataFrame"], prompt_id: str
) -> list[tuple[str, str, float]]:
    frame = rows.get((prompt_id,))
    return [] if frame is None else frame["chosen_id", "rejected_id", "weight"].rows()
