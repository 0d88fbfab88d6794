"""Tokenizers by file, directory, .tiktoken file and name; the packages that text needs."""

from __future__ import annotations

import base64
import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from ngramstat.corpus import Corpus, tokenize
from ngramstat.corpus.tokenizing.engines import odd_texts
from ngramstat.corpus.tokenizing.tiktoken_files import TIKTOKEN_PATTERNS, tiktoken_json
from ngramstat.corpus.tokenizing.tokenizer_files import read_tokenizer
from ngramstat.corpus.tokenizing.training import train_tokenizer
from ngramstat.corpus.tokenizing.unknown import byte_alphabet
from ngramstat.errors import InputError, NgramstatError

PROSE = "the quick brown fox it's 1234 o'clock\n\n  and THE cat  \u4e16\u754c\n" * 20


@pytest.fixture(scope="module")
def contents() -> bytes:
    """A trained tokenizer.json."""
    return bytes(train_tokenizer(lambda: iter([PROSE]), 330).model.to_str().encode())


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text(PROSE, "utf-8")
    return path


def test_a_directory_with_its_configuration(tmp_path: Path, contents: bytes, text: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    with pytest.raises(InputError, match=r"model: has no tokenizer\.json"):
        read_tokenizer(model)
    (model / "vocab.txt").write_text("x")
    with pytest.raises(InputError, match=r"it has vocab\.txt"):
        read_tokenizer(model)
    (model / "tokenizer.json").write_bytes(contents)
    assert tokenize([text], tmp_path / "c", tokenizer=model, threads=1).separator == 0
    for token in ("the", {"content": "the"}):
        (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": token}))
        for path in (model, model / "tokenizer.json"):
            assert read_tokenizer(path).separator_token == "the"
    (model / "tokenizer_config.json").write_text("[")
    assert read_tokenizer(model).separator_token is None


def test_a_folder_of_the_hugging_face_cache(tmp_path: Path, contents: bytes) -> None:
    folder = tmp_path / "models--org--name"
    for name in ("aaa", "bbb"):
        (folder / "snapshots" / name).mkdir(parents=True)
        (folder / "snapshots" / name / "tokenizer.json").write_bytes(contents + name.encode())
    with pytest.raises(InputError, match="2 snapshots and no refs/main"):
        read_tokenizer(folder)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("bbb")
    assert read_tokenizer(folder).contents.endswith(b"bbb")


def test_a_name_is_found_in_the_cache_and_not_fetched(
    tmp_path: Path, contents: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"org/name: there is no such file.*allow_download=True"):
        read_tokenizer("org/name")
    folder = tmp_path / "models--org--name"
    commit = "0123456789012345678901234567890123456789"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / "tokenizer.json").write_bytes(contents)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    assert read_tokenizer("org/name").contents == contents
    with pytest.raises(InputError, match=r"none\.json.*No such file"):
        read_tokenizer(tmp_path / "none.json")


# --- tiktoken -----------------------------------------------------------------------------------


def ranks_of(contents: bytes) -> dict[bytes, int]:
    """The tokens of a byte-level tokenizer as tiktoken ranks them."""
    codes = {character: byte for byte, character in enumerate(byte_alphabet())}
    vocabulary = json.loads(contents)["model"]["vocab"]
    tokens = sorted((word for word in vocabulary if word != "<|endoftext|>"), key=vocabulary.get)
    return {bytes(codes[c] for c in word): rank for rank, word in enumerate(tokens)}


def tiktoken_file(ranks: dict[bytes, int]) -> bytes:
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    return b"".join(lines)


@pytest.mark.parametrize("pattern", TIKTOKEN_PATTERNS)
def test_tiktoken_files_give_the_ids_of_tiktoken(contents: bytes, pattern: str) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = ranks_of(contents)
    made = tiktoken_json(Path("x.tiktoken"), tiktoken_file(ranks), pattern)
    model = Tokenizer.from_str(made.decode())
    texts = [PROSE, *odd_texts()]
    encoding = tiktoken.Encoding(
        "x", pat_str=TIKTOKEN_PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={}
    )
    for text in texts:
        assert model.encode(text).ids == encoding.encode_ordinary(text)


def test_tiktoken_files_are_tokenized_and_read_back(
    tmp_path: Path, contents: bytes, text: Path
) -> None:
    path = tmp_path / "my.tiktoken"
    ranks = ranks_of(contents)
    path.write_bytes(tiktoken_file(ranks))
    with pytest.raises(InputError, match="tiktoken_pattern one of gpt2, cl100k"):
        tokenize([text], tmp_path / "c", tokenizer=path, threads=1)
    corpus = tokenize([text], tmp_path / "c", tokenizer=path, tiktoken_pattern="gpt2", threads=1)
    assert corpus.separator == len(ranks) == corpus.vocab_size - 1
    model = Tokenizer.from_file(str(Corpus.open(tmp_path / "c").tokenizer_path))
    assert model.decode(corpus.tokens[:-1].tolist()) == PROSE
    by_rank = {rank: token for token, rank in ranks.items()}
    assert b"".join(by_rank[int(i)] for i in corpus.tokens[:-1]) == PROSE.encode()
    # A well-known name needs no pattern; its end-of-text token is where it is known to be.
    known = tmp_path / "cl100k_base.tiktoken"
    known.write_bytes(path.read_bytes())
    assert tokenize([text], tmp_path / "k", tokenizer=known, threads=1).separator == 100257


def test_damaged_tiktoken_files_are_refused(contents: bytes) -> None:
    good = tiktoken_file(ranks_of(contents))
    lines = good.splitlines(keepends=True)
    for bad, message in (
        (good + b"!!! 5\n", "not a line of a tiktoken file"),
        (good + b"YWJj\n", "not a line of a tiktoken file"),
        (good + lines[3], "repeated"),
        (b"".join(lines[1:]), "no token for the byte"),
        (good + b"eHl6enl4 3\n", "same rank"),
        (good + b"eHl6enl4 99999999999\n", "bad rank"),
    ):
        with pytest.raises(InputError, match=message):
            tiktoken_json(Path("x.tiktoken"), bad, "gpt2")


# --- packages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["tokenizers", "fastokens"])
def test_missing_packages(
    tmp_path: Path, contents: bytes, text: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (tmp_path / "t.json").write_bytes(contents)
    monkeypatch.setattr("ngramstat.corpus.tokenizing.encoding._SMALL_BYTES", 0)
    real = builtins.__import__

    def blocked(module: str, *rest: Any) -> Any:
        if module.split(".")[0] == missing:
            raise ImportError(module)
        return real(module, *rest)

    corpus = tokenize([text], tmp_path / "before", tokenizer=tmp_path / "t.json", threads=1)
    monkeypatch.setattr(builtins, "__import__", blocked)
    if missing == "fastokens":
        found = tokenize([text], tmp_path / "c", tokenizer=tmp_path / "t.json", threads=1)
        assert np.array_equal(found.tokens, corpus.tokens)
        assert "fastokens is not installed" in found.tokenization["engine"]["reason"]
        return
    for options in ({}, {"tokenizer": tmp_path / "t.json"}):
        with pytest.raises(NgramstatError, match=r"pip install 'ngramstat\[text\]'"):
            tokenize([text], tmp_path / "c", threads=1, **options)
    with pytest.raises(NgramstatError, match=r"pip install 'ngramstat\[text\]'"):
        Corpus.open(tmp_path / "before").decode([1])
