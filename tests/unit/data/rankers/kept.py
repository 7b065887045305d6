"""An inbox for the judge, in memory."""

from collections.abc import Callable
from typing import Any

from data.rankers.judge import Judged, JudgeReport, rank_by_judge
from data.rankers.judge_budget import Tally
from data.rankers.judge_config import JudgeConfig
from data.sets import ResponseSet
from tests.unit.data.rankers.fake_endpoint import (
    Fake,
)


class Inbox:
    """Keeps what the judge hands over, as the inbox does."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.tally = Tally()

    def take(self, judged: Judged) -> None:
        self.tally = judged.tally
        if judged.row is not None:
            self.rows.append(judged.row)

    @property
    def known(self) -> set[str]:
        return {row["event_id"] for row in self.rows}

    def judge(self, fake: Fake, sets: list[ResponseSet], **options: Any) -> JudgeReport:
        emit: Callable[[Judged], None] = options.pop("emit", self.take)
        progress = options.pop("progress", lambda: None)
        config = {"url": fake.url, "model": "some/judge 1", "max_cost": 1000.0, **options}
        return rank_by_judge(
            sets,
            JudgeConfig(**config),
            batch_id="b_1",
            seed=0,
            known=self.known,
            emit=emit,
            tally=self.tally,
            progress=progress,
        )
