"""The probe of a model version: a fixed dialogue with the outputs that it gave at registration.

Two things can go wrong unseen. Weights can be damaged: safetensors has no checksum. And code_paths
lose to a package of the same name that is imported already, so a version can run with other code
than its own. So probe.json holds the hash of each file beside it, and token ids with the expected
logits or scores; every load compares both.

Omitted on purpose: sampling, which the fixed logits determine up to the random numbers.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.dialogue_ids import encode_response, encode_turns

if TYPE_CHECKING:
    from rlhf_core.checkpoint import Policy
    from rlhf_core.reward.checkpoint import Scorer

PROBE_FILE = "probe.json"
TOLERANCE = 1e-4
MESSAGES = [
    {"role": "system", "content": "You answer questions of customers."},
    {"role": "user", "content": "The caf\u00e9 lamp \u706f flickers since 7 o'clock.\nWhat now?"},
]
RESPONSE = "Please unplug it, wait 10 seconds, and plug it in again."


class ProbeError(RuntimeError):
    """A model version is not what was registered; the message says what to do."""


class Probe(NamedTuple):
    """What a model makes of the fixed dialogue.

    Attributes:
        ids: Its token ids.
        outputs: {name of an output: values}.
    """

    ids: list[int]
    outputs: dict[str, list[float]]


def probe_policy(policy: "Policy") -> Probe:
    """Next-token logits behind the dialogue: the prompt at once, the response token by token."""
    import torch

    prompt = encode_turns(policy.tokenizer, MESSAGES)
    response = encode_response(policy.tokenizer, RESPONSE)
    with torch.no_grad():
        logits, state = policy.model(torch.tensor([prompt]))
        for token in response:
            logits, state = policy.model(torch.tensor([[token]]), None, state)
    return Probe([*prompt, *response], {"logits": logits[0, -1].tolist()})


def probe_scorer(scorer: "Scorer") -> Probe:
    """Raw and normalised score of the dialogue."""
    import torch

    from rlhf_core.collate import join
    from rlhf_core.reward.model import score

    prompt = encode_turns(scorer.tokenizer, MESSAGES)
    response = encode_response(scorer.tokenizer, RESPONSE)
    with torch.no_grad():
        raw = score(scorer.model, join([prompt], [response], scorer.tokenizer.pad_id))
    outputs = {"score": raw.tolist(), "normalised_score": scorer.normalisation(raw).tolist()}
    return Probe([*prompt, *response], outputs)


def write_probe(directory: Path, probe: Probe) -> None:
    """Write probe.json beside the files of a model."""
    files = {path.name: _sha256(path) for path in sorted(directory.iterdir())}
    text = json.dumps({"files": files, **probe._asdict()}, indent=1, sort_keys=True)
    (directory / PROBE_FILE).write_text(text + "\n", encoding="utf-8")


def check_files(directory: Path) -> None:
    """Compare the files of a model with the hashes of its probe, before any is parsed.

    Raises:
        ProbeError: A file is missing or changed.
    """
    expected = json.loads((directory / PROBE_FILE).read_text(encoding="utf-8"))["files"]
    for name, sha256 in expected.items():
        path = directory / name
        if not path.is_file() or _sha256(path) != sha256:
            raise ProbeError(
                f"{path} is missing or not the file that was registered; do not use this version, "
                "run the pipeline again to register the model anew"
            )


def check_probe(directory: Path, found: Probe) -> None:
    """Compare what the loaded model makes of the dialogue with what it made at registration.

    Raises:
        ProbeError: Other tokens, or an output further away than TOLERANCE.
    """
    stored = json.loads((directory / PROBE_FILE).read_text(encoding="utf-8"))
    if found.ids != stored["ids"]:
        raise ProbeError(f"the probe's text becomes other tokens than at registration; {_hint()}")
    for name, expected in stored["outputs"].items():
        values = found.outputs.get(name, [])
        # Written so that NaN fails.
        is_close = len(values) == len(expected) and all(
            abs(a - b) <= TOLERANCE for a, b in zip(values, expected, strict=True)
        )
        if not is_close:
            raise ProbeError(
                f"the probe's {name} differ from those at registration by more than {TOLERANCE}; "
                + _hint()
            )


def _hint() -> str:
    import rlhf_core

    where = Path(rlhf_core.__file__ or "").parent
    return (
        f"rlhf_core is imported from {where}: where that is not this version's own code, load the "
        "version in a fresh process"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
