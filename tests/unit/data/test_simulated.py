"""The simulated annotators, on sets rendered from the grammar, and the ranker that is a file."""

import json
import logging
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from data.corpus import Family, build_corpus, render_reply
from data.corpus_config import CorpusConfig
from data.corpus_frames import decode_messages
from data.errors import InputError
from data.gold import score_sets
from data.grammar import load_grammar
from data.identity import response_id, set_id
from data.prompts import SampleConfig, sample_prompts
from data.rankers.config import RankConfig
from data.rankers.file import ranking_files
from data.rankers.noise import calibrate, compare, form_opinion, gold_tiers, is_strict, rank
from data.rankers.simulated import rank_sets
from data.rankings import KnownRankings, SetFacts, validate_ranking
from data.sets import Response, ResponseSet

GRAMMAR = load_grammar()
CONFIG = RankConfig()
LOG = logging.getLogger(__name__)  # figures: --log-cli-level=INFO


def render_set(prompt_id: str, family: Family, messages: list[dict[str, str]]) -> ResponseSet:
    """Four replies of hashed styles, as a model of the demo would sample them."""
    texts: dict[str, str] = {}
    for number in range(16):
        style = GRAMMAR.styles[hash_of(f"{prompt_id}{number}") % 4]
        text = render_reply(GRAMMAR, style, family, f"{prompt_id}|{number}")
        texts[response_id(prompt_id, text)] = text
        if len(texts) == 4:
            break
    return ResponseSet(
        set_id=set_id(prompt_id, texts),
        prompt_id=prompt_id,
        messages=messages,
        responses=tuple(
            Response(response_id=name, text=text, generator="sft") for name, text in texts.items()
        ),
        guideline_version="1",
        campaign="demo",
        purpose="main",
        retest_of=None,
    )


def hash_of(text: str) -> int:
    return int(response_id("style", text)[2:], 16)


@pytest.fixture(scope="module")
def sets():
    prompts = build_corpus(CorpusConfig()).prompts
    sampled = sample_prompts(prompts, SampleConfig(train=256, validation=64), seed=0).prompts
    return [
        render_set(
            row["prompt_id"], Family(*row["family_id"].split("/")), decode_messages(row["messages"])
        )
        for row in sampled.iter_rows(named=True)
    ]


@pytest.fixture(scope="module")
def scores(sets):
    return score_sets(sets, grammar=GRAMMAR)


@pytest.fixture(scope="module", params=[0, 1, 2])
def outcome(request, sets, scores):
    return rank_sets(sets, scores, CONFIG, seed=request.param)


def test_annotators_are_as_good_as_they_should_be(outcome):
    for report in outcome.annotators:
        LOG.info("%s", report)
        assert abs(report.agreement - report.target) <= 0.02
        assert report.count_sets == 104
    sigmas = [report.sigma for report in outcome.annotators]
    assert sigmas == sorted(sigmas)


def test_they_agree_with_each_other_as_people_do(outcome):
    LOG.info("mutual agreement %s", outcome.mutual_agreement)
    assert 0.65 <= outcome.mutual_agreement <= 0.80


def test_every_set_is_ranked_and_some_by_three(outcome, sets):
    counts: dict[str, int] = {}
    for row in outcome.rows:
        counts[row["set_id"]] = counts.get(row["set_id"], 0) + 1
    assert set(counts) == {it.set_id for it in sets}
    assert sorted(set(counts.values())) == [1, 3]
    assert list(counts.values()).count(3) == outcome.count_shared == round(0.15 * len(sets))


def test_gold_ties_stay_ties(outcome, sets, scores):
    by_id = {it.set_id: it for it in sets}
    for row in outcome.rows:
        ids = [it.response_id for it in by_id[row["set_id"]].responses]
        tiers = gold_tiers({name: scores[name] for name in ids}, CONFIG.tie_gap)
        for one in ids:
            for other in ids:
                same = tiers[one] == tiers[other]
                assert same == (row["tiers"][one] == row["tiers"][other])


def test_the_door_accepts_every_row(outcome, sets):
    facts = {
        it.set_id: SetFacts(
            response_ids=frozenset(one.response_id for one in it.responses),
            generators=frozenset({"sft"}),
            count_words=it.count_words,
            shown_sha256=it.shown_sha256,
        )
        for it in sets
    }
    # As people, whose reading time is looked at.
    now = datetime(2026, 1, 1, tzinfo=UTC)
    known = KnownRankings(now=now, new_role="annotator", sets=facts)
    for row in outcome.rows:
        known.add(validate_ranking(json.loads(json.dumps(row)), known))
    assert len({row["event_id"] for row in outcome.rows}) == len(outcome.rows)


