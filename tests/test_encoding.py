"""Engines that prove equal, text that stays text, characters that a tokenizer lacks, long runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from ngramstat.cli import main
from ngramstat.corpus import Corpus, CorpusWriter, inspect, tokenize
from ngramstat.corpus.sources import Piece
from ngramstat.corpus.text.findings import text_notes
from ngramstat.corpus.tokenizing import encoding, engines, segments
from ngramstat.corpus.tokenizing.text_tokenizer import prepare_tokenizer
from ngramstat.corpus.tokenizing.training import TrainingSample, train_tokenizer
from ngramstat.corpus.tokenizing.unknown import byte_alphabet
from ngramstat.errors import InputError

PROSE = (
    "The quick brown fox jumps over the lazy dog; it's 12 o'clock. Gr\u00fc\u00dfe, \u4e16\u754c!\n"
)
SPELLED = ["the cat <|endoftext|> sat on </s> the mat [gMASK] sop", "EOS", "a b  <|im_start|>user"]


def jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def byte_level(path: Path, lower: bool = False, **eos: Any) -> Path:
    """A BPE with added tokens of every kind."""
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    if lower:
        model.normalizer = normalizers.Lowercase()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    model.train_from_iterator(SPELLED * 3, trainer=trainer)
    model.add_special_tokens([
        AddedToken("<|endoftext|>", normalized=True), AddedToken("[gMASK]", normalized=True),
        AddedToken("<|im_start|>", lstrip=True, rstrip=True),
    ])  # fmt: skip
    model.add_tokens([AddedToken("sop", normalized=True)])
    data = json.loads(model.to_str())
    data["added_tokens"][0] |= eos
    path.write_text(json.dumps(data))
    return path


def documents(corpus: Corpus) -> list[list[int]]:
    assert corpus.document_ends is not None
    pieces = np.split(corpus.tokens, corpus.document_ends[:-1])
    assert all(piece[-1] == corpus.separator for piece in pieces)
    return [piece[:-1].tolist() for piece in pieces]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small inputs are also encoded by the fast engine."""
    pytest.importorskip("fastokens")
    monkeypatch.setattr(encoding, "_SMALL_BYTES", 0)


# --- engines ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("pre_tokenizer", ["byte-level", "whitespace"])
def test_the_fast_engine_gives_the_ids_of_the_library(tmp_path: Path, pre_tokenizer: Any) -> None:
    texts = [PROSE * 3, "", *SPELLED, *engines.odd_texts()]
    source = jsonl(tmp_path / "a.jsonl", texts)
    corpus = tokenize(
        [source], tmp_path / "c", vocab_size=400, pre_tokenizer=pre_tokenizer, threads=1
    )
    assert corpus.tokenization["engine"]["name"] == "fastokens"
    assert corpus.tokenization["engine"]["compared_characters"] > 1000
    model = Tokenizer.from_file(str(corpus.tokenizer_path))
    model.encode_special_tokens = True
    assert documents(corpus) == [model.encode(text).ids for text in texts]


def test_white_space_and_words_are_those_of_the_library() -> None:
    """Characters of all alphabets after a letter and after a full stop."""
    pytest.importorskip("fastokens")
    characters = [chr(code) for code in range(0x3100)]
    texts = [f"a{c}" for c in characters] + [f".{c}" for c in characters]
    vocabulary = {"[UNK]": 0, **{c: i + 1 for i, c in enumerate(characters)}}
    merges = [(text[0], text[1]) for text in texts]
    vocabulary |= {text: len(vocabulary) + i for i, text in enumerate(texts)}
    for pre_tokenizer in (pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit()):
        model = Tokenizer(models.BPE(vocabulary, merges, unk_token="[UNK]"))
        model.pre_tokenizer = pre_tokenizer
        fast, reason = engines.load_fast_engine(json.loads(model.to_str()), as_text=True)
        assert fast is not None, reason
        engines.EngineCheck(fast, engines.ReferenceEngine(model)).compare(texts)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("where", ["odd texts", "batch"])
