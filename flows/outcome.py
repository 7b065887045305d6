"""How a run went, stage by stage, and which part of the pipeline it was to do. No Prefect here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from data.errors import InputError
from tasks.stage import Stage
from tasks.stage_log import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """How one stage went, for people.

    Attributes:
        stage: Its name.
        state: "made", "cached", "rebuilt", "not needed", "failed", "not run" or "waiting".
        seconds: Time it took in this run.
        artifact: Its artifact's short name; empty where it has none.
        sha256: Its artifact's whole identity; empty where it has none.
        why: Why it was not needed, or what it waits for.
        summary: What the stage said of its result.
    """

    stage: str
    state: str
    seconds: float = 0.0
    artifact: str = ""
    sha256: str = ""
    why: str = ""
    summary: Summary = field(default_factory=dict)

    @property
    def waits_for(self) -> str:
        """What has to come before the stages after this one can go on; empty for nothing."""
        return str(self.summary.get("waits_for", ""))

    def as_json(self) -> dict[str, Any]:
        """Plain dict, which a flow may return."""
        return asdict(self)


class StageFailedError(RuntimeError):
    """A stage failed; `__cause__` is what it raised.

    Attributes:
        stage: Name of the stage.
        rows: All stages of the run, those not reached included.
    """

    def __init__(self, stage: str, cause: BaseException, rows: list[StageRow]) -> None:
        super().__init__(f"stage {stage} failed: {type(cause).__name__}: {cause}")
        self.stage = stage
        self.rows = rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which stages of the table to do.

    Attributes:
        first: Make this stage and all after it again, cached or not; empty for none.
        last: Stop after this stage; empty for the last one.
    """

    first: str = ""
    last: str = ""

    def check(self, stages: Sequence[Stage]) -> None:
        """Raise InputError where a name is no stage, or the two are in the wrong order."""
        names = [stage.name for stage in stages]
        for name in (self.first, self.last):
            if name and name not in names:
                raise InputError(f"no stage is called {name}. Stages: {', '.join(names)}.")
        if self.first and self.last and names.index(self.first) > names.index(self.last):
            raise InputError(f"--from {self.first} comes after --until {self.last}; swap them.")
