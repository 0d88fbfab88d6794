"""Text to tokens: sources of every kind, exact round trips, and errors that name the position."""

from __future__ import annotations

import builtins
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ngramstat
from ngramstat.corpus import Corpus, inspect, tokenize
from ngramstat.corpus.sources import Piece
from ngramstat.corpus.text import lines as lines_module
from ngramstat.corpus.tokenizing import encoding, segments
from ngramstat.corpus.tokenizing.text_tokenizer import prepare_tokenizer
from ngramstat.errors import InputError, NgramstatError

CORPORA = Path(
    os.environ.get(
        "NGRAMSTAT_CORPORA", Path(__file__).resolve().parents[1].parent / "shared" / "corpora"
    )
)

TEXTS = [
    "The cat sat on the mat.\n\n  The end.",
    "",
    "Gr\u00fc\u00dfe, \u4e16\u754c \U0001f600\r\n\ttabs\x00 and e\u0301",
    "a<|endoftext|>b </s> \ufeff",
]


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(data))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


def jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in texts).encode()


def documents(corpus: Corpus) -> list[str]:
    """The text of each document, decoded whole, without its separator."""
    assert corpus.tokenizer_path is not None
    assert corpus.document_ends is not None
    model = tokenizers.Tokenizer.from_file(str(corpus.tokenizer_path))
    pieces = np.split(corpus.tokens, corpus.document_ends[:-1])
    assert all(piece[-1] == corpus.separator for piece in pieces)
    assert all(corpus.separator not in piece[:-1] for piece in pieces)
    return [model.decode(piece[:-1].tolist(), skip_special_tokens=False) for piece in pieces]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer.json trained by `tokenize`."""
    directory = tmp_path_factory.mktemp("trained")
    text = "the quick brown fox jumps over the lazy dog and the cat\n" * 50
    (directory / "a.txt").write_text(text)
    tokenize([directory / "a.txt"], directory / "corpus", vocab_size=300)
    return directory / "corpus" / "tokenizer.json"


# --- accepted inputs ----------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESS)
def test_json_lines_round_trip(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"a.jsonl{compression}"
    path.write_bytes(COMPRESS[compression](jsonl(TEXTS) + b"\n  \n"))
    corpus = tokenize([path], tmp_path / "c", vocab_size=280)
    assert documents(corpus) == TEXTS
    assert corpus.separator == 0
    assert corpus.dtype == np.uint16
    corpus.check(checksum=True)
    metadata = json.loads((tmp_path / "c" / "corpus.json").read_text())
    assert metadata["sources"][0]["name"] == path.name
    assert metadata["sources"][0]["bytes"] == path.stat().st_size
    assert str(tmp_path) not in json.dumps(metadata)


@pytest.mark.parametrize("compression", COMPRESS)
def test_plain_text_is_one_document_or_one_per_line(
    tmp_path: Path, trained: Path, compression: str
) -> None:
    text = "one\n\ntwo \u00e9\nlast"
    path = tmp_path / f"a.txt{compression}"
    path.write_bytes(COMPRESS[compression](text.encode()))
    corpus = tokenize([path], tmp_path / "file", tokenizer=trained)
    assert documents(corpus) == [text]
    corpus = tokenize([path], tmp_path / "line", tokenizer=trained, document="line")
    assert documents(corpus) == ["one", "", "two \u00e9", "last"]


def test_parquet(tmp_path: Path, trained: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    for name, kind in (("a", pa.string()), ("b", pa.large_string())):
        table = pa.table({"id": [1, 2, 3, 4], "body": pa.array(TEXTS, kind)})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=3)
        corpus = tokenize(
            [tmp_path / f"{name}.parquet"], tmp_path / name, tokenizer=trained, text_field="body"
        )
        assert documents(corpus) == TEXTS
    with pytest.raises(InputError, match="no column 'text'; its columns are 'id', 'body'"):
        tokenize([tmp_path / "a.parquet"], tmp_path / "c", tokenizer=trained)
    with pytest.raises(InputError, match="int64, not a string"):
        tokenize([tmp_path / "a.parquet"], tmp_path / "c", tokenizer=trained, text_field="id")
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "null.parquet")
    with pytest.raises(InputError, match="row 1: the field 'text' is null"):
        tokenize([tmp_path / "null.parquet"], tmp_path / "c", tokenizer=trained)
    (tmp_path / "bad.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged Parquet"):
        tokenize([tmp_path / "bad.parquet"], tmp_path / "c", tokenizer=trained)


def test_several_inputs_keep_their_order(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "b.txt").write_text("first")
    (tmp_path / "a.jsonl").write_bytes(jsonl(["second", "third"]))
    corpus = tokenize(
        [tmp_path / "b.txt", tmp_path / "a.jsonl"], tmp_path / "c", tokenizer=trained, threads=1
    )
    assert documents(corpus) == ["first", "second", "third"]


def test_zstd_frames_in_a_row(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstd(jsonl(["one"])) + zstd(b"") + zstd(jsonl(["two" * 9999])))
    assert documents(tokenize([path], tmp_path / "c", tokenizer=trained)) == ["one", "two" * 9999]


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_survives(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "any.jsonl").write_bytes(jsonl(texts))
    corpus = tokenize(
        [directory / "any.jsonl"], directory / "any", tokenizer=trained, overwrite=True
    )
    assert documents(corpus) == texts


def test_decode_is_one_string_per_id(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat\u00e9")
    corpus = tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=trained)
    pieces = corpus.decode(corpus.tokens)
    assert len(pieces) == corpus.n_tokens
    assert pieces[0] == "the"
    assert pieces[-1] == "<|endoftext|>"
    assert "\ufffd" in pieces  # half of a character
    assert inspect(tmp_path / "c").first_text == tuple(pieces[:20])
    with pytest.raises(InputError, match="between 0 and"):
        corpus.decode([corpus.vocab_size])
    saved = tmp_path / "c" / "tokenizer.json"
    saved.write_bytes(saved.read_bytes() + b" ")
    with pytest.raises(InputError, match="is not the tokenizer"):
        Corpus.open(tmp_path / "c").decode([1])


# --- the tokenizer -----------------------------------------------------------------------------


def test_training_is_deterministic_and_as_configured(tmp_path: Path) -> None:
    """Equal files at any number of threads; in processes, which cannot change their thread pool."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdef"), 4)) for _ in range(400)]
    texts = [" ".join(rng.choice(words, 200)) for _ in range(60)]
    (tmp_path / "a.jsonl").write_bytes(jsonl(texts))
    code = (
        "import sys; from ngramstat.corpus import tokenize\n"
        "tokenize([sys.argv[1]], sys.argv[2], vocab_size=700, threads=int(sys.argv[3]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ngramstat.__file__).parents[1])}
    for name, threads in (("one", "1"), ("four", "4"), ("again", "4")):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.jsonl"), str(tmp_path / name), threads],
            env=environment,
            check=True,
        )
    files = ("tokenizer.json", "tokens.bin", "documents.bin", "corpus.json")
    for file in files:
        contents = {(tmp_path / name / file).read_bytes() for name in ("one", "four", "again")}
        assert len(contents) == 1, file
    settings = json.loads((tmp_path / "one" / "tokenizer.json").read_text())
    assert settings["pre_tokenizer"]["type"] == settings["decoder"]["type"] == "ByteLevel"
    assert settings["pre_tokenizer"]["add_prefix_space"] is False
    assert settings["pre_tokenizer"]["use_regex"] is True
    assert settings["normalizer"] is settings["post_processor"] is settings["model"]["unk_token"]
    assert settings["model"]["vocab"]["<|endoftext|>"] == 0
    assert len(settings["model"]["vocab"]) == 700


