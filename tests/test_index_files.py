"""Index files: what is written, refused, and found out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from ngramstat import Corpus, InputError, NgramstatError
from ngramstat.boundary import Boundary
from ngramstat.index import build as index_build
from ngramstat.index import directory as index_directory
from ngramstat.index import shard_file
from ngramstat.index.manifest import MANIFEST
from ngramstat.index.ngram_index import NgramIndex
from ngramstat.index.plan import plan_shards, settings_of
from ngramstat.index.shard_file import HEADER_BYTES, OpenShard, ShardWriter
from ngramstat.kernels.checksums import Checksum, checksum
from ngramstat.kernels.suffix_order import sorting_bytes

ARRAYS = ("tokens", "suffixes", "token_starts", "document_ends")


def small_corpus(seed=0, size=400, vocab_size=7):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocab_size, size).astype(np.uint16)
    ends = np.unique(np.append(rng.integers(1, size, 9), size))
    return Corpus.from_arrays(tokens, vocab_size=vocab_size, document_ends=ends)


@pytest.fixture
def built(tmp_path):
    """A directory with an index of one shard."""
    NgramIndex.build(small_corpus(), tmp_path / "index", threads=1)
    return tmp_path / "index"


def shard_of(directory, number=0):
    (path,) = directory.glob(f"shard-{number}-*.bin")
    return path


def equal_shards(first, second):
    return len(first) == len(second) and all(
        a.first_token == b.first_token
        and a.first_document == b.first_document
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS)
        for a, b in zip(first, second, strict=True)
    )


# --- what is built ---------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("vocab_size", [1, 7, 65_535, 65_536, 262_144])
def test_files_hold_what_memory_holds(tmp_path, boundary, vocab_size):
    rng = np.random.default_rng(vocab_size)
    tokens = rng.integers(max(vocab_size - 7, 0), vocab_size, 300)
    tokens = tokens.astype(np.uint16 if vocab_size <= 65_536 else np.uint32)
    corpus = Corpus.from_arrays(
        tokens, vocab_size=vocab_size, document_ends=[1, 2, 50, 180, 299, 300]
    )
    for number, options in enumerate(
        [{}, {"depth": 3}, {"shard_tokens": 150}, {"shard_tokens": 130, "depth": 40}]
    ):
        options |= {"boundary": boundary, "threads": 1}
        memory = NgramIndex.build(corpus, **options)
        index = NgramIndex.build(corpus, tmp_path / str(number), **options)
        assert equal_shards(memory.shards, index.shards)
        assert (len(index.shards) > 1) == ("shard_tokens" in options)
        for one in (memory, index):
            one.verify(threads=1)
            assert (one.n_tokens, one.n_documents, one.vocab_size) == (300, 6, vocab_size)
        if boundary == "document":
            inserted = np.concatenate([shard.tokens for shard in index.shards])
            assert np.array_equal(inserted[inserted != vocab_size], tokens)


def test_shards_are_cut_at_documents_and_overlap(tmp_path):
    tokens = np.arange(10_000).astype(np.uint16)
    corpus = Corpus.from_arrays(tokens, document_ends=[10, 3_000, 3_010, 9_000, 10_000])
    index = NgramIndex.build(corpus, tmp_path / "index", shard_tokens=3_500, threads=1)
    index.verify(threads=1)
    # The fourth document does not fit a shard, and goes on in the next one.
    assert [shard.first_token for shard in index.shards] == [0, 3_010, 6_510]
    assert [shard.first_document for shard in index.shards] == [0, 3, 3]
    assert [shard.document_ends.tolist() for shard in index.shards] == [
        [10, 3_000, 3_010],
        [3_500],
        [2_490, 3_490],
    ]
    assert [shard.tokens.size for shard in index.shards] == [3_010 + 4_095, 6_990, 3_490]
    assert index.max_query_length == 4_096
    assert index.n_documents == 5
    short = NgramIndex.build(corpus, shard_tokens=3_500, depth=9, threads=1)
    assert short.max_query_length == 9
    assert [shard.tokens.size for shard in short.shards] == [3_018, 3_508, 3_490]


def test_boundary_document_needs_documents_that_fit():
    corpus = Corpus.from_arrays(np.zeros(100, np.uint16))
    with pytest.raises(InputError, match="has no documents"):
        NgramIndex.build(corpus, boundary="document")
    corpus = Corpus.from_arrays(np.zeros(100, np.uint16), document_ends=[10, 90, 100])
    with pytest.raises(InputError, match=r"document 1 has 80 tokens.*shard_tokens"):
        NgramIndex.build(corpus, boundary="document", shard_tokens=50)


@pytest.mark.parametrize(("separator_position", "stop"), [("after", 0), ("before", 5)])
def test_separators_end_documents_where_they_stand_after_them(separator_position, stop):
    tokens = [1, 2, 0, 3, 0, 4, 0] if separator_position == "after" else [0, 1, 2, 0, 3, 0, 4]
    corpus = Corpus.from_arrays(
        np.array(tokens, np.uint16),
        vocab_size=5,
        separator=0,
        separator_position=separator_position,
    )
    index = NgramIndex.build(corpus, boundary="document", threads=1)
    assert index.settings.stop_token == stop
    assert index.n_tokens == 7
    index.verify(threads=1)


def test_less_memory_makes_more_shards():
    tokens = np.random.default_rng(0).integers(0, 3, 3_000_000).astype(np.uint16)
    corpus = Corpus.from_arrays(tokens, document_ends=np.arange(1, 31) * 100_000)
    settings = settings_of(corpus, None, Boundary.STREAM)

    def plans(budget):
        return plan_shards(corpus, settings, budget=budget, shard_tokens=None, threads=1)

    assert len(plans(None)) == len(plans(1 << 40)) == 1
    many = plans(20 << 20)
    assert len(many) > 1
    assert [plan.first for plan in many[1:]] == [plan.last for plan in many[:-1]]
    assert many[-1].last == 3_000_000
    for plan in many:
        counts = np.bincount(tokens[plan.first : plan.last])
        size = plan.last - plan.first
        assert sorting_bytes(size, int(counts.max()), 3, None, 1) <= 20 << 20
        assert plan.last % 100_000 == 0


def test_an_index_in_memory_needs_memory():
    corpus = Corpus.from_arrays(np.zeros(20_000_000, np.uint16))
    with pytest.raises(InputError, match=r"needs [\d,]+ bytes.*give a path"):
        NgramIndex.build(corpus, memory_limit="150M")


def test_depth_and_other_options_are_checked(tmp_path):
    with pytest.raises(InputError, match="depth=256: must lie between 1 and 255"):
        NgramIndex.build([1, 2], depth=256)
    with pytest.raises(InputError, match="boundary='line'"):
        NgramIndex.build([1, 2], boundary="line")
    with pytest.raises(InputError, match="shard_tokens=0"):
        NgramIndex.build([1, 2], shard_tokens=0)
    with pytest.raises(InputError, match="overwrite=1: must be True or False"):
        NgramIndex.build([1, 2], tmp_path / "x", overwrite=1)


def test_info_and_repr(built):
    index = NgramIndex.open(built)
    info = index.info()
    assert json.loads(json.dumps(info)) == info
    assert (info["tokens"], info["documents"], info["vocab_size"]) == (400, 10, 7)
    assert info["shards"][0]["suffixes"] == 400
    assert "400 tokens, 10 documents, vocabulary 7, boundary stream, full depth, 1 shard)" in repr(
        index
    )
    assert "in memory" in repr(NgramIndex.build([1, 2, 3]))


# --- writing ---------------------------------------------------------------------------------


def test_an_existing_index_is_replaced_only_on_request(built):
    before = shard_of(built).read_bytes()
    with pytest.raises(InputError, match="holds an index already"):
        NgramIndex.build(small_corpus(1), built)
    assert shard_of(built).read_bytes() == before
    index = NgramIndex.build(small_corpus(1), built, overwrite=True)
    index.verify(threads=1)
    assert sorted(p.name for p in built.iterdir()) == sorted(["index.json", shard_of(built).name])


def test_other_directories_and_files_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds other files, such as 'notes.txt'"):
        NgramIndex.build([1, 2], tmp_path, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        NgramIndex.build([1, 2], tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"cannot be read|cannot be written"):
        NgramIndex.build([1, 2], tmp_path / "notes.txt" / "index")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("step", ["sort", "manifest"])
def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch, error, step):
    def fail(*_, **__):
        raise error

    if step == "sort":
        monkeypatch.setattr(index_build, "extra_arrays", fail)
    else:
        monkeypatch.setattr(index_directory, "write_manifest", fail)
    target = tmp_path / "a" / "index"
    with pytest.raises(error):
        NgramIndex.build(small_corpus(), target)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    NgramIndex.build(small_corpus(), target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    monkeypatch.setattr(index_build, "extra_arrays", fail)
    if step == "sort":
        with pytest.raises(error):
            NgramIndex.build(small_corpus(1), target, overwrite=True)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_what_a_killed_build_leaves_is_no_index_and_goes_with_the_next(built):
    shard = shard_of(built)
    shard.rename(built / (shard.name + ".partial"))
    (built / MANIFEST).unlink()
    with pytest.raises(InputError, match="whose build was interrupted"):
        NgramIndex.open(built)
    NgramIndex.build(small_corpus(1), built).verify(threads=1)
    assert len(list(built.iterdir())) == 2


def test_partial_files_of_killed_builds_go_before_the_next_begins(built, monkeypatch):
    killed = built / "shard-0-0123456789abcdef.bin.partial"
    other = built / "notes.bin.partial"
    for path in (killed, other):
        path.write_bytes(b"x")
    before = sorted(built.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(InputError, match="are free there"):
        NgramIndex.build(small_corpus(1), built, overwrite=True)
    assert sorted(built.iterdir()) == [path for path in before if path != killed]


def test_a_file_is_no_directory_for_an_index():
    with pytest.raises(InputError, match=r"^/dev/full: is a file; give a directory to write"):
        NgramIndex.build([1, 2, 3], "/dev/full")


def test_a_full_disk_is_found_out_before(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs [\d,]+ bytes, and 1,000 are free"):
        NgramIndex.build(small_corpus(), tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_is_one_line(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ShardWriter, "write", fail)
    with pytest.raises(NgramstatError, match="index: writing failed: No space left on device"):
        NgramIndex.build(small_corpus(), tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


# --- the corpus of an index ------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """A corpus in a file, and its index."""
    path = tmp_path / "tokens.npy"
    np.save(path, np.random.default_rng(0).integers(0, 99, 50_000).astype(np.uint16))
    NgramIndex.build(Corpus.open(path), tmp_path / "index", threads=1)
    return path, tmp_path / "index"


def test_a_changed_corpus_is_refused_and_a_missing_one_is_not(stored):
    path, directory = stored
    NgramIndex.open(directory, corpus=path)
    tokens = np.load(path)
    tokens[0] += 1
    np.save(path, tokens)
    with pytest.raises(InputError, match=r"tokens.npy has changed.*overwrite=True"):
        NgramIndex.open(directory)
    np.save(path, tokens[:-1])
    with pytest.raises(InputError, match=r"tokens.npy has changed"):
        NgramIndex.open(directory)
    path.unlink()
    NgramIndex.open(directory).verify(threads=1)


def test_another_corpus_is_refused(stored):
    path, directory = stored
    tokens = np.load(path)
    NgramIndex.open(directory, corpus=tokens)
    other = tokens.copy()
    other[-1] ^= 1
    for corpus in (other, tokens[:-1], Corpus.from_arrays(tokens, document_ends=[9, 50_000])):
        with pytest.raises(InputError, match="is the index of another corpus"):
            NgramIndex.open(directory, corpus=corpus)


def test_text_goes_through_a_copy_of_the_tokenizer(tmp_path):
    pytest.importorskip("tokenizers")
    texts = ["the cat sat on the mat", "a dog sat on a log"]
    corpus = Corpus.from_texts(texts, vocab_size=300)
    for index in (
        NgramIndex.build(corpus),
        NgramIndex.build(corpus, tmp_path / "index"),
    ):
        ids = index.tokenizer.encode("the cat")
        assert index.tokenizer.decode(ids) == "the cat"
    (path,) = (tmp_path / "index").glob("tokenizer-*.json")
    path.write_bytes(path.read_bytes() + b" ")
    index = NgramIndex.open(tmp_path / "index")
    with pytest.raises(InputError, match="is not the tokenizer"):
        index.tokenizer.encode("the cat")
    with pytest.raises(InputError, match="is not the tokenizer"):
        index.verify(threads=1)
    path.unlink()
    with pytest.raises(InputError, match=r"tokenizer-.*: is missing"):
        NgramIndex.open(tmp_path / "index")


def test_special_tokens_that_a_text_spells_are_text(tmp_path):
    pytest.importorskip("tokenizers")
    spelled = "the <|endoftext|> cat"
    corpus = Corpus.from_texts(["the cat sat", spelled] * 4, vocab_size=300)
    end = int(corpus.document_ends[1]) - 1  # before the separator
    expected = np.asarray(corpus.tokens[int(corpus.document_ends[0]) : end])
    for index in (NgramIndex.build(corpus), NgramIndex.build(corpus, tmp_path / "index")):
        ids = index.tokenizer.encode(spelled)
        assert ids.tolist() == expected.tolist()
        assert corpus.separator not in ids
        assert index.tokenizer.decode(ids) == spelled


# --- damaged files ---------------------------------------------------------------------------


def test_every_byte_of_the_header_counts(built):
    path = shard_of(built)
    data = path.read_bytes()
    for at in range(HEADER_BYTES):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ (1 << at % 8)]))
            file.flush()
            with pytest.raises(InputError, match=r"damaged|version|no shard"):
                OpenShard(path)
            file.seek(at)
            file.write(data[at : at + 1])
    NgramIndex.open(built).verify(threads=1)


def test_every_byte_of_the_manifest_counts(built):
    path = built / MANIFEST
    data = path.read_bytes()
    before = NgramIndex.open(built).info()
    same = 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 7
        path.write_bytes(changed)
        # Changes of the white space between its parts change nothing.
        with contextlib.suppress(InputError):
            assert NgramIndex.open(built).info() == before
            same += 1
    assert same < data.count(b" ") + data.count(b"\n")


def test_truncated_files_are_refused(built):
    path = shard_of(built)
    data = path.read_bytes()
    places = {0, 1, 7, 8, 16, 24, 100, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1}
    for section in OpenShard(path).sections:
        places |= {section.offset - 1, section.offset, section.offset + 1, section.end - 1}
    for place in sorted(place for place in places if place < len(data)):
        path.write_bytes(data[:place])
        with pytest.raises(InputError, match="damaged"):
            NgramIndex.open(built)
    path.write_bytes(data + b"\0")
    with pytest.raises(InputError, match="bytes, not"):
        NgramIndex.open(built)
    manifest = built / MANIFEST
    path.write_bytes(data)
    text = manifest.read_bytes()
    for place in (0, 1, 100, len(text) - 3):
        manifest.write_bytes(text[:place])
        with pytest.raises(InputError, match=r"index\.json"):
            NgramIndex.open(built)


def test_a_thousand_flipped_bits_are_found(built):
    path = shard_of(built)
    size = path.stat().st_size
    rng = np.random.default_rng(0)
    shard = OpenShard(path)
    with open(path, "r+b") as file:
        for at in rng.integers(HEADER_BYTES, size, 1000).tolist():
            file.seek(at)
            (byte,) = file.read(1)
            for value in (byte ^ (1 << int(rng.integers(8))), byte):
                file.seek(at)
                file.write(bytes([value]))
                file.flush()
                if value != byte:
                    with pytest.raises(InputError, match="damaged"):
                        shard.verify()
    shard.verify()


def rewritten(path, change):
    """Change the description of a shard's header, and make its checksum right."""
    data = bytearray(path.read_bytes())
    length = struct.unpack_from("<I", data, 12)[0]
    described = json.loads(data[24 : 24 + length])
    change(described)
    text = json.dumps(described).encode()
    body = text.ljust(HEADER_BYTES - 24, b"\0")
    struct.pack_into("<IQ", data, 12, len(text), int(checksum(body), 16))
    data[24:HEADER_BYTES] = body
    path.write_bytes(data)


