"""The run's config: layers, overrides, and one clear message for each mistake."""

from pathlib import Path

import pytest

from data.errors import InputError
from flows.config import RunConfig, portable_json
from flows.config_files import load_config, merge, parse_override
from flows.stages import stages_not_needed
from flows.user_files import check_user_files


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_every_field_has_a_default_and_a_dump_reads_back() -> None:
    config = RunConfig()
    assert RunConfig.model_validate(config.model_dump()) == config
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_a_file_overrides_its_base_and_set_overrides_both(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", "seed = 1\n[ppo]\nkl_coef = 0.3\ndiscount = 0.9\n")
    mine = write(tmp_path / "mine.toml", f'base = "{base}"\n[ppo]\nkl_coef = 0.4\n')
    config = load_config(mine, ["ppo.discount=1.0", "name=bare words"])
    assert (config.seed, config.ppo.kl_coef, config.ppo.discount) == (1, 0.4, 1.0)
    assert config.name == "bare words"


def test_a_base_begins_at_the_file_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "base.toml", "seed = 5\n")
    path = write(tmp_path / "mine" / "top.toml", 'base = "base.toml"\n')
    config = load_config(path)
    assert config.seed == 5
    monkeypatch.chdir(tmp_path / "mine")
    assert RunConfig.model_validate(config.model_dump()) == config


def test_files_that_are_not_there_are_named_before_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("rankings")
    for name, key in (
        ("prompts.jsonl", "corpus.prompts"),
        ("sft.jsonl", "corpus.sft"),
        ("sets.jsonl", "rank.sets"),
        ("rankings.jsonl", "rank.rankings"),
    ):
        with pytest.raises(InputError, match=f"{name}: does not exist; set {key}"):
            check_user_files(config)
        (tmp_path / name).write_text("{}\n")
    check_user_files(config)
    check_user_files(load_config("demo"))


def test_a_base_model_that_is_not_whole_is_named_before_any_stage(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    config = load_config("demo", [f"base_model.path={folder}"])
    for missing, made in (
        ("does not exist", ""),
        (r"has no config\.json", "config.json"),
        ("has no weights", "model-00001-of-00002.safetensors"),
        ("has no tokenizer", "tokenizer.json"),
    ):
        with pytest.raises(InputError, match=f"{missing}.*; set base_model.path to"):
            check_user_files(config)
        folder.mkdir(exist_ok=True)
        (folder / made).touch()
    check_user_files(config)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no directory"):
        check_user_files(load_config("demo", [f"base_model.path={tmp_path / 'file'}"]))


def test_base_works_for_a_deployment_parameter_too(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", "seed = 7\n[ppo]\nkl_coef = 0.3\n")
    config = RunConfig.model_validate({"base": base, "ppo": {"discount": 0.5}})
    assert (config.seed, config.ppo.kl_coef, config.ppo.discount) == (7, 0.3, 0.5)


def test_what_a_batch_keeps_of_a_config_runs_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: paths that mean another file where the ranking page was started; a base that is gone.
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    Path("base.toml").write_text('base = "rankings"\n[sft]\nlearning_rate = 1\n')
    Path("mine.toml").write_text('base = "base.toml"\n[base_model]\npath = "model"\n')
    config = load_config("mine.toml")
    Path("batch.json").write_text(portable_json(config))
    Path("base.toml").unlink()
    monkeypatch.chdir(tmp_path)
    again = load_config("mine/batch.json")
    assert again.rank.rankings == str(tmp_path / "mine" / "rankings.jsonl")
    assert again.base_model.path == str(tmp_path / "mine" / "model")
    assert (again.base, again.corpus.pretrain, again.sft.learning_rate) == ("", "", 1.0)
    assert portable_json(again) == (tmp_path / "mine" / "batch.json").read_text()


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("[]", "not a config"), ('{"sed": 1}', "seed?")]
)
def test_a_json_config_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "batch.json", text)
    with pytest.raises(InputError, match=message):
        load_config(path)


