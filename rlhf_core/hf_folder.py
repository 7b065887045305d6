"""Folders of transformers: what `from_pretrained` reads, and what it reads from us.

config.json and names of weights are those of transformers, so a folder that we write loads there,
and a downloaded one (one model.safetensors, or shards with their index) loads here. Weights are
float32, whatever the folder has.

Omitted on purpose: anything that is not on the disk, pickled weights, quantised weights, code from
a folder; generation settings, for we sample the model's own distribution.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rlhf_core.hf import TransformersBackbone

INSTALL = "config.json describes a model of transformers; pip install -e '.[hf]' reads it"


def read_folder(directory: Path) -> TransformersBackbone:
    """The language model in a folder of transformers.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If the folder is incomplete, or holds a model that cannot be trained here.
    """
    transformers = _transformers()
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if config.get("quantization_config"):
        raise ValueError(f"{directory}: the weights are quantised; give the model as it was before")
    if config["model_type"] not in transformers.CONFIG_MAPPING:
        raise ValueError(
            f"{directory}: this version of transformers knows no model_type "
            f"{config['model_type']!r}; code from a folder is never run"
        )
    try:
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"{directory}: {str(error).splitlines()[0]}") from error
    # transformers would go on with random weights in their place.
    lost = sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]]))
    if lost:
        raise ValueError(f"{directory}: no weights, or of another shape, for {', '.join(lost[:3])}")
    return TransformersBackbone(model)


def build_from(config: dict[str, Any]) -> TransformersBackbone:
    """The model that a config.json of transformers describes, with arbitrary weights.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If it cannot be trained here.
    """
    transformers = _transformers()
    sizes = {name: value for name, value in config.items() if name != "model_type"}
    described = transformers.AutoConfig.for_model(config["model_type"], **sizes)
    model = transformers.AutoModelForCausalLM.from_config(described, dtype=torch.float32)
    return TransformersBackbone(model)


def config_of(model: TransformersBackbone) -> dict[str, Any]:
    """The config.json of a model or trunk."""
    config = model.body.config
    described: dict[str, Any] = json.loads(config.to_json_string())
    described |= {"architectures": [model.model_class], "dtype": "float32"}
    # Where a model was loaded from is no part of it.
    return {name: value for name, value in described.items() if name != "_name_or_path"}


def write_weights(model: TransformersBackbone, path: Path) -> None:
    """Write the weights under the names of transformers; equal weights give equal bytes."""
    parts = {"body": model.body_name, "head": model.head_name}
    tensors = {}
    for name, tensor in model.state_dict().items():
        part, _, rest = name.partition(".")
        tensors[f"{parts[part]}.{rest}"] = tensor.detach().cpu().contiguous()
    save_file(tensors, path, metadata={"format": "pt"})


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(INSTALL) from error
    transformers.utils.logging.disable_progress_bar()  # a stage has its own
    return transformers