def test_the_environment_is_restored(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    before = dict(os.environ)
    tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=trained, threads=3)
    assert dict(os.environ) == before


def edited(trained: Path, path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(trained.read_text()) | changes))
    return path


def test_padding_and_truncation_of_a_given_tokenizer_are_ignored(
    tmp_path: Path, trained: Path
) -> None:
    template = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}]  # fmt: skip
    changed = edited(
        trained,
        tmp_path / "t.json",
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={
            "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 1, "pad_type_id": 0, "pad_token": "!",
        },
        post_processor={
            "type": "TemplateProcessing", "single": template, "pair": template,
            "special_tokens": {
                "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
            },
        },
    )  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS))
    assert documents(tokenize([tmp_path / "a.jsonl"], tmp_path / "c", tokenizer=changed)) == TEXTS


def test_separator_of_a_given_tokenizer(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat")
    saved = json.loads(trained.read_text())
    special = saved["added_tokens"][0]
    n_tokens = len(saved["model"]["vocab"])
    renamed = edited(
        trained,
        tmp_path / "s.json",
        added_tokens=[special | {"id": n_tokens, "content": "</s>"}],
    )
    corpus = tokenize([tmp_path / "a.txt"], tmp_path / "s", tokenizer=renamed)
    assert (corpus.separator, corpus.vocab_size) == (n_tokens, n_tokens + 1)
    none = edited(trained, tmp_path / "n.json", added_tokens=[])
    with pytest.raises(InputError, match="with separator"):
        tokenize([tmp_path / "a.txt"], tmp_path / "n", tokenizer=none)
    corpus = tokenize([tmp_path / "a.txt"], tmp_path / "n", tokenizer=none, separator=1)
    assert corpus.separator == 1
    (tmp_path / "b.txt").write_text("the cat!")  # id 1 is "!"
    with pytest.raises(InputError, match=r"b.txt: character 7: .* separator 1"):
        tokenize([tmp_path / "b.txt"], tmp_path / "b", tokenizer=none, separator=1)
    with pytest.raises(InputError, match="no token with this id"):
        tokenize([tmp_path / "a.txt"], tmp_path / "b", tokenizer=none, separator=999)
    with pytest.raises(InputError, match="separator=1"):
        tokenize([tmp_path / "a.txt"], tmp_path / "b", separator=1)


def test_bad_tokenizers_are_refused(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    model = json.loads(trained.read_text())["model"]
    bad = {
        "empty": b"", "object": b"{}", "bytes": b"\xff",
        "dropout": json.dumps(
            json.loads(trained.read_text()) | {"model": model | {"dropout": 0.1}}
        ).encode(),
    }  # fmt: skip
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=tmp_path / name)
    with pytest.raises(InputError, match="No such file"):
        tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=tmp_path / "none")
    for size in (256, 0, True, 1 << 30):
        with pytest.raises(InputError, match="vocab_size"):
            tokenize([tmp_path / "a.txt"], tmp_path / "c", vocab_size=size)
    assert not (tmp_path / "c").exists()