def test_people_and_judges_rank_what_simulated_annotators_do_not_know() -> None:
    files = ["corpus.source=files", "corpus.prompts=p", "corpus.sft=s"]
    assert load_config("demo", [*files, "rank.ranker=human"]).rank.ranker == "human"
    judge = ["judge.url=http://127.0.0.1:1/v1", "judge.model=m"]
    assert load_config("demo", [*files, *judge, "rank.ranker=judge"]).rank.ranker == "judge"
    with pytest.raises(InputError, match="judge"):
        load_config("demo", ["rank.ranker=judge"])
    with pytest.raises(InputError, match=r"'file', 'human' or 'judge'"):
        load_config("demo", ["rank.ranker=crowd"])


def test_what_comes_before_the_sampling_is_that_of_the_demo() -> None:
    # Guards: a person who waits for a training that is there already.
    demo, human = load_config("demo"), load_config("human")
    for name in ("corpus", "base_model", "model", "pretrain", "sft", "seed", "threads", "device"):
        assert getattr(human, name) == getattr(demo, name), name


def test_override_values_are_typed_as_in_toml() -> None:
    assert parse_override("a.b=1").values == {"a": {"b": 1}}
    assert parse_override("a.b = [1, 2]").values == {"a": {"b": [1, 2]}}
    assert parse_override("a=true").values == {"a": True}
    assert parse_override("a=word").values == {"a": "word"}


def test_merge_leaves_its_arguments_alone() -> None:
    low = {"a": {"b": 1}}
    assert merge(low, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert low == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("seed = = 1", ["mine.toml", "line 1"]),
        ("sed = 1", ["mine.toml", "unknown key sed", "Did you mean seed?"]),
        ("[ppo]\nkl_coeff = 1", ["mine.toml", "ppo.kl_coeff", "Did you mean ppo.kl_coef?"]),
        ('seed = "1"', ["mine.toml", "seed has the wrong type"]),
        ('[ppo]\nkl_coef = "0.2"', ["mine.toml", "ppo.kl_coef has the wrong type"]),
        ("[ppo]\nkl_coef = []", ["mine.toml", "ppo.kl_coef"]),
        ("seed = -1", ["mine.toml", "seed"]),
        ("[generate]\nresponses_per_prompt = 1", ["generate", "responses_per_prompt is 1"]),
        ("ppo = 3", ["mine.toml", "ppo"]),
        (
            "[rank]\nannotators = ['0.9', '0.8', '0.7']",
            ["mine.toml", "rank.annotators has the wrong type"],
        ),
        (
            '[corpus]\nsource = "files"\nprompts = "p"\nsft = "s"',
            ["mine.toml", "rank.ranker", 'ranker = "file"'],
        ),
        ("[evaluate]\ntemperature = inf", ["mine.toml", "evaluate", "temperature is inf"]),
        ("[sft]\nmax_grad_norm = inf", ["mine.toml", "sft", "max_grad_norm is inf", "finite"]),
        ('base = "nothing"', ["nothing", "no shipped config"]),
    ],
)
def test_a_mistake_names_file_key_and_mend(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = write(tmp_path / "mine.toml", text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_wrong_override_is_named_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", "")
    with pytest.raises(InputError, match=r"--set ppo\.nonsense=1: unknown key"):
        load_config(path, ["ppo.nonsense=1"])
    with pytest.raises(InputError, match="write key=value"):
        load_config(path, ["ppo"])


@pytest.mark.parametrize(
    ("config", "overrides", "left_out"),
    [
        ("demo", [], {"train_dpo"}),
        ("human", [], {"train_dpo"}),
        ("demo", ["dpo.num_epochs=1"], set()),
        ("rankings", [], {"sample_prompts", "generate_responses", "train_dpo"}),
        ("rankings", ["dpo.num_epochs=1"], {"sample_prompts", "generate_responses"}),
        ("smoke", [], set()),
    ],
)
def test_a_config_leaves_out_what_it_has_no_use_for(
    config: str, overrides: list[str], left_out: set[str]
) -> None:
    assert stages_not_needed(load_config(config, overrides)).keys() == left_out


def test_a_base_that_leads_back_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(InputError, match="leads back"):
        load_config(write(path, f'base = "{path}"'))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="no such file and no shipped config"):
        load_config("no-such-config")