def section_named(described, name):
    return next(section for section in described["sections"] if section["name"] == name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: section_named(d, "suffixes").update(offset=0), "not where the one before"),
        (lambda d: section_named(d, "suffixes").update(offset=8193), "not where the one before"),
        (lambda d: d["sections"][-1].update(count=1 << 50), "bytes, not"),
        (lambda d: section_named(d, "suffixes").update(count=1 << 70), "is none"),
        (lambda d: section_named(d, "suffixes").update(count=-1), "is none"),
        (lambda d: section_named(d, "suffixes").update(count=1.5), "is none"),
        (lambda d: section_named(d, "suffixes").update(dtype="object"), "is none"),
        (lambda d: section_named(d, "suffixes").update(name="../x"), "is none"),
        (lambda d: section_named(d, "suffixes").update(name="tokens"), "the same name"),
        (lambda d: section_named(d, "tokens").update(extra=1), "cannot be read"),
        (lambda d: d.update(sections=3), "cannot be read"),
        (lambda d: d.pop("sections"), "cannot be read"),
        (lambda d: d["sections"].reverse(), "not where the one before"),
    ],
)
def test_descriptions_that_make_no_sense(built, change, message):
    path = shard_of(built)
    rewritten(path, change)
    with pytest.raises(InputError, match=message):
        OpenShard(path)


