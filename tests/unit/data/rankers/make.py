"""Sets as generate_responses makes them."""

from data.identity import prompt_id, response_id, set_id
from data.sets import Response, ResponseSet


def make_set(question: str, texts: list[str], *, generator: str = "sft") -> ResponseSet:
    """A main set with ids derived from content."""
    messages = [{"role": "user", "content": question}]
    prompt = prompt_id(messages)
    responses = tuple(
        Response(response_id=response_id(prompt, text), text=text, generator=generator)
        for text in texts
    )
    return ResponseSet(
        set_id=set_id(prompt, [it.response_id for it in responses]),
        prompt_id=prompt,
        messages=messages,
        responses=responses,
        guideline_version="1",
        campaign="test",
        purpose="main",
        retest_of=None,
    )


def make_sets(count: int) -> list[ResponseSet]:
    """Sets of four replies of different lengths."""
    return [
        make_set(f"What of lamp {n}?", [f"Lamp {n}: {'turn it off. ' * k}" for k in (1, 2, 3, 4)])
        for n in range(count)
    ]
