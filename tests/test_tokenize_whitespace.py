"""The paper's tokenizer, characters that a tokenizer lacks, and progress of training."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from click.testing import CliRunner
from tokenizers import decoders, models, pre_tokenizers, trainers

from ngramstat.cli import main
from ngramstat.corpus import Corpus, inspect, tokenize
from ngramstat.corpus.sources import Piece
from ngramstat.corpus.tokenizing import segments
from ngramstat.corpus.tokenizing.engines import ReferenceEngine
from ngramstat.corpus.tokenizing.training import train_tokenizer
from ngramstat.corpus.tokenizing.unknown import unknown_finding, unknown_id
from ngramstat.errors import InputError
from ngramstat.runtime.progress import Elapsed

TEXTS = [
    'Once upon a time, there was a cat.\n\nThe cat said: "It\'s time!"',
    "  Gr\u00fc\u00dfe  ",
    "the cat <eos> and [UNK], twice: the cat",
] * 30


def jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    directory = tmp_path_factory.mktemp("whitespace")
    return tokenize(
        [jsonl(directory / "text.jsonl", TEXTS)], directory / "corpus",
        vocab_size=60, pre_tokenizer="whitespace", threads=1,
    )  # fmt: skip


def test_special_tokens_and_settings_are_those_of_the_paper(corpus: Corpus) -> None:
    assert corpus.separator == 1
    model = json.loads(corpus.tokenizer_path.read_text(encoding="utf-8"))
    assert model["pre_tokenizer"] == {"type": "Whitespace"}
    assert model["normalizer"] is None
    assert model["post_processor"] is None
    assert model["model"]["unk_token"] == "[UNK]"
    assert [t["content"] for t in model["added_tokens"]] == ["[UNK]", "<eos>"]
    assert corpus.vocab_size == 60
    assert corpus.n_documents == len(TEXTS)


def test_tokens_equal_those_of_the_library_as_the_authors_call_it(corpus: Corpus) -> None:
    reference = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    reference.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=["[UNK]", "<eos>"], show_progress=False
    )
    reference.train_from_iterator(TEXTS, trainer=trainer)
    reference.encode_special_tokens = True
    wanted = [i for text in TEXTS for i in [*reference.encode(text).ids, 1]]
    assert corpus.tokens.tolist() == wanted


def test_words_come_back_without_their_white_space(corpus: Corpus) -> None:
    start = 0
    for text, end in zip(TEXTS, corpus.document_ends.tolist(), strict=True):
        words = "".join(corpus.decode(corpus.tokens[start : end - 1]))
        assert words == re.sub(r"\s", "", text)
        start = end
    assert corpus.decode([1]) == ["<eos>"]


def test_unknown_characters_are_counted_and_shown(corpus: Corpus, tmp_path: Path) -> None:
    found = corpus.tokenization
    assert found["pre_tokenizer"] == "whitespace"
    assert (found["unknown"], found["unknown_id"], found["left_out"]) == (0, 0, False)
    size = sum(len(text.encode()) for text in TEXTS)
    assert found["training"] == {"bytes": size, "of_bytes": size, "cut_words": 0}
    source = jsonl(tmp_path / "other.jsonl", ["the cat \u2603 \u4e16\u754c", "a cat"])
    output = tmp_path / "other"
    shown = CliRunner().invoke(
        main,
        ["--quiet", "tokenize", str(source), "-o", str(output), "--json",
         "--tokenizer", str(corpus.tokenizer_path)],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "3 tokens (43%) are the unknown token 0" in shown.stderr
    assert "such as '\u2603' at" in shown.stderr
    assert json.loads(shown.stdout)["tokenization"]["unknown"] == 3
    other = Corpus.open(output)
    assert other.tokenization["pre_tokenizer"] is None
    assert int(np.count_nonzero(other.tokens == 0)) == 3
    assert any("unknown token 0" in problem for problem in inspect(output).problems)
    assert not any("unknown" in problem for problem in inspect(corpus.path).problems)


@pytest.mark.parametrize("step", ["whitespace", "bytes"])
def test_characters_that_a_tokenizer_leaves_out_are_counted(tmp_path: Path, step: str) -> None:
    """Without an unknown token a BPE drops what it does not know and says nothing."""
    model = tokenizers.Tokenizer(models.BPE())
    alphabet = []
    if step == "bytes":
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        model.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    model.train_from_iterator(["the cat sat"] * 3, trainer=trainer)
    model.save(str(tmp_path / "tokenizer.json"))
    source = jsonl(tmp_path / "text.jsonl", ["the dog sat\n", "the cat" * 9])
    found = tokenize(
        [source], tmp_path / "out", tokenizer=tmp_path / "tokenizer.json", threads=1
    ).tokenization
    left_out = step == "whitespace"
    assert found["left_out"] is left_out
    assert found["unknown"] == (3 if left_out else 0)  # d, o, g
    assert ("left out" in str(unknown_finding(found))) is left_out


def test_long_documents_encode_like_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_SEGMENT_CHARS", 1000)
    model = train_tokenizer(lambda: iter(TEXTS), 60, "whitespace").model
    whole = " ".join(TEXTS * 5)
    pieces = [
        (0, Piece(whole[i : i + 700], i + 700 >= len(whole))) for i in range(0, len(whole), 700)
    ]
    segmenter = segments.Segmenter(ReferenceEngine(model), json.loads(model.to_str()))
    parts = [segment.text for segment in segmenter.segments(iter(pieces))]
    assert len(parts) > 3
    assert "".join(parts) == whole
    joined = [i for part in parts for i in model.encode(part).ids]
    assert joined == model.encode(whole).ids


def test_a_recorded_tokenization_has_to_be_an_object(corpus: Corpus, tmp_path: Path) -> None:
    for file in corpus.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    meta = json.loads((tmp_path / "corpus.json").read_text())
    for value, works in ((None, True), ("absent", True), ([], False)):
        changed = {k: v for k, v in meta.items() if k != "tokenization"}
        if value != "absent":
            changed["tokenization"] = value
        (tmp_path / "corpus.json").write_text(json.dumps(changed))
        if works:
            assert Corpus.open(tmp_path).tokenization is None
        else:
            with pytest.raises(InputError, match="tokenization"):
                Corpus.open(tmp_path)


def test_bad_choices_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "text.jsonl", TEXTS)
    for options, words in (
        ({"pre_tokenizer": "words"}, "byte-level, whitespace"),
        ({"pre_tokenizer": "whitespace", "vocab_size": 2}, "between 3"),
        ({"pre_tokenizer": "whitespace", "tokenizer": corpus.tokenizer_path}, "has its own"),
        ({"pre_tokenizer": "byte-level", "tokenizer": corpus.tokenizer_path}, "has its own"),
        (
            {"vocab_size": 500, "tokenizer": corpus.tokenizer_path},
            "vocab_size 500: only.*has its own",
        ),
    ):
        with pytest.raises(InputError, match=words):
            tokenize([source], tmp_path / "out", **options)
    with pytest.raises(InputError, match="vocab_size 500: only for"):
        Corpus.from_texts(TEXTS, tokenizer=corpus.tokenizer_path, vocab_size=500)
    given = Corpus.from_texts(TEXTS, tokenizer=corpus.tokenizer_path, threads=1)
    assert given.vocab_size == corpus.vocab_size
    broken = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[], unk_token="[UNK]"))
    with pytest.raises(InputError, match="unknown token"):
        unknown_id(json.loads(broken.to_str()))


def test_merging_shows_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr("ngramstat.runtime.progress._LOG_SECONDS", 0.02)
    with Elapsed("Merge pairs", tick=0.01) as elapsed:
        time.sleep(0.05)
        assert sys.stderr.getvalue() == ""  # nothing before the text is read
        elapsed.start()
        time.sleep(0.3)
    assert "Merge pairs" in sys.stderr.getvalue()
    with Elapsed("Merge pairs", enabled=False, tick=0.01) as elapsed:
        shown = sys.stderr.getvalue()
        elapsed.start()
        time.sleep(0.05)
    assert sys.stderr.getvalue() == shown