def test_files_of_other_builds_versions_and_kinds(built, tmp_path):
    other = tmp_path / "other"
    NgramIndex.build(small_corpus(2), other, threads=1)
    path, data = shard_of(built), shard_of(built).read_bytes()
    path.write_bytes(shard_of(other).read_bytes())
    with pytest.raises(InputError, match="belongs to another build"):
        NgramIndex.open(built)
    path.write_bytes(data[:8] + struct.pack("<I", 7) + data[12:])
    with pytest.raises(InputError, match=r"has version 7.*reads version 1"):
        NgramIndex.open(built)
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(InputError, match="no shard of an index"):
        NgramIndex.open(built)
    path.unlink()
    with pytest.raises(InputError, match=r"shard-0-.*: is missing"):
        NgramIndex.open(built)
    path.mkdir()
    with pytest.raises(InputError, match="is a directory"):
        NgramIndex.open(built)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        NgramIndex.open(built)


def manifest_with(directory, change):
    """Change the manifest, and make its checksum right."""
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    del content["checksum"]
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**content, "checksum": checksum(text)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema="ngramstat.index/9"), "of version"),
        (lambda m: m.update(schema="ngramstat.run/1"), "not the description of an index"),
        (lambda m: m.update(schema=3), "not the description of an index"),
        (lambda m: m.update(build="x"), "does not describe"),
        (lambda m: m.update(shards=[]), "no shards"),
        (lambda m: m["shards"][0].update(file="../../etc/passwd"), "does not describe"),
        (lambda m: m["shards"][0].update(suffixes=399), "do not hold as many"),
        (lambda m: m["shards"][0].update(tokens=1 << 33), "whole number"),
        (lambda m: m["shards"][0].update(documents=11), "other sizes"),
        (lambda m: m["shards"].append(m["shards"][0]), "do not follow"),
        (lambda m: m["settings"].update(vocab_size=8), "other sizes"),
        (lambda m: m["settings"].update(boundary="document"), "contradict"),
        (lambda m: m["settings"].update(boundary="line"), "does not describe"),
        (lambda m: m["settings"].update(depth=0), "does not describe"),
        (lambda m: m.pop("settings"), "does not describe"),
        (lambda m: m["corpus"].pop("fingerprint"), "does not describe"),
        (lambda m: m.update(corpus=None), "does not describe"),
        (lambda m: m.update(tokenizer={"file": "tokenizer.json", "sha256": ""}), "does not"),
    ],
)
def test_manifests_that_make_no_sense(built, change, message):
    manifest_with(built, change)
    with pytest.raises(InputError, match=message):
        NgramIndex.open(built)


