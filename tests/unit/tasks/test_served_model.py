"""Model folders: they answer like the live model with their own code, and refuse damage."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf_core.checkpoint import Policy, load_policy, save_policy
from rlhf_core.generation import generate
from rlhf_core.reward.checkpoint import Scorer, load_scorer, save_scorer
from rlhf_core.reward.model import reward_model_from
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from rlhf_core.tokenizer import train_tokenizer
from tasks.dialogue_ids import encode_response, encode_turns
from tasks.served_model.dialogues import prompts_of, responses_of
from tasks.served_model.folder import folder_sha256, save_folder
from tasks.served_model.probe import (
    MESSAGES,
    ProbeError,
    check_files,
    check_probe,
    probe_policy,
    probe_scorer,
    write_probe,
)

# MLflow warns of its own type hints when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

REPOSITORY = Path(__file__).resolve().parents[3]
PROMPTS = ["My lamp flickers.", "Where is my parcel?"]
RESPONSE = "Please unplug it."

# Loads each folder in turn and prints the answers, or why a load was refused.
CLIENT = """
import json, sys
request = json.loads(sys.argv[1])
if request.get("import_first"):
    import rlhf_core.checkpoint
import mlflow, pandas
from mlflow.exceptions import MlflowException
answers = []
for uri, rows, params in request["calls"]:
    try:
        model = mlflow.pyfunc.load_model(uri)
        answers.append(model.predict(pandas.DataFrame(rows), params=params).to_dict("list"))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
import rlhf_core.rwkv.model
print(json.dumps({"answers": answers, "code": rlhf_core.rwkv.model.__file__}))
"""


def tiny_policy(seed: int) -> Policy:
    tokenizer = train_tokenizer(["User: my lamp flickers\n\nAssistant: please unplug it"], 280)
    sizes = RWKVConfig(vocab_size=tokenizer.vocab_size, dim=32, head_size=16, num_layers=2)
    model = initialise(RWKV(sizes), generator_for(seed, "init"))
    with torch.no_grad():  # the official initialisation has matrices of zeros
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator_for(seed, parameter.numel()))
            parameter.add_(0.05 * noise)
    return Policy(model.eval(), tokenizer)


def tiny_scorer() -> Scorer:
    policy = tiny_policy(0)
    model = reward_model_from(
        policy.model, segment_embeddings=True, generator=generator_for(0, "head")
    )
    return Scorer(model.eval(), Normalisation(2.0, 0.5), policy.tokenizer)


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("payloads")
    for kind in ("policy", "reward"):
        (root / kind).mkdir()
    save_policy(tiny_policy(0), root / "policy")
    save_scorer(tiny_scorer(), root / "reward")
    return {"policy": root / "policy", "reward": root / "reward"}


@pytest.fixture(scope="module")
def folders(payloads: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from mlflow.models import Model

    root = tmp_path_factory.mktemp("folders")
    for kind, payload in payloads.items():
        save_folder(kind, payload, root / kind, Model())
    return {kind: root / kind for kind in payloads}


def load_elsewhere(
    calls: list[tuple[str, list[dict[str, str]], dict[str, Any] | None]],
    cwd: Path,
    *,
    path: Path | None = None,
    import_first: bool = False,
) -> dict[str, Any]:
    """Run CLIENT in a process that knows nothing of this repository but the virtual environment."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{cwd / 'unused.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps({"calls": calls, "import_first": import_first})],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def other_numerics(root: Path) -> Path:
    """A folder with a copy of rlhf_core whose logits are a little larger."""
    shutil.copytree(REPOSITORY / "rlhf_core", root / "rlhf_core")
    module = root / "rlhf_core" / "backbones.py"
    source = module.read_text(encoding="utf-8")
    changed = source.replace(
        "return self.head(hidden), state", "return self.head(hidden) * 1.01, state"
    )
    assert changed != source
    module.write_text(changed, encoding="utf-8")
    return root


def test_loaded_models_answer_like_the_live_ones_with_their_own_code(
    payloads: dict[str, Path], folders: dict[str, Path], tmp_path: Path
) -> None:
    params = {"temperature": 0.7, "max_tokens": 12, "seed": 5, "num_responses": 2}
    found = load_elsewhere(
        [
            (str(folders["policy"]), [{"prompt": text} for text in PROMPTS], params),
            (str(folders["reward"]), [{"prompt": PROMPTS[0], "response": RESPONSE}], None),
        ],
        tmp_path,
        path=other_numerics(tmp_path / "shadow"),  # on the path, but the model's own code is first
    )
    policy, scorer = load_policy(payloads["policy"]), load_scorer(payloads["reward"])
    live = generate(
        policy.model,
        [encode_turns(policy.tokenizer, [{"role": "user", "content": p}]) for p in PROMPTS],
        responses_per_prompt=2,
        max_tokens=12,
        temperature=0.7,
        pad_id=policy.tokenizer.pad_id,
        eos_id=policy.tokenizer.eos_id,
        generator=generator_for(5, "serve"),
    )
    ids = [
        *encode_turns(scorer.tokenizer, [{"role": "user", "content": PROMPTS[0]}]),
        *encode_response(scorer.tokenizer, RESPONSE),
    ]
    prompt_length = len(ids) - len(encode_response(scorer.tokenizer, RESPONSE))
    raw = scorer.model(torch.tensor([ids]), prompt_lengths=torch.tensor([prompt_length])).item()
    answers, scores = found["answers"]
    assert answers["prompt_index"] == [0, 0, 1, 1]
    assert answers["response"] == [
        policy.tokenizer.decode(response.ids).strip() for row in live for response in row
    ]
    assert scores["score"] == pytest.approx([raw], abs=1e-5)
    assert scores["normalised_score"] == pytest.approx([2 * raw + 0.5], abs=1e-5)
    assert Path(found["code"]).is_relative_to(folders["policy"] / "code")


