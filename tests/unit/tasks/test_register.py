"""The stage register: equal bytes keep their version, damage and other bytes make a new one."""

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
from rlhf_core.reward.checkpoint import Scorer, save_scorer
from rlhf_core.reward.model import reward_model_from
from rlhf_core.reward.normalisation import Normalisation
from rlhf_core.rwkv.config import RWKVConfig
from rlhf_core.rwkv.init import initialise
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from rlhf_core.tokenizer import train_tokenizer
from tasks.context import StageContext
from tasks.dialogue_ids import encode_turns
from tasks.register import RegisterConfig, register, still_registered
from tasks.registry_config import RegistryNames
from tasks.stage import stage_of
from tasks.stage_log import StageLog
from tasks.tracking import tracking_uri

# MLflow warns of its own type hints when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

EVALUATION = {
    "win_rate": {"value": 0.8, "low": 0.7, "high": 0.9, "n": 64, "sft": None},
    "length": {"value": 10.0, "low": 9.0, "high": 11.0, "n": 64, "sft": 12.0},
    "ppo/entropy": {"value": 2.5},
    "dpo_length": {"value": 11.0, "low": 9.0, "high": 12.0, "n": 64, "sft": 12.5},
    "best_of_8_reward": {"value": 1.5, "low": 1.4, "high": 1.6, "n": 64, "sft": 0.0},
    "cv_accuracy": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 64, "sft": None},
    "rm_pair_accuracy": {"value": 0.9, "low": None, "high": None, "n": 64, "sft": None},
}


def tiny_policy(seed: int) -> Policy:
    tokenizer = train_tokenizer(["User: my lamp flickers\n\nAssistant: please unplug it"], 280)
    sizes = RWKVConfig(vocab_size=tokenizer.vocab_size, dim=32, head_size=16, num_layers=2)
    model = initialise(RWKV(sizes), generator_for(seed, "init"))
    return Policy(model.eval(), tokenizer)


def save_payloads(root: Path) -> dict[str, Path]:
    paths = {n: root / n for n in ("sft", "train_policy", "train_reward_model", "evaluate")}
    for path in paths.values():
        path.mkdir(parents=True)
    save_policy(tiny_policy(0), paths["sft"])
    save_policy(tiny_policy(1), paths["train_policy"])
    head = generator_for(0, "head")
    model = reward_model_from(tiny_policy(0).model, segment_embeddings=False, generator=head)
    scorer = Scorer(model.eval(), Normalisation(2.0, 0.5), tiny_policy(0).tokenizer)
    save_scorer(scorer, paths["train_reward_model"])
    (paths["evaluate"] / "evaluation.json").write_text(json.dumps(EVALUATION), encoding="utf-8")
    return paths


def run_stage(root: Path, name: str, payloads: dict[str, Path]) -> tuple[dict[str, Any], str]:
    """Run the body once; returns its summary and the text of its payload."""
    out, log = root / name / "out", root / name / "log"
    out.mkdir(parents=True)
    log.mkdir()
    context = StageContext(
        out=out,
        seed=3,
        threads=1,
        device="cpu",
        var=root / "var",
        checkpoints=root / "checkpoints",
        log=StageLog(log),
    )
    summary = register(context, RegisterConfig(registry=RegistryNames()), **payloads)
    return dict(summary), (out / "registered.json").read_text(encoding="utf-8")


class Run:
    """A var/ in which the stage ran once over tiny models."""

    def __init__(self, root: Path) -> None:
        from mlflow.tracking.client import MlflowClient

        self.root = root
        (root / "var").mkdir()
        self.payloads = save_payloads(root / "payloads")
        self.summary, self.payload = run_stage(root, "first", self.payloads)
        self.client = MlflowClient(tracking_uri(root / "var"))

    def version(self, alias: str, name: str = "rlhf-policy") -> Any:
        return self.client.get_model_version_by_alias(name, alias)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(root)
        return Run(root)


