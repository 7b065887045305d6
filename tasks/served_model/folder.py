"""A model as a folder in MLflow's format: code and safetensors, no pickle.

MLmodel, requirements.txt, ...   MLflow's own files
policy.py | reward.py            the file that MLflow runs
code/                            the modules of ours that it reaches by import, and no others
artifacts/model/                 the stage's payload and probe.json

Omitted on purpose: where the folder goes (registry.py).
"""

import hashlib
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from tasks.artifacts import payload_files
from tasks.code_digest import SourceTree
from tasks.served_model.probe import Probe, probe_policy, probe_scorer, write_probe

Kind: TypeAlias = Literal["policy", "reward"]

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "tokenizers", "torch")
# MLflow and Python write these into a folder when they load the model.
_WRITTEN_AT_LOAD = ("registered_model_meta", "__pycache__")


def save_folder(kind: Kind, payload: Path, folder: Path, model: Any) -> None:
    """Write the folder.

    Args:
        kind: Which model the payload is.
        payload: Files of a policy (rlhf_core.checkpoint) or reward model (rlhf_core.reward).
        folder: Where to; made here.
        model: The mlflow.models.Model that names the logged model.
    """
    import mlflow.pyfunc

    with tempfile.TemporaryDirectory() as scratch:
        files, code = Path(scratch) / "model", Path(scratch) / "code"
        shutil.copytree(payload, files)
        write_probe(files, _probe(kind, files))
        copy_code(code)
        mlflow.pyfunc.save_model(
            path=str(folder),
            mlflow_model=model,
            python_model=str(Path(__file__).with_name(f"{kind}.py")),
            code_paths=[str(path) for path in sorted(code.iterdir())],
            artifacts={"model": str(files)},
            signature=_signature(kind),
            input_example=_example(kind),
            # Inferring them takes MLflow 8 to 15 seconds.
            pip_requirements=[_requirement(name) for name in _needed(files)],
        )


def copy_code(target: Path) -> None:
    """Copy the modules of ours that the files of all kinds reach by import into `target`.

    All kinds, because versions loaded in one process share the modules of the first.
    """
    root = Path(__file__).resolve().parents[2]
    source = SourceTree(root=root)
    # The stage machinery counts as no stage's code, but the package's own file is needed here.
    names = {"tasks/__init__.py"}
    for kind in get_args(Kind):
        reached = source.code_of(f"tasks.served_model.{kind}").files
        names.update(name for name in reached if name.endswith(".py"))
    for name in sorted(names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target / name)


def folder_sha256(folder: Path) -> str:
    """Sha256 over all files of a folder, those apart that loading it leaves behind."""
    lines = [
        f"{name}\0{sha256}\n"
        for name, sha256 in payload_files(folder).items()
        if not set(Path(name).parts) & set(_WRITTEN_AT_LOAD)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _probe(kind: Kind, files: Path) -> Probe:
    from rlhf_core.checkpoint import load_policy
    from rlhf_core.reward.checkpoint import load_scorer

    if kind == "policy":
        return probe_policy(load_policy(files))
    return probe_scorer(load_scorer(files))


def _signature(kind: Kind) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    prompt = [ColSpec("string", name, required=False) for name in ("prompt", "messages")]
    if kind == "reward":
        scores = [ColSpec("double", name) for name in ("score", "normalised_score")]
        return ModelSignature(Schema([*prompt, ColSpec("string", "response")]), Schema(scores))
    params = [
        ParamSpec("temperature", "double", 1.0),
        ParamSpec("max_tokens", "long", 48),
        ParamSpec("seed", "long", 0),
        ParamSpec("num_responses", "long", 1),
    ]
    answers = [ColSpec("long", "prompt_index"), ColSpec("string", "response")]
    return ModelSignature(Schema(prompt), Schema(answers), ParamSchema(params))


def _example(kind: Kind) -> Any:
    import pandas as pd

    row = {"prompt": "My lamp flickers. What can I do?"}
    return pd.DataFrame([row | {"response": "Please unplug it."} if kind == "reward" else row])


def _needed(files: Path) -> list[str]:
    """The distributions that a model's files and our code need."""
    extra = []
    if (files / "tokenizer_config.json").is_file():
        extra.append("transformers")
    if '"rwkv_world"' in (files / "tokenizer.json").read_text(encoding="utf-8"):
        extra.append("pyrwkv-tokenizer")
    return [*_REQUIREMENTS, *extra]


def _requirement(name: str) -> str:
    # A local build ("2.13.0+cpu") is on no package index.
    return f"{name}=={version(name).partition('+')[0]}"
