"""What a stage is: a body, what it reads, and the record it leaves.

The signature of the body is the wiring (see tasks/context.py), so there is no second list of
inputs to keep in step. tasks/produce.py runs a body once; tasks/engine.py makes it a cached
Prefect task.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tasks.artifacts import ArtifactRef
from tasks.caching import CacheKey, cache_key, library_versions, numerics_tag
from tasks.code_digest import SourceTree
from tasks.stage_log import Summary

Body: TypeAlias = Callable[..., Summary]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        body: The function that does the work.
        config_type: Dataclass of the config sections that the body reads.
        inputs: {name of a stage whose payload the body reads: whether a run may lack it}.
        still_holds: Tells from var/ and the stage's summary whether what the body left outside
            its artifact is still there; None where it leaves nothing.
        reads_outside: Tells from the stage's config whether the body reads what no cache key
            knows, such as the answers of people: it then runs in every run. Equal bytes keep
            the artifact, so the stages after it stay cached.
    """

    body: Body
    config_type: type[Any]
    inputs: dict[str, bool]
    still_holds: Callable[[Path, Summary], bool] | None = None
    reads_outside: Callable[[Any], bool] | None = None

    @property
    def name(self) -> str:
        """Name of the stage and kind of its artifact."""
        return self.body.__name__

    @property
    def about(self) -> str:
        """First line of the body's docstring."""
        return (inspect.getdoc(self.body) or "").partition("\n")[0]

    def config_from(self, config: object) -> object:
        """The stage's own sections, taken by name from the run's config."""
        sections = {f.name: getattr(config, f.name) for f in fields(self.config_type)}
        return self.config_type(**sections)


def stage_of(
    body: Body,
    *,
    still_holds: Callable[[Path, Summary], bool] | None = None,
    reads_outside: Callable[[Any], bool] | None = None,
) -> Stage:
    """Read a stage off its body's signature; the rest is as in Stage.

    Raises:
        TypeError: The signature is not `(context, config: <dataclass>, *, <stage>: Path, ...)`.
    """
    parameters = list(inspect.signature(body, eval_str=True).parameters.values())
    if [p.name for p in parameters[:2]] != ["context", "config"]:
        raise TypeError(f"stage {body.__name__}: the first parameters must be context, config")
    config_type = parameters[1].annotation
    if not (isinstance(config_type, type) and is_dataclass(config_type)):
        raise TypeError(f"stage {body.__name__}: config must be annotated with a dataclass")
    inputs: dict[str, bool] = {}
    for parameter in parameters[2:]:
        hint = parameter.annotation
        if parameter.kind is not parameter.KEYWORD_ONLY or hint not in (Path, Path | None):
            raise TypeError(
                f"stage {body.__name__}: {parameter.name} must be a keyword-only Path or "
                "Path | None that names the stage it comes from"
            )
        inputs[parameter.name] = hint != Path
    return Stage(
        body=body,
        config_type=config_type,
        inputs=inputs,
        still_holds=still_holds,
        reads_outside=reads_outside,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What a stage's task returns and Prefect keeps as JSON: names and numbers, never bytes.

    Attributes:
        kind: Name of the stage.
        sha256: Identity of its artifact.
        cache_key: Key under which it was made, in hex.
        mlflow_run_id: MLflow run that produced it; empty where MLflow failed then.
        seconds: Time the body took.
        summary: What the body returned.
    """

    kind: str
    sha256: str
    cache_key: str
    mlflow_run_id: str
    seconds: float
    summary: Summary

    @property
    def ref(self) -> ArtifactRef:
        """Handle to the artifact."""
        return ArtifactRef(kind=self.kind, sha256=self.sha256)

    def as_json(self) -> dict[str, Any]:
        """Plain dict: a class path in a stored result breaks when a module moves."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One stage to be done in one run: everything that decides its result.

    Attributes:
        stage: What to do.
        config: The stage's own config sections.
        seed: The run's seed.
        threads: CPU threads for torch.
        device: "cpu" or "cuda".
        uses_torch: Whether the stage computes with torch.
        inputs: {stage read: its artifact, None where this run has none}.
        key: The cache key of all that.
    """

    stage: Stage
    config: object
    seed: int
    threads: int
    device: str
    uses_torch: bool
    inputs: dict[str, ArtifactRef | None]
    key: CacheKey


def order_stage(
    stage: Stage,
    config: Any,
    inputs: Mapping[str, ArtifactRef | None],
    source: SourceTree,
) -> Order:
    """Put together what one stage needs in this run, and its cache key.

    Args:
        stage: The stage.
        config: The run's config: the stage's sections and seed, threads, device.
        inputs: Artifacts of the stages before.
        source: Where the code lies.
    """
    own = stage.config_from(config)
    code = source.code_of(stage.body.__module__)
    numerics = numerics_tag(device=config.device, threads=config.threads)
    key = cache_key(
        stage=stage.name,
        inputs={name: None if ref is None else ref.sha256 for name, ref in inputs.items()},
        config=own,
        seed=config.seed,
        code=code.digest,
        libraries=library_versions(code.libraries),
        numerics=numerics if code.uses_torch else None,
    )
    return Order(
        stage=stage,
        config=own,
        seed=config.seed,
        threads=config.threads,
        device=config.device,
        uses_torch=code.uses_torch,
        inputs=dict(inputs),
        key=key,
    )
