"""Into a folder: what a run can read, each thing once, all or nothing, families, SFT rows."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from data.corpus_config import CorpusConfig
from data.corpus_files import read_corpus
from data.errors import InputError
from data.formats import folder as folder_module
from data.formats.folder import open_folder
from data.formats.registry import FORMATS, format_of
from data.ingest import ingest
from data.lines import lines_of_file
from data.store import open_store
from tests.unit.data.formats.conftest import NOW, Take

EXAMPLES = Path(__file__).parents[4].parent / "shared" / "data" / "format_examples"
OUTCOMES = {
    "argilla_2.8.0_sdk_export_MUST_BE_REFUSED.json": ("argilla", "ARGILLA_RANKS_LOST"),
    "argilla_rest_response.json": ("argilla", "ARGILLA_NO_RECORD"),
    "hh_rlhf.jsonl": ("hh-rlhf", ""),
    "label_studio_pairwise_JSON.json": ("label-studio", ""),
    "label_studio_ranker_JSON.json": ("label-studio", ""),
    "label_studio_ranker_JSON_MIN.json": ("label-studio", ""),
    "label_studio_ranker_buckets_JSON.json": ("label-studio", "BUCKET_ORDER"),
    "llamafactory_sharegpt_ranking.json": ("llama-factory", ""),
    "oasst_message_tree.jsonl": ("oasst", ""),
    "openai_tldr_comparison.jsonl": ("openai-comparisons", ""),
    "trl_preference_conversational_explicit.jsonl": ("trl", ""),
    "trl_preference_conversational_implicit.jsonl": ("trl", ""),
    "trl_preference_standard_explicit.jsonl": ("trl", ""),
    "trl_preference_standard_implicit.jsonl": ("trl", ""),
    "trl_unpaired_preference.jsonl": ("trl", "UNPAIRED"),
    "ultrafeedback_binarized.jsonl": ("ultrafeedback", ""),
    "ultrafeedback_raw.json": ("ultrafeedback", "K_RANGE"),
}


def pair(chosen: str, rejected: str, prompt: str = "q", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def test_every_example_ends_as_it_should(take: Take) -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("no ../shared/data/format_examples beside this repository")
    assert sorted(OUTCOMES) == sorted(it.name for it in EXAMPLES.iterdir())
    for name, (form, code) in OUTCOMES.items():
        taken = take(EXAMPLES / name, direction="higher-is-better")
        assert (taken.report.format_name, taken.report.rows) == (form, 1)
        done = taken.report.accepted + taken.report.duplicate
        assert (done, list(taken.report.reasons.keys() - {"DUPLICATE"})) == (
            int(not code),
            [code] * bool(code),
        )
        assert take(EXAMPLES / name, direction="higher-is-better").added == {}


def test_a_run_can_read_the_files(take: Take) -> None:
    rows = [pair(f"good {i}", f"bad {i}", f"question number {i}") for i in range(30)]
    taken = take(rows)
    config = CorpusConfig(
        source="files",
        prompts=str(taken.folder / "prompts.jsonl"),
        sft=str(taken.folder / "sft.jsonl"),
        min_test_prompts=0,
    )
    corpus = read_corpus(config)
    assert corpus.prompts.height == 30
    assert 0 < corpus.sft.height <= 30


def test_the_same_rows_add_nothing_and_new_ones_are_added(take: Take) -> None:
    first = take([pair("a", "b")])
    before = {it.name: it.read_bytes() for it in first.folder.iterdir()}
    again = take([pair("a", "b")])
    assert (again.counts, again.added) == ((0, 1, 0, 0), {})
    assert {it.name: it.read_bytes() for it in again.folder.iterdir()} == before
    more = take([pair("a", "b"), pair("c", "d", "q2"), pair("", "d", "q3")])
    assert more.counts == (1, 1, 0, 1)
    assert [row["code"] for row in more.rows("refused")] == ["EMPTY_TEXT"]
    again = take([pair("a", "b"), pair("c", "d", "q2"), pair("", "d", "q3")])
    assert again.counts == (0, 2, 0, 1)
    assert again.added == {}
    for name, raw in before.items():
        assert (again.folder / name).read_bytes().startswith(raw)


def test_what_was_refused_is_kept_whole_with_its_place(take: Take) -> None:
    raw = b'{"prompt":"q","chosen":"a","rejected":"b"}\n\n{"chosen": "\xff\x00"\n'
    taken = take(raw, "trl", name="mine.jsonl")
    assert taken.rows("refused") == [
        {
            "source": "mine.jsonl",
            "line": 3,
            "row": 2,
            "answer": 1,
            "code": "NOT_UTF8",
            "field": "",
            "message": "byte 12 is not UTF-8",
            "is_held": False,
            "raw": '{"chosen": "\ufffd\ufffd"',
        }
    ]


def test_a_text_too_long_for_our_own_rows_is_refused(take: Take) -> None:
    taken = take([pair("a" * 150_000, "b" * 150_000)])
    assert taken.reasons[0][0] == "TOO_LARGE"
    assert taken.reasons[0][2].endswith("bytes as one row of ours; the limit is 262144")


def test_a_kill_before_the_end_leaves_the_old_files(take: Take, tmp_path: Path) -> None:
    first = take([pair("a", "b")])
    before = {it.name: it.read_bytes() for it in first.folder.iterdir()}

    def killed() -> None:
        with open_folder(first.folder, NOW) as folder:
            folder.add_sft([{"role": "user", "content": "x"}], "y")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert {it.name: it.read_bytes() for it in first.folder.iterdir()} == before


def test_what_a_killed_import_had_begun_is_removed_by_the_next(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take([pair("a", "b")])
    before = {it.name for it in first.folder.iterdir()}
    with monkeypatch.context() as killed:
        # A process that is killed removes nothing.
        killed.setattr(folder_module.Folder, "discard", lambda _: None)
        killed.setattr(folder_module.Folder, "commit", end_here)
        with pytest.raises(KeyboardInterrupt):
            take([pair("c", "d", "q2")])
    assert len(list(first.folder.iterdir())) == len(before) + 4
    take([pair("a", "b")])
    assert {it.name for it in first.folder.iterdir()} == before


def end_here(_: object) -> None:
    raise KeyboardInterrupt


def test_a_kill_between_two_files_is_mended_by_the_next_import(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    take([pair("a", "b")])
    rename = Path.replace
    names: list[str] = []

    def killed(path: Path, target: Path) -> Path:
        if target.name == "rankings.jsonl":
            raise KeyboardInterrupt
        names.append(target.name)
        return rename(path, target)

    rows = [pair("a", "b", annotator="x"), pair("c", "d", "q2")]
    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        take(rows)
    assert names == ["prompts.jsonl", "sft.jsonl", "sets.jsonl"]
    monkeypatch.setattr(Path, "replace", rename)
    taken = take(rows)
    assert taken.counts == (2, 0, 0, 0)
    assert taken.added == {"rankings.jsonl": 2}
    assert len(taken.rows("sets")) == 2


def test_a_half_line_of_a_killed_writer_does_not_swallow_a_row(take: Take) -> None:
    taken = take([pair("a", "b")])
    path = taken.folder / "rankings.jsonl"
    path.write_bytes(path.read_bytes() + b'{"half')
    assert take([pair("c", "d", "q2")]).counts == (1, 0, 0, 0)
    assert [line[:6] for line in path.read_bytes().splitlines()][1:] == [b'{"half', b'{"acti']


def test_a_bad_file_in_the_folder_is_a_mistake_of_its_owner(take: Take) -> None:
    taken = take([pair("a", "b")])
    (taken.folder / "sets.jsonl").write_text('{"schema": "set/1"}\n')
    with pytest.raises(InputError, match=r"sets\.jsonl:1: field 'campaign': missing"):
        take([pair("c", "d", "q2")])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot be"),
        open_folder(tmp_path / "file" / "x", NOW) as it,
    ):
        it.add_sft([{"role": "user", "content": "x"}], "y")


def test_dialogues_that_begin_alike_are_one_family_but_a_named_family_wins(take: Take) -> None:
    folder = take([pair("a", "b")]).folder
    named = {"prompt": "named", "family": "mine"}
    (folder / "prompts.jsonl").write_bytes(
        (folder / "prompts.jsonl").read_bytes() + json.dumps(named).encode() + b"\n"
    )
    long = [
        {"role": "user", "content": " Q "},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "and?"},
    ]
    replies = [[{"role": "assistant", "content": it}] for it in "cd"]
    taken = take(
        [
            {"prompt": long, "chosen": replies[0], "rejected": replies[1]},
            {
                "prompt": [{"role": "user", "content": "Named"}],
                "chosen": replies[0],
                "rejected": replies[1],
            },
        ]
    )
    families = [row["family"] for row in taken.rows("prompts")]
    assert families[0] == families[2]
    assert families[3] == families[1] == "mine"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x"}, "fits no format; say --format with one of ranking/1, csv, label-studio"),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "response": "a", "grade": 1},
            "fits trl and graded",
        ),
    ],
)
def test_an_unsure_format_is_asked_about(take: Take, row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        take([row])


def test_formats_are_asked_for_by_name(tmp_path: Path, take: Take) -> None:
    with pytest.raises(InputError, match="no such format; use one of ranking/1, csv"):
        format_of(tmp_path, "xml")
    file = tmp_path / "rows"
    file.write_bytes(b"{}")
    assert all(format_of(file, name) is form for name, form in FORMATS.items())
    assert take([], "trl").counts == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "it holds no row; give JSON lines"),
        (b"[]", "it holds no row"),
        (b"{", "its rows cannot be read: "),
        ("{}".encode("utf-16"), "its rows cannot be read: byte 0 is not UTF-8"),
        (b"\x1f\x8b\x08\x00", "this is gzip; unpack or export it"),
        (b"PK\x03\x04xl", "this is a zip or Excel file"),
        (b"PAR1\x15", "this is Parquet"),
    ],
)
def test_a_file_that_nobody_can_read_says_what_it_is(take: Take, raw: bytes, words: str) -> None:
    # Guards: "say --format", where no format helps.
    with pytest.raises(InputError, match=words):
        take(raw, "auto")


def test_a_row_of_many_refused_answers_is_kept_once(take: Take) -> None:
    # Guards: a page of a thousand records, written a thousand times.
    records = [{"fields": {"prompt": "q"}, "responses": []} for _ in range(50)]
    taken = take([{"items": records, "total": 50}], "argilla", name="page.json")
    raws = [row["raw"] for row in taken.rows("refused")]
    assert len(raws) == 50
    assert json.loads(raws[0])["total"] == 50
    assert len(set(raws[1:])) == 1
    assert raws[1].startswith("as above, sha256 ")


def test_a_row_of_an_array_in_one_line_is_named_by_its_number(take: Take) -> None:
    rows = [pair("a", "b"), pair("a", "a")]
    taken = take(json.dumps(rows).encode(), "trl", name="rows.json")
    (example,) = taken.report.examples.values()
    assert "rows.json:1 (row 2):" in example


def test_our_own_rows_pass_the_same_door(take: Take) -> None:
    first = take([pair("a", "b"), pair("c", "d", "q2")])
    sets, rankings = first.rows("sets"), first.rows("rankings")
    for name in ("sets", "rankings", "prompts", "sft"):
        (first.folder / f"{name}.jsonl").unlink()
    bad = {
        **rankings[0],
        "event_id": "0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f",
        "annotator_id": "x",
        "tiers": {**rankings[0]["tiers"], "r_no": 3},
    }
    taken = take(
        [rankings[0], *sets, *rankings, rankings[1], bad, {"schema": "set/2"}], "ranking/1"
    )
    assert taken.counts == (4, 2, 0, 2)
    assert [it[0] for it in taken.reasons] == ["FOREIGN_RESPONSE", "SCHEMA_VERSION"]
    assert (taken.rows("sets"), taken.rows("rankings")) == (sets, rankings)
    assert take([{**sets[0], "responses": sets[1]["responses"]}], "ranking/1").counts == (
        0,
        0,
        0,
        1,
    )


def test_a_doubtful_row_of_ours_waits(take: Take) -> None:
    first = take([pair("a", "b")])
    row = first.rows("rankings")[0]
    best, worst = sorted(row["tiers"], key=row["tiers"].__getitem__)
    doubtful = {
        **row,
        "event_id": "0b0f4a56-3a0e-4b0e-9f0a-0a8f5c1d2e3f",
        "annotator_id": "x",
        "quality": {best: 1, worst: 7},
    }
    taken = take([doubtful], "ranking/1")
    assert taken.counts == (0, 0, 1, 0)
    assert taken.reasons[0][0] == "QUALITY_CONTRADICTS_RANK"


def test_only_unbeaten_responses_become_sft_rows_also_over_files(take: Take) -> None:
    take([pair("a", "b", annotator="x")])
    taken = take([pair("b", "c", annotator="y")])
    assert [row["response"] for row in taken.rows("sft")] == ["a"]


def test_rows_are_on_the_disk_before_they_have_their_name(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(
        folder_module.os, "fsync", lambda number: synced.append(number) or os.fstat(number)
    )
    take([pair("a", "b")])
    assert len(synced) == 5


def test_the_clock_of_the_call_is_used(tmp_path: Path) -> None:
    with open_folder(tmp_path, datetime(2020, 1, 1, tzinfo=UTC)) as folder:
        assert folder.rankings.now.year == 2020


def test_the_ledger_takes_every_row_of_the_largest_sets(take: Take, tmp_path: Path) -> None:
    rows = [
        {
            "instruction": f"question number {number}",
            "completions": [
                {"response": f"reply {place}", "overall_score": 1 + place} for place in range(9)
            ],
        }
        for number in range(30)
    ]
    taken = take(rows, direction="higher-is-better")
    files = {name: str(taken.folder / f"{name}.jsonl") for name in ("prompts", "sft")}
    corpus = read_corpus(CorpusConfig(source="files", min_test_prompts=0, **files))
    corpus.prompts.write_parquet(tmp_path / "prompts.parquet")
    with open_store(tmp_path / "store.duckdb", allowed=[tmp_path]) as con:
        report = ingest(
            con,
            prompts=tmp_path / "prompts.parquet",
            sets=[taken.folder / "sets.jsonl"],
            rankings=lines_of_file(taken.folder / "rankings.jsonl"),
            run_id="run",
            now=NOW,
            new_role="import",
        )
    assert (report.sets.accepted, report.rankings.accepted) == (30, 30)
