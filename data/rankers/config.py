"""Who ranks the responses of a run.

Omitted on purpose: how rankings become pairs (see pairs.PairsConfig), and what only people
(human_config) or only a judge (judge_config) need.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

Ranker = Literal["simulated", "file", "human", "judge"]
RANKERS = ("simulated", "file", "human", "judge")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankConfig:
    """The ranker and, where it is simulated, its annotators.

    Attributes:
        ranker: "simulated" ranks by gold with noise; "file" reads the user's sets and rankings;
            "human" publishes the sets for people and waits for them; "judge" asks a language model.
        sets: Path of a set/1 file; ranker "file" only.
        rankings: Path of a ranking/1 file; ranker "file" only.
        annotators: Share of gold-strict pairs on which each simulated annotator agrees with gold.
        common_noise: Share of the variance of their noise that all annotators have in common:
            people misjudge the same replies. With 0.4 the default annotators agree with each
            other on about 72 % of pairs (InstructGPT's labellers: 72.6 %), with 0 on 67 %.
        tie_gap: Responses whose gold differs by less are about equal.
        shared_fraction: Share of the sets that several annotators rank.
        shared_by: Annotators of a shared set.
    """

    ranker: Ranker = "simulated"
    sets: str = field(default="", metadata={"file": True})
    rankings: str = field(default="", metadata={"file": True})
    annotators: tuple[float, ...] = (0.95, 0.85, 0.75, 0.60)
    common_noise: float = 0.4
    tie_gap: float = 0.1
    shared_fraction: float = 0.15
    shared_by: int = 3

    def __post_init__(self) -> None:
        """Refuses values that rank nothing.

        Raises:
            ValueError: A field is out of range; the message names it and the mend.
        """
        if self.ranker not in RANKERS:
            raise ValueError(f"ranker is {self.ranker!r}; write {' or '.join(RANKERS)}")
        self._check_files()
        self._check_annotators()
        if not (math.isfinite(self.tie_gap) and self.tie_gap >= 0.0):
            raise ValueError(f"tie_gap is {self.tie_gap}; give 0 or more")
        for name in ("common_noise", "shared_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 to 1")

    def _check_annotators(self) -> None:
        """Refuses accuracies no better than a coin, and sharing among more than there are."""
        if not self.annotators:
            raise ValueError("annotators is empty; give an accuracy for each, such as 0.85")
        for accuracy in self.annotators:
            if not 0.5 < accuracy <= 1.0:
                raise ValueError(f"annotators has {accuracy}; give accuracies in (0.5, 1]")
        if not 1 <= self.shared_by <= len(self.annotators):
            raise ValueError(
                f"shared_by is {self.shared_by}; give 1 to {len(self.annotators)}, the annotators"
            )

    def _check_files(self) -> None:
        """Asks for the files that the ranker needs, and for no others."""
        for name in ("sets", "rankings"):
            path = getattr(self, name)
            if self.ranker == "file" and not path:
                raise ValueError(f"{name} is empty; ranker = 'file' needs its path")
            if self.ranker != "file" and path:
                raise ValueError(f"{name} is set; write ranker = 'file' to read the user's files")