@pytest.fixture(autouse=True)
def _local_mlflow(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(run.root)


def test_what_was_registered_is_missed_when_it_is_gone(run: Run, tmp_path: Path) -> None:
    """Guards: a cached stage that speaks of versions which the registry lost."""
    assert still_registered(run.root / "var", run.summary)
    assert not still_registered(tmp_path, run.summary)
    elsewhere = {**run.summary, "train_policy": "models:/rlhf-policy/99"}
    assert not still_registered(run.root / "var", elsewhere)


def test_signature_fits_the_stage_table() -> None:
    stage = stage_of(register)
    assert list(stage.inputs) == ["sft", "train_policy", "train_reward_model", "evaluate"]


def test_three_models_become_versions_with_aliases_tags_and_metrics(run: Run) -> None:
    assert run.summary == {
        "sft": "models:/rlhf-policy/1",
        "train_policy": "models:/rlhf-policy/2",
        "train_reward_model": "models:/rlhf-reward/1",
        "new_versions": 3,
    }
    sft, newest = run.version("sft"), run.version("newest")
    reward = run.version("newest", "rlhf-reward")
    assert [int(v.version) for v in (sft, newest, reward)] == [1, 2, 1]
    assert (sft.tags["stage"], sft.tags["seed"]) == ("sft", "3")
    assert sft.tags["evaluate/length"] == "12"
    assert "evaluate/win_rate" not in sft.tags
    assert newest.tags["evaluate/win_rate"] == "0.8 [0.7, 0.9]"
    assert "evaluate/rm_pair_accuracy" not in newest.tags
    assert reward.tags["evaluate/rm_pair_accuracy"] == "0.9"
    assert reward.tags["evaluate/cv_accuracy"] == "0.6 [0.5, 0.7]"
    logged = run.client.get_logged_model(newest.tags["model_id"])
    assert {m.key: m.value for m in logged.metrics} == {
        "evaluate/win_rate": 0.8,
        "evaluate/length": 10.0,
        "evaluate/ppo/entropy": 2.5,
    }
    assert (logged.status, logged.source_run_id) == ("READY", newest.run_id)
    assert not (run.root / "mlflow.db").exists()


def test_payload_names_models_and_no_versions(run: Run) -> None:
    facts = json.loads(run.payload)
    assert [(e["stage"], e["alias"]) for e in facts["rlhf-policy"]] == [
        ("sft", "sft"),
        ("train_policy", "newest"),
    ]
    assert facts["rlhf-policy"][1]["sha256"] == run.version("newest").tags["sha256"]


def test_same_bytes_keep_their_versions_also_with_new_figures(run: Run, tmp_path: Path) -> None:
    payloads = {n: shutil.copytree(p, tmp_path / n) for n, p in run.payloads.items()}
    changed = EVALUATION | {"length": {"value": 10.5, "low": 9, "high": 12, "sft": 12.0}}
    (payloads["evaluate"] / "evaluation.json").write_text(json.dumps(changed), encoding="utf-8")
    summary, _ = run_stage(run.root, "changed", payloads)
    assert summary == run.summary | {"new_versions": 0}
    assert run.version("newest").tags["evaluate/length"] == "10.5 [9, 12]"
    again, payload = run_stage(run.root, "again", run.payloads)
    assert again == run.summary | {"new_versions": 0}
    assert payload == run.payload
    assert run.version("newest").tags["evaluate/length"] == "10 [9, 11]"


def test_alias_loads_elsewhere_and_answers_like_the_live_model(run: Run, tmp_path: Path) -> None:
    script = (
        "import mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model('models:/rlhf-policy@newest')\n"
        "print(model.predict(pandas.DataFrame({'prompt': ['My lamp flickers.']}))['response'][0])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {
        "MLFLOW_TRACKING_URI": tracking_uri(run.root / "var"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    policy = load_policy(run.payloads["train_policy"])
    prompt = encode_turns(policy.tokenizer, [{"role": "user", "content": "My lamp flickers."}])
    (responses,) = generate(
        policy.model,
        [prompt],
        responses_per_prompt=1,
        max_tokens=48,
        temperature=1.0,
        pad_id=policy.tokenizer.pad_id,
        eos_id=policy.tokenizer.eos_id,
        generator=generator_for(0, "serve"),
    )
    assert done.stdout.strip() == policy.tokenizer.decode(responses[0].ids).strip()
    # What the load wrote into the version's folder does not count as damage.
    assert run_stage(run.root, "after_load", run.payloads)[0] == run.summary | {"new_versions": 0}


def test_other_bytes_and_damage_make_a_new_version(run: Run, tmp_path: Path) -> None:
    other = shutil.copytree(run.payloads["train_policy"], tmp_path / "other")
    policy = load_policy(other)
    with torch.no_grad():
        policy.model.emb.weight += 1e-6
    save_policy(policy, other)
    summary, _ = run_stage(run.root, "other", {**run.payloads, "train_policy": other})
    assert summary["train_policy"] == "models:/rlhf-policy/3"
    assert summary["new_versions"] == 1
    assert int(run.version("newest").version) == 3

    artifacts = Path(run.version("sft").source.removeprefix("file://"))
    (artifacts / "artifacts" / "model" / "probe.json").unlink()
    shutil.rmtree(Path(run.version("newest", "rlhf-reward").source.removeprefix("file://")))
    summary, _ = run_stage(run.root, "damaged", run.payloads)
    assert summary == {
        "sft": "models:/rlhf-policy/4",
        "train_policy": "models:/rlhf-policy/2",
        "train_reward_model": "models:/rlhf-reward/2",
        "new_versions": 2,
    }
    assert run.client.get_model_version("rlhf-policy", "1").tags["damaged"] == "true"
    assert int(run.version("newest").version) == 2


def test_source_run_is_the_one_that_trained_the_model(run: Run, tmp_path: Path) -> None:
    payload = shutil.copytree(run.payloads["train_policy"], tmp_path / "abc")
    policy = load_policy(payload)
    with torch.no_grad():
        policy.model.head.weight += 1e-6
    save_policy(policy, payload)
    experiment = run.client.get_experiment_by_name("rlhf").experiment_id
    trained = run.client.create_run(experiment, run_name="train_policy").info.run_id
    note = tmp_path / "abc.made" / "0123456789abcdef" / "mlflow.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"run_id": trained}), encoding="utf-8")
    run_stage(run.root, "source", {**run.payloads, "train_policy": payload})
    assert run.version("newest").run_id == trained
    outputs = run.client.get_run(trained).outputs.model_outputs
    assert [o.model_id for o in outputs] == [run.version("newest").tags["model_id"]]


@pytest.mark.parametrize("names", [{"policy": "a/b"}, {"policy": ""}, {"reward": "rlhf-policy"}])
def test_names_are_checked(names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(names))):
        RegistryNames(**names)