def test_one_annotator_works_on_one_set_at_a_time(outcome):
    for name in {row["annotator_id"] for row in outcome.rows}:
        own = [row for row in outcome.rows if row["annotator_id"] == name]
        assert all(one["submitted_at"] <= two["started_at"] for one, two in pairwise(own))
        firsts = [row["display_order"].index(min(row["display_order"])) for row in own]
        assert set(firsts) == {0, 1, 2, 3}


def test_order_of_the_sets_changes_nothing(sets, scores):
    assert rank_sets(sets[::-1], scores, CONFIG, seed=0) == rank_sets(sets, scores, CONFIG, seed=0)


def test_an_annotator_never_answers_one_set_in_two_ways(sets, scores):
    """Whatever changes between runs: the ledger would refuse the second answer."""
    some = sets[:20]
    variants = [
        rank_sets(some, scores, CONFIG, seed=0),
        rank_sets(some, scores, CONFIG, seed=1),
        rank_sets(some, scores, RankConfig(tie_gap=0.5), seed=0),
        rank_sets(some[:19], scores, CONFIG, seed=0),
    ]
    rows = [row for it in variants for row in it.rows]
    answers = {(row["annotator_id"], row["set_id"]): row for row in rows}
    assert all(answers[row["annotator_id"], row["set_id"]] == row for row in rows)
    first, other_seed, other_gap, fewer = (
        {report.annotator_id for report in it.annotators} for it in variants
    )
    assert not first & other_seed
    assert first - other_gap
    assert first - fewer


def test_few_sets_and_no_strict_pair(sets, scores):
    level = dict.fromkeys(scores, 1.0)
    outcome = rank_sets(sets[:2], level, RankConfig(annotators=(0.9,), shared_by=1), seed=0)
    assert outcome.mutual_agreement is None
    assert outcome.annotators[0].agreement is None
    assert all(set(row["tiers"].values()) == {1} for row in outcome.rows)
    assert rank_sets([], {}, CONFIG, seed=0).rows == ()


def test_ties_are_transitive():
    tiers = gold_tiers({"a": 1.0, "b": 0.95, "c": 0.91, "d": 0.9, "e": 0.85, "f": -1.0}, 0.1)
    assert tiers == {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 3}
    assert gold_tiers({"a": 0.9, "b": 0.8}, 0.1) == {"a": 1, "b": 2}  # 0.9 - 0.8 < 0.1 in floats
    assert gold_tiers({"a": 0.9, "b": 0.9}, 0.0) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("a", "b", "tie_gap", "strict"),
    [
        (0.9, 0.8, 0.1, True),  # 0.9 - 0.8 < 0.1 in floats
        (0.8, 0.9, 0.1, True),
        (0.9, 0.81, 0.1, False),
        (0.3, 0.1 + 0.2, 0.0, False),
        (0.9, 0.8, 0.0, True),
    ],
)
def test_strict_pairs_differ_by_the_gap(a, b, tie_gap, strict):
    assert is_strict(a, b, tie_gap) is strict
    assert (len(set(gold_tiers({"a": a, "b": b}, tie_gap).values())) == 2) is strict


def test_perfect_annotator():
    opinion = form_opinion({"a": 0.0, "b": 1.0}, CONFIG, seed=0, annotator="0", set_id="s")
    assert calibrate([opinion], 1.0) == 0.0
    assert rank(opinion, 0.0) == {"a": 2, "b": 1}


def test_pairs_tied_by_either_do_not_count():
    pairs = compare({"a": 1, "b": 2, "c": 2}, {"a": 2, "b": 1, "c": 2})
    assert (pairs.alike, pairs.total) == (0, 1)
    assert pairs.agreement == 0.0


def test_files_are_checked(tmp_path):
    sets, rankings = tmp_path / "sets.jsonl", tmp_path / "rankings.jsonl"
    config = RankConfig(ranker="file", sets=str(sets), rankings=str(rankings))
    with pytest.raises(InputError, match=r"sets\.jsonl: does not exist; set rank\.sets"):
        ranking_files(config)
    sets.write_text("{}\n")
    rankings.touch()
    with pytest.raises(InputError, match=r"rankings\.jsonl: is empty; set rank\.rankings"):
        ranking_files(config)
    rankings.write_text("{}\n")
    assert ranking_files(config).rankings == rankings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranker": "oracle"}, "ranker is 'oracle'"),
        ({"ranker": "file", "sets": "x"}, "rankings is empty"),
        ({"sets": "x"}, "sets is set"),
        ({"annotators": ()}, "annotators is empty"),
        ({"annotators": (0.5,), "shared_by": 1}, "annotators has 0.5"),
        ({"tie_gap": -0.1}, "tie_gap is -0.1"),
        ({"common_noise": 1.5}, "common_noise is 1.5"),
        ({"shared_fraction": -1.0}, "shared_fraction is -1.0"),
        ({"shared_by": 5}, "shared_by is 5"),
    ],
)
def test_rank_config_names_the_field(change, message):
    with pytest.raises(ValueError, match=message):
        RankConfig(**change)
