"""Which corpus a run reads, and how its families are split.

Omitted on purpose: how many prompts are sampled from it (see prompts.SampleConfig).
"""

import math
from dataclasses import dataclass, field
from typing import Literal

Source = Literal["support_desk", "files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusConfig:
    """Where prompts and texts come from, and the shares of the three splits.

    Attributes:
        source: "support_desk" renders the shipped grammar; "files" reads the user's JSONL.
        prompts: Path of prompts.jsonl; source "files" only.
        sft: Path of sft.jsonl; source "files" only.
        pretrain: Path of pretrain.jsonl; source "files" only. Empty: pretrain on the SFT dialogues.
        train: Share of families in the train split.
        validation: Share of families in the validation split.
        test: Share of families in the test split; the three add up to 1.
        split_salt: Hashed with a family to find its split; not the run's seed, so that runs with
            other seeds keep the same test split.
        min_test_prompts: The run stops if the test split holds fewer prompts.
        replies_per_family: SFT rows of a family of the grammar; a multiple of its four styles.
        dialogues_per_family: Pretraining dialogues of a family; a multiple of the four styles.
    """

    source: Source = "support_desk"
    prompts: str = field(default="", metadata={"file": True})
    sft: str = field(default="", metadata={"file": True})
    pretrain: str = field(default="", metadata={"file": True})
    train: float = 0.6
    validation: float = 0.2
    test: float = 0.2
    split_salt: str = "families"
    min_test_prompts: int = 64
    replies_per_family: int = 24
    dialogues_per_family: int = 24

    def __post_init__(self) -> None:
        """Refuses values that name no corpus.

        Raises:
            ValueError: A field is out of range; the message names it and the mend.
        """
        if self.source not in ("support_desk", "files"):
            raise ValueError(f"source is {self.source!r}; write support_desk or files")
        for name in ("train", "validation", "test"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} is {share}; give a share between 0 and 1")
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + validation + test is {total}; the shares must add up to 1")
        if self.train == 0.0:
            raise ValueError("train is 0; leave some families to train on")
        if self.min_test_prompts < 0:
            raise ValueError(f"min_test_prompts is {self.min_test_prompts}; give 0 or more")
        for name in ("replies_per_family", "dialogues_per_family"):
            count = getattr(self, name)
            if count <= 0 or count % 4:
                raise ValueError(f"{name} is {count}; give a positive multiple of the four styles")
        self._check_files()

    def _check_files(self) -> None:
        """Asks for the files that the source needs, and for no others."""
        if self.source == "files":
            for name in ("prompts", "sft"):
                if not getattr(self, name):
                    raise ValueError(f"{name} is empty; source = 'files' needs its path")
            return
        for name in ("prompts", "sft", "pretrain"):
            if getattr(self, name):
                raise ValueError(f"{name} is set; write source = 'files' to read the user's files")
