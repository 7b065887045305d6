"""The World tokenizer: its special ids, its file, and every way in which text can be broken."""

import json
import sys
from pathlib import Path

import pytest

from rlhf_core.checkpoint import load_tokenizer
from rlhf_core.world_tokenizer import VOCAB_SIZE, WorldTokenizer

TEXTS = [
    "",
    "User: My lamp flickers.\n\nAssistant:",
    "a\x00b\r\n\t",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "色は匂へど散りぬるを 我が世誰ぞ常ならむ",
    "🙂👩‍👩‍👧‍👦 e\u0301 \u202e \U0010ffff",
    "<|endoftext|> <pad> <eos>",
]


@pytest.fixture(scope="module")
def tokenizer() -> WorldTokenizer:
    pytest.importorskip("pyrwkv_tokenizer")
    return WorldTokenizer()


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(tokenizer: WorldTokenizer, text: str) -> None:
    # Guards: bytes that are lost or special words that text can spell.
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.pad_id, tokenizer.eos_id} & set(ids)


def test_known_ids(tokenizer: WorldTokenizer) -> None:
    # Guards: an id that is off by one; ids from the published vocabulary.
    assert tokenizer.encode("\n\n") == [261]
    assert tokenizer.encode("\n") == [11]
    assert tokenizer.encode("。\n\n") == [28329, 11]
    assert tokenizer.vocab_size == VOCAB_SIZE == 65536


def test_special_ids_differ_and_have_no_text(tokenizer: WorldTokenizer) -> None:
    # Guards: a reward model that takes padding for the end.
    assert tokenizer.pad_id != tokenizer.eos_id
    assert tokenizer.decode([0, 261, 65535, 65530]) == "\n\n"


def test_half_a_character_does_not_stop_the_process(tokenizer: WorldTokenizer) -> None:
    # Guards: the package's own decode, which panics where a token ends inside a character.
    ids = tokenizer.encode("é")
    halves = [byte + 1 for byte in "é".encode()]
    assert tokenizer.decode(halves) == "é"
    assert tokenizer.decode(halves[:1]) == "\ufffd"
    assert tokenizer.decode([halves[1], *ids]) == "\ufffdé"


def test_its_file_is_itself(tokenizer: WorldTokenizer, tmp_path: Path) -> None:
    # Guards: a policy that comes back with another tokenizer than it was saved with.
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert isinstance(loaded, WorldTokenizer)
    assert loaded.encode(TEXTS[1]) == tokenizer.encode(TEXTS[1])


def test_another_vocabulary_is_refused(tokenizer: WorldTokenizer, tmp_path: Path) -> None:
    # Guards: ids of one vocabulary read with another, which gives fluent nonsense.
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"vocabulary_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(ValueError, match="0000"):
        WorldTokenizer.load(path)


def test_without_the_package_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Guards: a bare ModuleNotFoundError for a package that nobody has heard of.
    monkeypatch.setitem(sys.modules, "pyrwkv_tokenizer", None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[world\]'"):
        WorldTokenizer()


def test_a_changed_vocabulary_in_the_package_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Guards: a package whose next release brings another vocabulary.
    package = pytest.importorskip("pyrwkv_tokenizer")
    path = tmp_path / "vocabulary.txt"
    path.write_text("1 'a' 1\n", encoding="utf-8")

    class Changed:
        vocab_filepath = str(path)

    monkeypatch.setattr(package, "RWKVTokenizer", Changed)
    with pytest.raises(ValueError, match=r"vocabulary\.txt has sha256"):
        WorldTokenizer()
