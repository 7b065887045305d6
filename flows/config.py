"""RunConfig: everything that a run can be told, checked before anything starts.

Each section is the frozen dataclass of the package that uses it; functions take those, never
RunConfig. Every field has a default, so a file states only what it changes. Reading files and
wording errors is flows/config_files.py.
"""

import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.campaign_config import CampaignConfig
from data.corpus_config import CorpusConfig
from data.identity import canonical_json
from data.pairs import PairsConfig
from data.prompts import SampleConfig
from data.rankers.config import RankConfig
from data.rankers.human_config import HumanConfig
from data.rankers.judge_config import JudgeConfig
from flows.config_files import merge, read_layers
from rlhf_core.dpo.config import DPOConfig
from rlhf_core.evaluation.config import EvaluateConfig
from rlhf_core.generation_config import GenerateConfig
from rlhf_core.language.config import LanguageConfig
from rlhf_core.ppo.config import PPOConfig
from rlhf_core.reward.config import RewardConfig
from rlhf_core.rwkv.config import RWKVConfig
from tasks.base_model_config import BaseModelConfig
from tasks.registry_config import RegistryNames


class RunConfig(BaseModel):
    """The configuration of one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("run", description="Name of the run for people; changes no result.")
    base: str = Field(
        "", description="A shipped config's name or a TOML file whose values this one overrides."
    )
    seed: int = Field(0, ge=0, description="Seed of all that is random.")
    threads: int = Field(2, ge=1, description="CPU threads for torch; other counts, other bits.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where torch computes.")
    corpus: CorpusConfig = CorpusConfig()
    base_model: BaseModelConfig = BaseModelConfig()
    model: RWKVConfig = RWKVConfig()
    pretrain: LanguageConfig = LanguageConfig()
    sft: LanguageConfig = LanguageConfig()
    sample: SampleConfig = SampleConfig()
    generate: GenerateConfig = GenerateConfig()
    campaign: CampaignConfig = CampaignConfig()
    rank: RankConfig = RankConfig()
    annotate: HumanConfig = HumanConfig()
    judge: JudgeConfig = JudgeConfig()
    pairs: PairsConfig = PairsConfig()
    reward: RewardConfig = RewardConfig()
    dpo: DPOConfig = DPOConfig()
    ppo: PPOConfig = PPOConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    registry: RegistryNames = RegistryNames()

    @model_validator(mode="before")
    @classmethod
    def _start_from_base(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("base"):
            return values
        for layer in reversed(read_layers(str(values["base"]))):
            values = merge(layer.values, values)
        return values

    @model_validator(mode="after")
    def _check_that_numbers_are_finite(self) -> Self:
        # JSON has no others, and as JSON a config is kept and handed on.
        for name in type(self).model_fields:
            section = getattr(self, name)
            for field in fields(section) if is_dataclass(section) else ():
                value = getattr(section, field.name)
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"{name}.{field.name} is {value}; give a finite number")
        return self

    @model_validator(mode="after")
    def _check_that_someone_can_rank(self) -> Self:
        if self.corpus.source == "files" and self.rank.ranker == "simulated":
            raise ValueError(
                'rank.ranker is "simulated", and simulated annotators know the support desk only; '
                'with corpus.source = "files" write ranker = "file", "human" or "judge" in [rank]'
            )
        if self.rank.ranker == "judge":
            self.judge.check_ready()
        return self


def portable_json(config: RunConfig) -> str:
    """The config as JSON that reads back in any folder: whole paths, and no base to look up.

    Equal configs give equal text.
    """
    values = config.model_dump(mode="json") | {"base": ""}
    for name in RunConfig.model_fields:
        section = getattr(config, name)
        if not is_dataclass(section):
            continue
        for field in fields(section):
            path = getattr(section, field.name)
            if path and (field.metadata.get("file") or field.metadata.get("folder")):
                values[name][field.name] = str(Path(path).absolute())
    return canonical_json(values)