# --- long documents ----------------------------------------------------------------------------


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a document of a few KiB count as long."""
    monkeypatch.setattr(segments, "_SEGMENT_CHARS", 200)
    monkeypatch.setattr(segments, "_STRETCH_CHARS", 20_000)
    monkeypatch.setattr(segments, "_WINDOW_CHARS", 64)
    monkeypatch.setattr(encoding, "_BATCH_ITEMS", 4)
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 333)


LONG = {
    "prose": "the quick brown fox, the lazy dog. \n" * 300,
    "accents": "Gr\u00fc\u00dfe an den Fu\u00df, l\u2019\u00e9t\u00e9 \U0001f600 " * 300,
    "without a cut": "0123456789" * 900,
    "blanks": " " * 9000,
    "cuts late": "7" * 5000 + " the cat" * 500,
    "short": "x",
    "empty": "",
}


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_long_documents_encode_like_the_whole_text(
    tmp_path: Path, trained: Path, case: str, suffix: str
) -> None:
    text = LONG[case]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(text.encode() if suffix == "txt" else jsonl([text]))
    corpus = tokenize([path, path], tmp_path / "c", tokenizer=trained)
    model = tokenizers.Tokenizer.from_file(str(trained))
    whole = [*model.encode(text, add_special_tokens=False).ids, 0]
    assert corpus.tokens.tolist() == whole * 2
    assert corpus.n_documents == 2


@pytest.mark.usefixtures("small_steps")
def test_prose_is_cut_unless_the_tokenizer_uses_distant_text(trained: Path, tmp_path: Path) -> None:
    for changes, parts in (
        ({}, 21),
        ({"normalizer": {"type": "NFC"}}, 21),
        ({"pre_tokenizer": {"type": "Digits", "individual_digits": True}}, 1),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "a.*b"}, "content": ""}}, 1),
    ):
        path = edited(trained, tmp_path / "changed.json", **changes)
        tokenizer = prepare_tokenizer(path.read_bytes(), "changed.json")
        segmenter = segments.Segmenter(tokenizer.reference, tokenizer.description)
        found = list(segmenter.segments(iter([(0, Piece(LONG["prose"], True))])))
        assert len(found) >= parts
        assert (len(found) == 1) == (parts == 1)
        assert "".join(segment.text for segment in found) == LONG["prose"]


# --- refused inputs -----------------------------------------------------------------------------

BAD_INPUTS: dict[str, tuple[str, bytes, str]] = {
    "text": ("a.txt", b"ok\nab\xffc", r"a\.txt:2: not UTF-8 at byte 5"),
    "text, cut character": ("a.txt", b"ok\xe2\x82", r"a\.txt:1: not UTF-8 at byte 2"),
    "text, compressed": ("a.txt.gz", gzip.compress(b"ab\xff"), "byte 2 of its decompressed"),
    "record": ("a.jsonl", jsonl(["x"]) + b'{"text": "\xc3("}', r"a\.jsonl:2: not UTF-8 at byte 33"),
    "json": ("a.jsonl", jsonl(["x"]) + b"{", r"a\.jsonl:2: not valid JSON"),
    "json array": (
        "a.json",
        b'[\n{"text": "x"}\n',
        "after record 1: the JSON array ends",
    ),
    "json scalar": ("a.jsonl", b"5\n", r"a\.jsonl:1: not a JSON object"),
    "json depth": ("a.jsonl", b"[" * 200_000, r"a\.jsonl:1: not valid JSON"),
    "field": ("a.jsonl", b'{"body": "x", "id": 1}', "no field 'text'; its fields are 'body', 'id'"),
    "no fields": ("a.jsonl", b"{}", "its fields are none"),
    "null": ("a.jsonl", b'{"text": null}', r"a\.jsonl:1: the field 'text' is null"),
    "number": ("a.jsonl", b'{"text": 5}', "is a number, not a string"),
    "surrogate": ("a.jsonl", b'{"text": "ab\\ud800"}', r"surrogate pair \(\\ud800 at character 2"),
    "gz truncated": ("a.jsonl.gz", gzip.compress(jsonl(TEXTS))[:-12], "damaged or truncated"),
    "gz, then other bytes": ("a.jsonl.gz", gzip.compress(jsonl(TEXTS)) + b"x", "other bytes"),
    "xz truncated": ("a.jsonl.xz", lzma.compress(jsonl(TEXTS))[:-12], "damaged or truncated"),
    "xz damaged": ("a.txt.xz", lzma.compress(b"x" * 99)[:30] + b"!" * 60, "damaged or truncated"),
    "nothing": ("a.jsonl", b"", "no text to tokenize"),
    "compressed Parquet": ("a.parquet.gz", gzip.compress(b"PAR1"), "decompress it first"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
@pytest.mark.parametrize("train", [True, False])
def test_bad_inputs_are_refused(tmp_path: Path, trained: Path, case: str, train: bool) -> None:
    name, data, message = BAD_INPUTS[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        tokenize([tmp_path / name], tmp_path / "c", tokenizer=None if train else trained)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_zstd_damage_is_detected(tmp_path: Path, trained: Path) -> None:
    whole = zstd(jsonl([f"text {i}" for i in range(999)]))
    for data in (whole[:-5], whole[:4], whole[:20], whole + b"behind it"):
        (tmp_path / "a.jsonl.zst").write_bytes(data)
        with pytest.raises(InputError, match="damaged or truncated"):
            tokenize([tmp_path / "a.jsonl.zst"], tmp_path / "c", tokenizer=trained)


@pytest.mark.parametrize(("name", "extra"), [("a.txt.zst", "zstd"), ("a.parquet", "parquet")])
def test_a_missing_package_names_its_extra(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    (tmp_path / name).write_bytes({"zstd": b"\x28\xb5\x2f\xfd", "parquet": b"PAR1"}[extra])
    real = builtins.__import__

    def blocked(module: str, *rest: Any) -> Any:
        if module.split(".")[0] in ("zstandard", "pyarrow"):
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(NgramstatError, match=rf"pip install 'ngramstat\[{extra}\]'"):
        tokenize([tmp_path / name], tmp_path / "c", tokenizer=trained)


def test_bad_arguments_are_refused(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.jsonl").write_bytes(jsonl(["x"]))
    (tmp_path / "nothing").mkdir()
    for inputs, options, message in (
        ([], {}, "no inputs"),
        ([tmp_path / "nothing"], {}, "directory without files"),
        ([tmp_path / "none"], {}, "No such file"),
        ([tmp_path / "a.txt"], {"document": "record"}, "document='file' or 'line' or 'paragraph'"),
        ([tmp_path / "a.jsonl"], {"document": "file"}, "document='record' or 'line'"),
        ([tmp_path / "a.txt"], {"document": "page"}, "must be one of auto"),
        ([tmp_path / "a.txt"], {"threads": 0}, "threads"),
    ):
        with pytest.raises(InputError, match=message):
            tokenize(inputs, tmp_path / "c", tokenizer=trained, **options)
    tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=trained)
    with pytest.raises(InputError, match="overwrite=True"):
        tokenize([tmp_path / "a.txt"], tmp_path / "c", tokenizer=trained)


def test_an_interruption_leaves_no_corpus(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS))

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoding.Encoder, "_encode_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tokenize([tmp_path / "a.jsonl"], tmp_path / "c", tokenizer=trained)
    assert not (tmp_path / "c").exists()
    assert tokenize([tmp_path / "a.jsonl"], tmp_path / "c", tokenizer=trained).n_documents == 4


# --- a real sample -----------------------------------------------------------------------------


@pytest.mark.skipif(
    not (CORPORA / "wikipedia-en" / "sample.jsonl.xz").exists(),
    reason="no shared corpora here (set NGRAMSTAT_CORPORA)",
)
def test_wikipedia_sample_round_trips(tmp_path: Path) -> None:
    path = CORPORA / "wikipedia-en" / "sample.jsonl.xz"
    corpus = tokenize([path], tmp_path / "c")
    with lzma.open(path, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    assert corpus.vocab_size == 8192
    assert corpus.n_documents == len(texts) == 300
    assert documents(corpus) == texts
