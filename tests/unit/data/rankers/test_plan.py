"""The work for people: shares, gold sets and retests, all valid and all determined."""

import json
import math
from collections import Counter

import pytest

from data.jsonl import RowError
from data.rankers.human_config import HumanConfig
from data.rankers.plan import DAMAGED, Plan, plan_sets
from data.sets import KnownSets, ResponseSet, RunPrompts, check_set, parse_set, run_prompt
from tests.unit.data.rankers.make import make_set

CONFIG = HumanConfig(gold_fraction=0.2, retest_fraction=0.1)
# Each topic has words of its own, as prompts of a real corpus do.
TOPICS = {
    "kettle": "boil water lid steam spout descale vinegar rinse mineral whistle",
    "bicycle": "chain wheel brake saddle pedal spoke pump tyre gear handlebar",
    "violin": "bow rosin string bridge tune peg melody chin scroll varnish",
    "garden": "soil seed prune compost hoe sprout mulch weed blossom harvest",
    "ledger": "invoice audit balance debit credit fiscal voucher receipt payroll tax",
}


def reply(topic: str, number: int) -> str:
    words = TOPICS[topic].split()
    return " ".join(words[number:] + words[:number] + [f"{topic}{number}."])


def some_sets(count: int, *, size: int = 4) -> list[ResponseSet]:
    names = list(TOPICS)
    return [
        make_set(
            f"How about the {names[n % 5]}, case {n}?",
            [f"{reply(names[n % 5], k)} Case {n}." for k in range(size)],
        )
        for n in range(count)
    ]


def of_purpose(plan: Plan, purpose: str) -> list[ResponseSet]:
    return [it for it in map(parse_set, plan.added) if it.purpose == purpose]


def test_shares_are_as_asked():
    sets = some_sets(100)
    plan = plan_sets(sets, CONFIG, seed=0)
    gold, retests = of_purpose(plan, "gold"), of_purpose(plan, "retest")
    assert (len(gold), len(retests), len(plan.added)) == (20, 10, 30)
    given = Counter(plan.want[it.set_id] for it in sets)
    assert given == {1: 85, 3: 15}
    assert {plan.want[it.set_id] for it in gold} == {3}
    assert {plan.want[it.set_id] for it in retests} == {1}
    assert plan.want.keys() == {it.set_id for it in [*sets, *gold, *retests]}
    assert plan.wanted == 100
    assert plan_sets(sets, HumanConfig(wanted_rankings=7), seed=0).wanted == 7


def test_retests_repeat_sets_of_one_annotator():
    sets = {it.set_id: it for it in some_sets(60)}
    plan = plan_sets(list(sets.values()), CONFIG, seed=0)
    for retest in of_purpose(plan, "retest"):
        original = sets[retest.retest_of]
        assert plan.want[original.set_id] == 1
        assert retest.responses == original.responses
        assert retest.shown_sha256 == original.shown_sha256
        assert retest.set_id not in sets
    everything_shared = HumanConfig(shared_fraction=1.0, retest_fraction=1.0)
    assert of_purpose(plan_sets(list(sets.values()), everything_shared, seed=0), "retest") == []


@pytest.mark.parametrize("size", [2, 4, 9])
def test_gold_differs_from_its_original_in_one_damaged_response(size):
    sets = some_sets(100, size=size)
    by_prompt = {it.prompt_id: it for it in sets}
    kinds: Counter[str] = Counter()
    for gold in of_purpose(plan_sets(sets, HumanConfig(gold_fraction=1.0), seed=0), "gold"):
        original = by_prompt[gold.prompt_id]
        clean = [it for it in gold.responses if it.generator != DAMAGED]
        (bad,) = [it for it in gold.responses if it.generator == DAMAGED]
        assert len(gold.responses) == size
        assert [it for it in original.responses if it not in clean] == [
            original.responses[gold.responses.index(bad)]
        ]
        assert bad.text not in {it.text for it in original.responses}
        assert bad.response_id not in {it.response_id for it in original.responses}
        assert gold.messages == original.messages
        kinds[kind_of(bad.text, original.responses[gold.responses.index(bad)].text)] += 1
    assert kinds.keys() == {"cut", "scrambled", "foreign"}
    assert min(kinds.values()) >= 15
    assert kinds.total() == 100


def kind_of(damaged: str, text: str) -> str:
    if text.startswith(damaged):
        assert len(damaged.split()) == 3
        return "cut"
    if sorted(damaged.split()) == sorted(text.split()):
        return "scrambled"
    assert not set(damaged.split()[:8]) & set(text.split()[:8])  # of another topic
    return "foreign"


