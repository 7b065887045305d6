"""Settings of the toy stages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersConfig:
    count: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleConfig:
    factor: float = 2.0
    by_people: bool = False