def test_one_difference_sends_the_job_to_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = jsonl(tmp_path / "a.jsonl", [PROSE] * 20)
    given = byte_level(tmp_path / "t.json")
    expected = tokenize([source], tmp_path / "right", tokenizer=given, threads=1)
    real = engines.FastEngine.encode

    def wrong(self: Any, texts: Any) -> Any:
        ids, lengths = real(self, texts)
        if ids.size and (where == "odd texts" or any("quick" in text for text in texts)):
            ids = ids.copy()
            ids[-1] ^= 1
        return ids, lengths

    monkeypatch.setattr(engines.FastEngine, "encode", wrong)
    corpus = tokenize([source], tmp_path / "c", tokenizer=given, threads=1)
    assert corpus.sha256 == expected.sha256
    assert corpus.tokenization["engine"]["name"] == "tokenizers"
    assert "other ids" in corpus.tokenization["engine"]["reason"]
    assert ("encoded again by tokenizers" in capsys.readouterr().err) == (where == "batch")


@pytest.mark.usefixtures("fast")
def test_what_the_fast_engine_does_not_support_is_encoded_and_said(tmp_path: Path) -> None:
    model = Tokenizer(models.WordPiece({"[UNK]": 0, "[EOS]": 1, "the": 2}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    model.add_special_tokens(["[UNK]", "[EOS]"])
    model.save(str(tmp_path / "t.json"))
    shown = CliRunner().invoke(
        main,
        ["tokenize", str(jsonl(tmp_path / "a.jsonl", ["the the"])), "-o", str(tmp_path / "c"),
         "--tokenizer", str(tmp_path / "t.json")],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "encoded by tokenizers: fastokens does not support this tokenizer" in shown.stderr
    assert Corpus.open(tmp_path / "c").tokens.tolist() == [2, 2, 1]


# --- text stays text ----------------------------------------------------------------------------


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("case", ["plain", "lower", "separator not special"])
def test_spelled_special_tokens_stay_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, small: bool
) -> None:
    monkeypatch.setattr(encoding, "_SMALL_BYTES", 1 << 20 if small else 0)
    eos = {"special": False} if case == "separator not special" else {}
    given = byte_level(tmp_path / "t.json", case == "lower", **eos)
    model = Tokenizer.from_file(str(given))
    source = jsonl(tmp_path / "a.jsonl", SPELLED)
    corpus = tokenize([source], tmp_path / "c", tokenizer=given, threads=1)
    special = {model.token_to_id(t) for t in ("<|endoftext|>", "[gMASK]", "<|im_start|>")}
    found = documents(corpus)
    assert not special & {i for ids in found for i in ids}
    # An added token that is not special is an ordinary word.
    assert model.token_to_id("sop") in found[0]
    texts = [text.lower() if case == "lower" else text for text in SPELLED]
    assert [model.decode(ids, skip_special_tokens=False) for ids in found] == texts


def test_spelled_special_tokens_can_be_kept_or_refused(tmp_path: Path) -> None:
    given = byte_level(tmp_path / "t.json")
    model = Tokenizer.from_file(str(given))
    source = jsonl(tmp_path / "a.jsonl", SPELLED)
    kept = tokenize([source], tmp_path / "k", tokenizer=given, special_tokens="keep", threads=1)
    separator = model.token_to_id("<|endoftext|>")
    stream = [i for text in SPELLED for i in [*model.encode(text).ids, separator]]
    assert kept.tokens.tolist() == stream
    # The separator in the first text ends a document.
    assert kept.n_documents == 4
    with pytest.raises(InputError, match=r"a\.jsonl:1: character 8: .*<\|endoftext\|>.*keep"):
        tokenize([source], tmp_path / "e", tokenizer=given, special_tokens="error", threads=1)
    with pytest.raises(InputError, match="text, keep, error"):
        tokenize([source], tmp_path / "e", tokenizer=given, special_tokens="drop")  # type: ignore[arg-type]


def test_notes_say_what_became_of_a_spelled_separator(tmp_path: Path) -> None:
    given = byte_level(tmp_path / "t.json")
    source = tmp_path / "a.txt"
    source.write_text("one<|endoftext|>two </s> three")
    notes = {}
    for choice in ("text", "keep"):
        corpus = tokenize(
            [source], tmp_path / choice, tokenizer=given, special_tokens=choice, threads=1
        )
        notes[choice] = "\n".join(text_notes(corpus.tokenization))
    assert "spells <|endoftext|> 1 time (first in a.txt), which is read as text" in notes["text"]
    assert "a file of plain text became one document" in notes["text"]
    assert corpus.n_documents == 2
    assert (
        "spells <|endoftext|> 1 time (first in a.txt), which becomes that token and ends a "
        in (notes["keep"])
    )
    assert "became one document" not in notes["keep"]
    assert "spells </s> 1 time (first in a.txt), which is read as text" in notes["keep"]


def test_models_that_look_words_up_do_not_find_special_tokens(tmp_path: Path) -> None:
    """WordLevel, Unigram and BPE with whole words find them in their own vocabulary."""
    words = {"[UNK]": 0, "</s>": 1, "a": 2, "<": 3, "/": 4, "s": 5, ">": 6}
    for name, model in {
        "words": models.WordLevel(words, unk_token="[UNK]"),
        "unigram": models.Unigram([(word, -1.0 - i) for word, i in words.items()], unk_id=0),
        "whole": models.BPE(
            {**words, "</": 7, "s>": 8}, [("<", "/"), ("s", ">"), ("</", "s>")],
            unk_token="[UNK]", ignore_merges=True,
        ),
    }.items():  # fmt: skip
        given = Tokenizer(model)
        given.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        given.add_special_tokens(["[UNK]", "</s>"])
        given.save(str(tmp_path / "t.json"))
        source = jsonl(tmp_path / "a.jsonl", ["a </s> a"])
        corpus = tokenize([source], tmp_path / name, tokenizer=tmp_path / "t.json", threads=1)
        assert documents(corpus)[0][0] == documents(corpus)[0][-1] == 2
        assert 1 not in documents(corpus)[0]


def test_a_character_that_is_the_separator_is_refused_with_its_place(tmp_path: Path) -> None:
    given = byte_level(tmp_path / "t.json")
    separator = Tokenizer.from_file(str(given)).token_to_id("!")
    source = jsonl(tmp_path / "a.jsonl", ["fine", "not fine!"])
    with pytest.raises(InputError, match=rf"a\.jsonl:2: character 8: .*separator {separator}"):
        tokenize([source], tmp_path / "c", tokenizer=given, separator=separator, threads=1)


# --- nothing vanishes ---------------------------------------------------------------------------

TEXT = (
    "the cat sat on the mat. \u041f\u0420\u0418\u0412\u0415\u0422 \u4f60\u597d the cat 12345 XYZ\n"
)


def without_unknown_token(kind: str) -> Tokenizer:
    vocabulary = {"</s>": 0, "the": 1, "cat": 2}
    if kind == "bpe":
        model = Tokenizer(models.BPE())
        model.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(vocab_size=40, special_tokens=["</s>"], show_progress=False)
        model.train_from_iterator(["the cat sat on the mat"] * 20, trainer=trainer)
        return model
    if kind == "unigram":
        model = Tokenizer(models.Unigram([("</s>", 0.0), ("\u2581the", -1.0), ("\u2581", -2.0)]))
        model.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        model = Tokenizer(
            models.WordLevel(vocabulary) if kind == "words" else models.WordPiece(vocabulary)
        )
        model.pre_tokenizer = pre_tokenizers.Whitespace()
    model.add_special_tokens(["</s>"])
    return model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bpe", r"leave out 17 of 40 characters, such as '\.' at .*t\.txt: character 22"),
        ("words", "unknown token '<unk>' is not in its vocabulary"),
        ("pieces", r"unknown token '\[UNK\]' is not in its vocabulary"),
        ("unigram", r"t\.txt: character \d+: the tokenizer cannot encode"),
    ],
)
def test_a_tokenizer_that_would_drop_much_text_is_refused(
    tmp_path: Path, kind: str, message: str
) -> None:
    without_unknown_token(kind).save(str(tmp_path / "t.json"))
    (tmp_path / "t.txt").write_text(TEXT, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        tokenize([tmp_path / "t.txt"], tmp_path / "c", tokenizer=tmp_path / "t.json", threads=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_a_text_of_unknown_tokens_is_reported_with_share_and_example(tmp_path: Path) -> None:
    model = Tokenizer(models.WordPiece({"[UNK]": 0, "[EOS]": 1, "a": 2}, unk_token="[UNK]"))
    model.normalizer = normalizers.BertNormalizer()
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    model.add_special_tokens(["[UNK]", "[EOS]"])
    model.save(str(tmp_path / "t.json"))
    (tmp_path / "zh.txt").write_text("a\n" + "\u4eca\u5929\u5929\u6c14\n" * 10, "utf-8")
    corpus = tokenize(
        [tmp_path / "zh.txt"], tmp_path / "c", tokenizer=tmp_path / "t.json", document="line",
        threads=1,
    )  # fmt: skip
    assert (corpus.tokenization["unknown"], corpus.tokenization["unknown_of"]) == (40, 41)
    (problem,) = [p for p in inspect(tmp_path / "c").problems if "unknown" in p]
    assert "40 tokens (98%) are the unknown token 0" in problem
    assert "'\u4eca' at" in problem
    assert "zh.txt:2: character 0" in problem


def test_byte_fallback_without_all_bytes_leaves_characters_out(tmp_path: Path) -> None:
    vocabulary = {"</s>": 0, **{c: i + 1 for i, c in enumerate("abcdefghij ")}}
    model = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    model.add_special_tokens(["</s>"])
    model.save(str(tmp_path / "t.json"))
    source = jsonl(tmp_path / "a.jsonl", ["abcdefghij" * 3 + "z"])
    corpus = tokenize([source], tmp_path / "c", tokenizer=tmp_path / "t.json", threads=1)
    assert corpus.tokenization["left_out"]
    assert corpus.tokenization["unknown"] == 1
    assert corpus.tokenization["unknown_example"].startswith("'z' at")


def test_the_alphabet_of_bytes_is_that_of_the_library() -> None:
    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    step = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("a \x00\n", "\u00e9\u4e16"):
        spelled = "".join(byte_alphabet()[byte] for byte in text.encode())
        assert "".join(part for part, _ in step.pre_tokenize_str(text)) == spelled


# --- long runs ----------------------------------------------------------------------------------

RUNS = {"letters": "a", "zeros": "0", "blanks": " ", "script": "\u4e16", "marks": "\u0301"}


@pytest.mark.parametrize("kind", RUNS)
def test_long_runs_are_cut_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(segments, "_SEGMENT_CHARS", 500)
    monkeypatch.setattr(segments, "_STRETCH_CHARS", 1000)
    monkeypatch.setattr(segments, "_WINDOW_CHARS", 50)
    text = PROSE + RUNS[kind] * 5000 + PROSE
    (tmp_path / "a.txt").write_text(text, "utf-8")
    corpus = tokenize([tmp_path / "a.txt"], tmp_path / "c", vocab_size=300, threads=1)
    assert 3 <= corpus.tokenization["forced_cuts"] <= 6
    model = Tokenizer.from_file(str(corpus.tokenizer_path))
    assert model.decode(corpus.tokens[:-1].tolist()) == text
    (problem,) = [p for p in inspect(tmp_path / "c").problems if "had to be cut" in p]
    assert "a.txt: character" in problem


@pytest.mark.parametrize("kind", ["metaspace", "prepended", "no prefix", "unigram"])
def test_long_documents_of_sentencepiece_models_encode_like_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Without a split by a regular expression, cuts are proved by the vocabulary."""
    monkeypatch.setattr(segments, "_SEGMENT_CHARS", 300)
    monkeypatch.setattr(segments, "_WINDOW_CHARS", 50)
    text = (PROSE.replace("\n", " ") + "and so  on, on and on.\n") * 40
    if kind == "unigram":
        pieces = [
            ("[UNK]", 0.0),
            ("</s>", 0.0),
            ("\u2581", -3.0),
            ("\u2581and", -2.5),
            ("on", -2.0),
        ]
        pieces += [(c, -5.0) for c in sorted(set(text)) if c != " "]
        model = Tokenizer(models.Unigram(pieces, unk_id=0))
        model.pre_tokenizer = pre_tokenizers.Metaspace()
        model.add_special_tokens(["</s>"])
    else:
        model = Tokenizer(models.BPE(unk_token="[UNK]"))
        model.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=120, special_tokens=["[UNK]", "</s>"], show_progress=False
        )
        model.train_from_iterator([text], trainer=trainer)
        if kind != "metaspace":
            replace = normalizers.Replace(" ", "\u2581")
            model.normalizer = (
                normalizers.Sequence([normalizers.Prepend("\u2581"), replace])
                if kind == "prepended"
                else replace
            )
            data = json.loads(model.to_str()) | {"pre_tokenizer": None}
            model = Tokenizer.from_str(json.dumps(data))
    model.save(str(tmp_path / "t.json"))
    (tmp_path / "a.txt").write_text(text, "utf-8")
    corpus = tokenize(
        [tmp_path / "a.txt"], tmp_path / "c", tokenizer=tmp_path / "t.json", threads=1
    )
    assert documents(corpus) == [model.encode(text).ids]
    assert corpus.tokenization["forced_cuts"] == 0
    prepared = prepare_tokenizer((tmp_path / "t.json").read_bytes(), "t.json")
    segmenter = segments.Segmenter(prepared.reference, prepared.description)
    assert len(list(segmenter.segments(iter([(0, Piece(text, True))])))) > 5


def test_training_cuts_long_words_and_weighs_them() -> None:
    trained = train_tokenizer(lambda: iter(["ACGT" * 1000, "the cat"]), 300)
    assert trained.cuts == 7
    assert trained.bytes_used == trained.bytes_read == 4007
    sample = TrainingSample(10_000)
    for _ in range(100):
        sample.add("ACGT" * 250)
    assert 1250 <= sample.bytes_kept <= 2500


def test_a_sample_is_spread_evenly_and_keeps_to_its_limit() -> None:
    sample = TrainingSample(1000)
    texts = [f"text {number:04}" for number in range(1000)]
    for text in texts:
        sample.add(text)
    kept = list(sample.texts())
    assert 500 < sample.bytes_kept <= 1000
    assert sample.bytes_read == 9000
    stride = texts.index(kept[1])
    assert kept == texts[::stride]
    long = TrainingSample(1 << 18)
    long.add("word " * 200_000)
    assert 1 << 17 < long.bytes_kept <= 1 << 18


def test_a_small_sample_still_knows_all_characters(tmp_path: Path) -> None:
    texts = [f"the cat {chr(0x4E00 + number)}" for number in range(300)]
    source = jsonl(tmp_path / "a.jsonl", texts)
    corpus = tokenize(
        [source], tmp_path / "c", vocab_size=330, pre_tokenizer="whitespace", train_bytes=1000,
        threads=1,
    )  # fmt: skip
    assert corpus.tokenization["unknown"] == 0
    assert corpus.tokenization["training"]["bytes"] <= 1000
    assert corpus.tokenization["training"]["of_bytes"] == 300 * 11
    whole = tokenize([source], tmp_path / "w", vocab_size=330, train_bytes="all", threads=1)
    assert whole.tokenization["training"]["bytes"] == 300 * 11
    for value in ("50%", "many", 0):
        with pytest.raises(InputError, match="train_bytes"):
            tokenize([source], tmp_path / "x", train_bytes=value)
    with pytest.raises(InputError, match="only for a tokenizer to be trained"):
        tokenize([source], tmp_path / "x", tokenizer=corpus.tokenizer_path, train_bytes=5)


# --- the writer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [None, 3])
def test_flat_pieces_are_written_like_documents(tmp_path: Path, separator: int | None) -> None:
    rng = np.random.default_rng(1)
    stream = rng.integers(4, 90, size=500).astype(np.uint32)
    ends = np.unique(np.append(rng.integers(1, 500, size=40), 500))
    with CorpusWriter(tmp_path / "a", 100, separator=separator) as writer:
        start = 0
        for end in ends.tolist():
            writer.append(stream[start:end])
            start = end
        expected = writer.finish()
    with CorpusWriter(tmp_path / "b", 100, separator=separator) as writer:
        for start, end in ((0, 7), (7, 7), (7, 300), (300, 500)):
            inside = ends[(ends > start) & (ends <= end)] - start
            writer.append_flat(stream[start:end], inside)
        found = writer.finish()
    assert found.sha256 == expected.sha256
    assert found.document_ends.tolist() == expected.document_ends.tolist()


def test_flat_pieces_are_checked(tmp_path: Path) -> None:
    ids = np.array([4, 5, 6], dtype=np.uint32)
    with CorpusWriter(tmp_path / "c", 10, separator=5) as writer:
        for bad, ends, message in (
            (ids, [1], "are the separator 5"),
            (ids + 9, [1], "not in the vocabulary"),
            (ids[:1], [2], "between 0 and 1"),
            (ids[:1], [1, 0], "not decrease"),
            (ids.astype(np.int64), [1], "unsigned"),
        ):
            with pytest.raises(InputError, match=message):
                writer.append_flat(bad, np.array(ends, dtype=np.int64))
        writer.append_flat(ids[:1], np.array([0, 0, 1], dtype=np.int64))
        corpus = writer.finish()
    assert corpus.tokens.tolist() == [5, 5, 4, 5]
    assert corpus.document_ends.tolist() == [1, 2, 4]
    with (
        CorpusWriter(tmp_path / "n", 10) as writer,
        pytest.raises(InputError, match="document 1: is empty"),
    ):
        writer.append_flat(ids, np.array([1, 1], dtype=np.int64))


def test_a_tokenizer_is_checked_before_it_is_used() -> None:
    for contents, message in ((b"{}", "not a usable"), (b"\xff", "not a usable")):
        with pytest.raises(InputError, match=message):
            prepare_tokenizer(contents, "t.json")