def test_load_refuses_flipped_byte_and_shadowing_package(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["reward"], tmp_path / "damaged")
    weights = tmp_path / "damaged" / "artifacts" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    rows = [{"prompt": PROMPTS[0], "response": RESPONSE}]
    shadow = other_numerics(tmp_path / "shadow")
    found = load_elsewhere(
        [(str(tmp_path / "damaged"), rows, None), (str(folders["policy"]), rows, None)],
        tmp_path,
        path=shadow,
        import_first=True,
    )
    damaged, shadowed = found["answers"]
    assert "model.safetensors is missing or not the file that was registered" in damaged
    assert "the probe's logits differ" in shadowed
    assert f"rlhf_core is imported from {shadow / 'rlhf_core'}" in shadowed


def test_folder_holds_no_pickle_and_no_more_code_than_it_runs(folders: dict[str, Path]) -> None:
    for kind, folder in folders.items():
        names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert not [n for n in names if n.endswith((".pkl", ".pt", ".bin", ".pyc"))]
        assert {f"{kind}.py", "code/data/dialogue.py", "code/rlhf_core/rwkv/wkv.py"} <= names
        assert not [n for n in names if "/ppo/" in n or "store" in n or n.endswith(".sql")]
        files = {n.rpartition("/")[2] for n in names if n.startswith("artifacts/model/")}
        wanted = {"model.safetensors", "config.json", "tokenizer.json", "probe.json"}
        assert files == wanted | ({"normalisation.json"} if kind == "reward" else set())


def test_folder_hash_ignores_what_a_load_leaves_behind(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(folders["policy"], tmp_path / "policy")
    before = folder_sha256(folder)
    (folder / "registered_model_meta").write_text("x", encoding="utf-8")
    (folder / "code" / "data" / "__pycache__").mkdir(exist_ok=True)
    (folder / "code" / "data" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert folder_sha256(folder) == before
    (folder / "policy.py").write_text("x", encoding="utf-8")
    assert folder_sha256(folder) != before


def test_probe_finds_changed_files_weights_tokens_and_nan(tmp_path: Path) -> None:
    policy, scorer = tiny_policy(0), tiny_scorer()
    save_policy(policy, tmp_path)
    probe = probe_policy(policy)
    write_probe(tmp_path, probe)
    check_files(tmp_path)
    check_probe(tmp_path, probe)
    logits = probe.outputs["logits"]
    check_probe(tmp_path, probe._replace(outputs={"logits": [x + 5e-5 for x in logits]}))
    for values in ([x + 2e-4 for x in logits], [float("nan"), *logits[1:]], logits[1:]):
        with pytest.raises(ProbeError, match="logits differ"):
            check_probe(tmp_path, probe._replace(outputs={"logits": values}))
    with pytest.raises(ProbeError, match="logits differ"):
        check_probe(tmp_path, probe_policy(tiny_policy(1)))
    with pytest.raises(ProbeError, match="logits differ"):
        check_probe(tmp_path, probe_scorer(scorer))
    with pytest.raises(ProbeError, match="other tokens"):
        check_probe(tmp_path, probe._replace(ids=probe.ids[1:]))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ProbeError, match=r"tokenizer\.json is missing"):
        check_files(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "give one of: prompt, messages"),
        ({"prompt": float("nan"), "messages": None}, "give one of: prompt, messages"),
        ({"prompt": "a", "messages": "[]"}, "give one of: prompt, messages"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"messages": "{"}, "Expecting property name"),
        ({"messages": '[{"role": "robot", "content": "a"}]'}, "unknown role 'robot'"),
        ({"messages": '[{"role": "assistant", "content": "a"}]'}, "there is no user turn"),
    ],
)
def test_bad_rows_are_named(row: dict[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"row 1: .*{message}"):
        prompts_of([{"prompt": "fine"}, row])


def test_rows_become_dialogues_and_responses() -> None:
    rows: list[dict[Any, Any]] = [
        {"prompt": "a", "messages": float("nan"), "response": "b"},
        {"messages": json.dumps(MESSAGES), "response": "c"},
    ]
    assert prompts_of(rows) == [[{"role": "user", "content": "a"}], MESSAGES]
    assert responses_of(rows) == ["b", "c"]
    with pytest.raises(ValueError, match="row 0: response is missing or blank"):
        responses_of([{"response": " "}])
