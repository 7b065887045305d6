"""Sampling: the right distribution, the right ends, and nothing else."""

import math
from collections import Counter

import pytest

from rlhf_core.generation import Response, generate, generate_distinct
from rlhf_core.rwkv.model import RWKV
from rlhf_core.seeding import generator_for
from tests.oracles.responses_enumerated import response_probabilities
from tests.unit.rlhf_core.builders import EOS, PAD, constant_policy, tiny_policy

PROMPTS = [[2, 3, 4], [4], [3, 3]]


def draw(
    policy: RWKV,
    prompts: list[list[int]],
    count: int,
    *,
    seed: int = 0,
    max_tokens: int = 6,
    temperature: float = 1.0,
) -> list[list[Response]]:
    return generate(
        policy,
        prompts,
        responses_per_prompt=count,
        max_tokens=max_tokens,
        temperature=temperature,
        pad_id=PAD,
        eos_id=EOS,
        generator=generator_for(seed, "sample"),
    )


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.6])
def test_whole_responses_have_their_exact_frequencies(temperature: float) -> None:
    # Guards: any hidden top-k, a temperature applied once, a state of another row after ends.
    policy = tiny_policy(2, vocab_size=5)
    count = 6000
    drawn = draw(policy, PROMPTS, count, max_tokens=3, temperature=temperature)
    for prompt, responses in zip(PROMPTS, drawn, strict=True):
        found = Counter(tuple(response.ids) for response in responses)
        expected = response_probabilities(
            policy, prompt, max_tokens=3, temperature=temperature, pad_id=PAD, eos_id=EOS
        )
        assert sum(expected.values()) == pytest.approx(1)
        assert found.keys() <= expected.keys()
        for ids, p in expected.items():
            bound = 4.5 * math.sqrt(count * p * (1 - p)) + 1
            assert abs(found[ids] - count * p) < bound, (prompt, ids)


def test_equal_seeds_give_equal_responses() -> None:
    # Guards: a draw from the global generator.
    policy = tiny_policy()
    assert draw(policy, PROMPTS, 3) == draw(policy, PROMPTS, 3)
    assert draw(policy, PROMPTS, 3) != draw(policy, PROMPTS, 3, seed=1)


def test_eos_is_kept_and_ends_the_response() -> None:
    # Guards: a reward model that never sees the end, a row that goes on after it.
    responses = draw(constant_policy([0.0, 1.0, 1.0, 1.0]), [[2]], 200)[0]
    assert {response.ended for response in responses} == {True, False}
    for response in responses:
        assert response.ended == (EOS in response.ids) == (response.ids[-1] == EOS)
        assert response.ids.count(EOS) <= 1
        assert response.ended or len(response.ids) == 6


def test_eos_at_the_very_last_step_counts_as_ended() -> None:
    # Guards: an ended flag taken from the length.
    responses = draw(constant_policy([0.0, 0.0, 0.0]), [[2]], 100, max_tokens=1)[0]
    assert {(*response.ids, response.ended) for response in responses} == {
        (EOS, True),
        (2, False),
    }


def test_padding_is_never_sampled() -> None:
    # Guards: PAD in a response, which no length would count right.
    drawn = draw(constant_policy([50.0, 0.0, 0.0, 0.0]), [[2]], 200)
    assert not any(PAD in response.ids for response in drawn[0])


def test_a_low_temperature_takes_the_likeliest_token() -> None:
    # Guards: a temperature that multiplies.
    drawn = draw(constant_policy([0.0, 0.0, 0.1, 0.0]), [[2]], 50, temperature=1e-3)
    assert all(response.ids == [2] * 6 for response in drawn[0])


def test_samples_of_a_prompt_differ() -> None:
    # Guards: K copies of one sample.
    for responses in draw(constant_policy([0.0] * 50), PROMPTS, 6):
        assert len({response.ids[0] for response in responses}) > 2
        assert len({tuple(response.ids) for response in responses}) == 6


def test_answers_stay_with_their_prompts() -> None:
    # Guards: an order lost when ended rows leave the batch.
    policy = tiny_policy(2)
    alone = [
        response_probabilities(
            policy, prompt, max_tokens=1, temperature=0.05, pad_id=PAD, eos_id=EOS
        )
        for prompt in PROMPTS
    ]
    likeliest = [max(p, key=lambda ids: p[ids]) for p in alone]
    assert len(set(likeliest)) > 1
    for responses, p in zip(
        draw(policy, PROMPTS, 40, max_tokens=1, temperature=0.05), alone, strict=True
    ):
        assert all(p[tuple(response.ids)] > 1e-6 for response in responses)


class Decoder:
    """Token ids to text by a table; counts its calls."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.calls = 0

    def __call__(self, ids: list[int]) -> str:
        self.calls += 1
        return "".join(self.texts[token] for token in ids)


def draw_distinct(
    decode: Decoder, *, count: int = 4, prompts: int = 1, max_tokens: int = 1
) -> list[list[str]]:
    return generate_distinct(
        constant_policy([0.0] * len(decode.texts)),
        [[2]] * prompts,
        decode,
        responses_per_prompt=count,
        max_tokens=max_tokens,
        temperature=1.0,
        pad_id=PAD,
        eos_id=EOS,
        generator=generator_for(0, "distinct"),
    )


def test_texts_that_differ_in_white_space_alone_are_one() -> None:
    # Guards: a ranking between a text and itself.
    decode = Decoder(["", "", "a b", "a  b", " a\n b ", "c"])
    found = draw_distinct(decode, count=4)[0]
    assert sorted(" ".join(text.split()) for text in found) == ["a b", "c"]
    assert decode.calls == 16


@pytest.mark.parametrize("count", [2, 5])
def test_at_most_four_tries_a_response(count: int) -> None:
    # Guards: an endless search with a policy that says one thing.
    decode = Decoder(["", "", "same"])
    assert draw_distinct(decode, count=count) == [["same"]]
    assert decode.calls == 4 * count


def test_empty_texts_are_no_responses() -> None:
    # Guards: an annotator who ranks nothing.
    assert draw_distinct(Decoder(["", "", " ", "\n"])) == [[]]


def test_search_stops_when_all_are_found() -> None:
    # Guards: more than K responses, or tries for prompts that lack none.
    decode = Decoder(["", *(f"{n} " for n in range(400))])
    found = draw_distinct(decode, count=4, prompts=3, max_tokens=3)
    assert [len(texts) for texts in found] == [4, 4, 4]
    assert decode.calls == 12
    assert all(text == text.strip() for texts in found for text in texts)
