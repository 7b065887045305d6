"""Names in the model registry. Imports nothing heavy, so that a run's config can be read fast."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryNames:
    """Registered models whose versions the stage register makes.

    Attributes:
        policy: Holds the SFT and the PPO models.
        reward: Holds the reward models.

    Raises:
        ValueError: If a name does not fit into a models:/ URI, or both are the same.
    """

    policy: str = "rlhf-policy"
    reward: str = "rlhf-reward"

    def __post_init__(self) -> None:
        for name in ("policy", "reward"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; use 1 to 128 letters, digits, _, . or -, "
                    "a letter or digit first"
                )
        if self.policy == self.reward:
            raise ValueError(f"reward is {self.reward!r}, as policy is; give it a name of its own")
