"""Families and splits."""

from collections import Counter

from data.families import Shares, family_id, normalise, split_of

SHARES = Shares(train=0.6, validation=0.2, test=0.2)


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_normalise():
    assert normalise("  \uff28ello,\n\tWORLD\u00a0! ") == "hello, world !"
    assert normalise("Stra\u00dfe") == "strasse"
    assert normalise("e\u0301") == normalise("\u00e9")
    assert normalise("\u4f60\u597d\uff0c  \u4e16\u754c") == normalise(
        "\u4f60\u597d\uff0c \u4e16\u754c"
    )


def test_family_is_the_normalised_conversation():
    assert family_id(ask("Hello  There")) == family_id(ask("hello there"))
    assert family_id(ask("hello there")) != family_id(ask("hello here"))
    spoken = [{"role": "system", "content": "hello there"}, *ask("")]
    assert family_id(spoken) != family_id(ask("hello there"))
    assert len(family_id(ask("x"))) == 18


def test_split_shares():
    counts = Counter(split_of(f"family {number}", SHARES, "salt") for number in range(20_000))
    assert abs(counts["test"] - 4000) < 250
    assert abs(counts["validation"] - 4000) < 250


def test_split_depends_on_salt_and_family_only():
    families = [f"family {number}" for number in range(200)]
    first = [split_of(family, SHARES, "a") for family in families]
    assert first == [split_of(family, SHARES, "a") for family in families]
    assert first != [split_of(family, SHARES, "b") for family in families]


def test_no_share_no_family():
    everything = Shares(train=1.0, validation=0.0, test=0.0)
    assert {split_of(str(number), everything, "") for number in range(500)} == {"train"}
