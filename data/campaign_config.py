"""Under which name and guideline a run publishes its sets for ranking.

Apart from rankers.config, so that a change of annotators does not sample the responses again.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignConfig:
    """What is recorded in each set that the run samples.

    Attributes:
        name: Name of the campaign.
        guideline_version: Version of the guideline that annotators follow.
    """

    name: str = "demo"
    guideline_version: str = "1"

    def __post_init__(self) -> None:
        """Refuses empty names.

        Raises:
            ValueError: A field is empty; the message names it and the mend.
        """
        for name in ("name", "guideline_version"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; give it a name")
