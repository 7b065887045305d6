"""The chat template."""

import pytest

from data.dialogue import render_dialogue, render_prompt, turn_text

ASK = [{"role": "user", "content": "my tent is late."}]


def test_one_turn():
    assert render_prompt(ASK) == "User: my tent is late.\n\nAssistant:"


def test_all_speakers():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
    ]
    expected = "System: be brief\n\nUser: hi\n\nAssistant: hello\n\nUser: bye\n\nAssistant:"
    assert render_prompt(messages) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\n\nb", "a\nb"),
        ("a\r\n\r\nb", "a\nb"),
        ("a\n \t\n\n\nb\nc", "a\nb\nc"),
        ("\n\n a \n", "a"),
        ("a\n  b", "a\n  b"),
    ],
)
def test_no_blank_line_inside_a_turn(content, expected):
    assert turn_text(content) == expected


def test_a_dialogue_is_prompt_space_response():
    assert render_dialogue(ASK, "Sorry.") == render_prompt(ASK) + " Sorry."


@pytest.mark.parametrize("messages", [[], [*ASK, {"role": "assistant", "content": "hm"}]])
def test_the_user_speaks_last(messages):
    with pytest.raises(ValueError, match="last message must be from the user"):
        render_prompt(messages)


def test_unknown_role():
    with pytest.raises(ValueError, match="role is 'bot'"):
        render_prompt([{"role": "bot", "content": "hm"}, *ASK])