def test_manifests_of_other_kinds(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        NgramIndex.open(tmp_path / "none")
    with pytest.raises(InputError, match="is no index"):
        NgramIndex.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        NgramIndex.open(tmp_path / "file")
    for text in ("[]", "3", "{}", "{", '"x"', "null"):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(InputError, match=r"index\.json"):
            NgramIndex.open(tmp_path)


# --- arrays that are whole and wrong ---------------------------------------------------------


def with_arrays(directory, **arrays):
    """Replace arrays of the only shard, and make all checksums right."""
    path = shard_of(directory)
    opened = OpenShard(path)
    held = {name: array.copy() for name, array in opened.arrays().items()} | arrays
    path.unlink()
    with ShardWriter(path) as file:
        for name, values in held.items():
            file.add(name, values)
        header = file.finish(**opened.description)
    size = path.stat().st_size
    manifest_with(directory, lambda m: m["shards"][0].update(header=header, bytes=size))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("suffixes", lambda a: np.roll(a, 1), "not in order"),
        ("suffixes", lambda a: np.where(a == 5, 6, a), "position 6 stands in them twice"),
        ("suffixes", lambda a: np.where(a == 5, 400, a), "at position 400, of 400"),
        ("suffixes", lambda a: np.where(a == 5, 2**32 - 1, a), "at position 4294967295"),
        ("tokens", lambda a: np.where(np.arange(a.size) == 3, 7, a), "token_starts|below"),
        ("tokens", lambda a: np.where(np.arange(a.size) == 3, 60_000, a), "tokens: token 60000"),
        ("tokens", lambda a: np.roll(a, 1), "not in order"),
        ("document_ends", lambda a: np.where(a == a[0], 0, a), "document_ends"),
        ("document_ends", lambda a: np.sort(np.append(a[1:], a[-1])), "document_ends"),
    ],
)  # fmt: skip
def test_verify_reads_what_arrays_say(built, name, change, message):
    array = OpenShard(shard_of(built)).arrays()[name]
    with_arrays(built, **{name: change(array).astype(array.dtype)})
    with pytest.raises(InputError, match=message):
        NgramIndex.open(built).verify(threads=1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("token_starts", lambda a: np.where(a == a[1], -1, a)),
        ("token_starts", lambda a: a[::-1]),
        ("token_starts", lambda a: a + 1),
        ("document_ends", lambda a: a - 1),
        ("token_starts", lambda a: a[:-1]),
        ("suffixes", lambda a: a[:-1]),
        ("suffixes", lambda a: a.astype(np.int64)),
        ("tokens", lambda a: a.astype(np.float32)),
    ],
)
def test_sizes_and_bounds_are_checked_when_opened(built, name, change):
    array = OpenShard(shard_of(built)).arrays()[name]
    with_arrays(built, **{name: np.ascontiguousarray(change(array))})
    with pytest.raises(InputError, match="index"):
        NgramIndex.open(built)


