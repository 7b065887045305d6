"""How people rank: how many rankings, by whom, until when.

Omitted on purpose: who the people are and how much each may do in a day (`rlhf annotators`), where
the page listens and how long it keeps a set for one of them (`rlhf annotate`). Those change while a
batch is open; what stands here makes the batch.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanConfig:
    """The work that is handed out to people.

    Attributes:
        wanted_rankings: Rankings with which training may start; 0 for as many as there are sets.
            From that number on, each set has to have an answer too.
        deadline_hours: Hours after which it starts with what there is; 0 for no deadline.
        shared_fraction: Share of the sets that several annotators rank.
        shared_by: Annotators of a shared set, and of a gold set.
        gold_fraction: Gold sets beside the sets, as a share of them: copies in which one response
            is damaged. They measure care and train nothing.
        retest_fraction: Retests beside the sets, as a share of them: what an annotator ranked,
            once more. They measure an annotator against themselves and train nothing.
        retest_after_hours: Hours between the two; a retest whose hour comes after training has
            started is not handed out.
        allow_top: Whether ranking only the best ones is an answer.
    """

    wanted_rankings: int = 0
    deadline_hours: float = 0.0
    shared_fraction: float = 0.15
    shared_by: int = 3
    gold_fraction: float = 0.05
    retest_fraction: float = 0.03
    retest_after_hours: float = 72.0
    allow_top: bool = False

    def __post_init__(self) -> None:
        """Refuses values that hand out nothing.

        Raises:
            ValueError: A field is out of range; the message names it and the mend.
        """
        if self.wanted_rankings < 0:
            raise ValueError(f"wanted_rankings is {self.wanted_rankings}; give 0 or more")
        for name in ("shared_fraction", "gold_fraction", "retest_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 to 1")
        if not 1 <= self.shared_by <= 100:
            raise ValueError(f"shared_by is {self.shared_by}; give 1 to 100")
        for name in ("deadline_hours", "retest_after_hours"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