def test_the_door_takes_the_given_and_the_added_sets():
    sets = some_sets(40)
    prompts = {
        it.prompt_id: run_prompt(it.prompt_id, f"f{n}", "train", it.messages)
        for n, it in enumerate(sets)
    }
    known = KnownSets(
        prompts=RunPrompts(by_id=prompts, by_norm={it.norm_sha256: it for it in prompts.values()})
    )
    plan = plan_sets(sets, HumanConfig(gold_fraction=1.0, retest_fraction=1.0), seed=0)
    assert len(plan.added) == 40 + 34
    for one in [*sets, *(parse_set(json.loads(json.dumps(row))) for row in plan.added)]:
        check_set(one, known)
        known.add(one)
    for row in plan.added:
        with pytest.raises(RowError, match="same set, same content"):
            check_set(parse_set(row), known)


def test_the_plan_depends_on_sets_config_and_seed_alone():
    sets = some_sets(50)
    plan = plan_sets(sets, CONFIG, seed=0)
    assert plan_sets(sets[::-1], CONFIG, seed=0) == plan
    assert json.dumps(plan.added) == json.dumps(plan_sets(sets[::-1], CONFIG, seed=0).added)
    other = plan_sets(sets, CONFIG, seed=1)
    assert other.want != plan.want
    assert {row["set_id"] for row in other.added} != {row["set_id"] for row in plan.added}
    ids = [row["set_id"] for row in plan.added]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_sets(count):
    sets = some_sets(count)
    plan = plan_sets(sets, HumanConfig(), seed=0)
    assert plan.added == ()
    assert sorted(plan.want) == sorted(it.set_id for it in sets)
    assert plan.wanted == count
    everything = HumanConfig(gold_fraction=1.0, retest_fraction=1.0, shared_fraction=0.0)
    assert len(plan_sets(sets, everything, seed=0).added) == 2 * count


def test_no_gold_where_no_damage_is_plain():
    """Replies of a few words, all alike: a cut or a swap would prove nothing."""
    sets = [make_set(f"Is {n} even?", [f"Yes, {n} is.", f"No, {n} is not."]) for n in range(20)]
    assert of_purpose(plan_sets(sets, HumanConfig(gold_fraction=1.0), seed=0), "gold") == []


def test_damage_never_makes_a_response_of_the_set():
    """The cut of the first is the second; of each two of one prompt, neither is foreign."""
    words = TOPICS["kettle"]
    cut = " ".join(words.split()[:3])
    sets = [make_set(f"Kettle {n}?", [words, cut, f"  {cut} ."]) for n in range(30)]
    gold = of_purpose(plan_sets(sets, HumanConfig(gold_fraction=1.0), seed=0), "gold")
    assert len(gold) == 30
    assert cut not in {it.text for one in gold for it in one.responses if it.generator == DAMAGED}

    twice = [make_set("Tea?", [f"Boil {n}.", f"Steep {n}."]) for n in range(2)]
    twice += [make_set("Tea?", ["Kurz.", "Lang."]), make_set("Tea?", ["Vite.", "Peu."])]
    assert of_purpose(plan_sets(twice, HumanConfig(gold_fraction=1.0), seed=0), "gold") == []


def test_gold_of_a_script_without_spaces():
    text = "请先关闭电源,然后拔下插头,等待十分钟,再重新接通电源并检查指示灯是否亮起"
    sets = [make_set(f"灯不亮怎么办{n}", [f"{text}{n}", f"{n}{text}"]) for n in range(12)]
    gold = of_purpose(plan_sets(sets, HumanConfig(gold_fraction=1.0), seed=0), "gold")
    assert len(gold) == 12
    bad = [it.text for one in gold for it in one.responses if it.generator == DAMAGED]
    assert {len(it) for it in bad} == {6, len(sets[0].responses[0].text), len(text) + 2}


def test_sets_that_measure_are_handed_out_as_they_are():
    gold = parse_set(plan_sets(some_sets(10), CONFIG, seed=0).added[0])
    plan = plan_sets([gold], HumanConfig(gold_fraction=1.0, shared_fraction=1.0), seed=0)
    assert plan == Plan(added=(), want={gold.set_id: 1}, wanted=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wanted_rankings": -1}, "wanted_rankings is -1"),
        ({"shared_fraction": 1.1}, r"shared_fraction is 1\.1"),
        ({"gold_fraction": math.nan}, "gold_fraction is nan"),
        ({"retest_fraction": -0.1}, r"retest_fraction is -0\.1"),
        ({"shared_by": 0}, "shared_by is 0"),
        ({"deadline_hours": math.inf}, "deadline_hours is inf"),
        ({"retest_after_hours": -1.0}, r"retest_after_hours is -1\.0"),
    ],
)
def test_human_config_names_the_field(change, message):
    with pytest.raises(ValueError, match=message):
        HumanConfig(**change)