def test_swapped_neighbours_are_found_at_every_depth(tmp_path):
    rng = np.random.default_rng(0)
    for depth in (None, 2):
        for boundary in ("stream", "document"):
            directory = tmp_path / f"{depth}-{boundary}"
            NgramIndex.build(small_corpus(), directory, depth=depth, boundary=boundary, threads=1)
            suffixes = OpenShard(shard_of(directory)).arrays()["suffixes"].copy()
            for at in rng.integers(0, suffixes.size - 1, 10):
                swapped = suffixes.copy()
                swapped[[at, at + 1]] = swapped[[at + 1, at]]
                with_arrays(directory, suffixes=swapped)
                with pytest.raises(InputError, match="not in order"):
                    NgramIndex.open(directory).verify(threads=1)


# --- anything else ---------------------------------------------------------------------------


def fuzz(directory, scratch, seconds, seed):
    """Damage files at random; opening and verifying raise InputError or find nothing wrong."""
    rng = np.random.default_rng(seed)
    end, rounds, refused = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end or rounds < 100:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(directory, scratch)
        paths = sorted(scratch.iterdir())
        path = paths[int(rng.integers(len(paths)))]
        data = bytearray(path.read_bytes())
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(len(data)))
            if rng.integers(3):
                at = min(at, int(rng.integers(1, 3000)))
            kind = rng.integers(4)
            if kind == 0:
                data[at] = int(rng.integers(256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 50))]
            elif kind == 2:
                data[at:at] = rng.bytes(int(rng.integers(1, 50)))
            else:
                data[at : at + 8] = bytes([255 * int(rng.integers(2))]) * 8
            if not data:
                break
        if path.suffix == ".bin" and len(data) > HEADER_BYTES and rng.integers(2):
            body = bytes(data[24:HEADER_BYTES])
            struct.pack_into("<Q", data, 16, int(checksum(body), 16))
            if data[12] < 255:
                manifest_with(scratch, lambda m, b=body: m["shards"][0].update(header=checksum(b)))
        path.write_bytes(data)
        try:
            NgramIndex.open(scratch).verify(threads=1)
        except InputError:
            refused += 1
        rounds += 1
    return rounds, refused


def test_random_damage_never_crashes(built, tmp_path):
    rounds, refused = fuzz(built, tmp_path / "scratch", 1.0, 0)
    assert refused > rounds // 2


@pytest.mark.nightly
def test_random_damage_never_crashes_for_long(built, tmp_path):
    seconds = float(os.environ.get("NGRAMSTAT_FUZZ_SECONDS", "600"))
    rounds, refused = fuzz(built, tmp_path / "scratch", seconds, time.time_ns())
    assert refused > rounds // 2


# --- checksums -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # the test vectors of XXH64 with seed 0
        (b"", "ef46db3751d8e999"),
        (b"a", "d24ec4f1a98c6e5b"),
        (b"abc", "44bc2cf5ad770999"),
        (b"abcdefghijklmnopqrstuvwxyz", "cfe1f278fa89835c"),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "aaa46907d3047814"),
    ],
)
def test_checksums_are_xxh64_whatever_the_pieces(data, expected):
    assert checksum(data) == expected
    whole = Checksum()
    array = np.frombuffer(data, np.uint8)
    for start in range(0, len(data), 5):
        whole.update(array[start : start + 5])
        whole.hexdigest()
    assert whole.hexdigest() == expected


def test_writers_refuse_what_cannot_be_described(tmp_path):
    with ShardWriter(tmp_path / "x.bin") as file:
        for name, dtype in (("Tokens", "uint16"), ("../x", "uint16"), ("x", "complex128")):
            with pytest.raises(ValueError, match="no array of an index"):
                file.begin(name, np.dtype(dtype))
        file.begin("x", np.dtype(np.uint16))
        with pytest.raises(ValueError, match="x: values of int64"):
            file.write(np.zeros(3, np.int64))
        for number in range(200):
            file.add(f"array_{number}", np.zeros(1, np.uint8))
        with pytest.raises(NgramstatError, match="too many arrays"):
            file.finish()
    assert shard_file.VERSION == 1
    assert isinstance(file.path, Path)
