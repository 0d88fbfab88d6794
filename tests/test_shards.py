"""Many files as one corpus: which files are taken, in which order, and what they must share."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.corpus import Corpus, CorpusWriter, inspect, token_file
from ngramstat.errors import InputError
from ngramstat.results import RunResult

EOT = 50256


def raw(path: Path, ids: Any, dtype: str = "<u2") -> Path:
    np.asarray(ids, dtype=dtype).tofile(path)
    return path


def llmc(path: Path, ids: list[int], *, magic: int = 20240520, dtype: str = "<u2") -> Path:
    header = np.zeros(256, "<i4")
    header[:3] = magic, 1 if magic == 20240520 else 7, len(ids)
    path.write_bytes(header.tobytes() + np.asarray(ids, dtype=dtype).tobytes())
    return path


def ends(corpus: Corpus) -> list[int]:
    assert corpus.document_ends is not None
    return corpus.document_ends.tolist()


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# --- documents across files ----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_documents_run_across_the_shards_of_llmc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "disk":
        monkeypatch.setattr(token_file, "_IN_MEMORY_BYTES", 8)
    llmc(tmp_path / "fineweb_train_000001.bin", [EOT, 1, 2, EOT, 3])
    llmc(tmp_path / "fineweb_train_000002.bin", [4, 5, EOT, 6])
    llmc(tmp_path / "fineweb_train_000010.bin", [EOT, 7])
    llmc(tmp_path / "fineweb_val_000000.bin", [EOT, 8])
    corpus = Corpus.open(tmp_path)
    assert corpus.tokens.tolist() == [EOT, 1, 2, EOT, 3, 4, 5, EOT, 6, EOT, 7]
    assert ends(corpus) == [3, 7, 9, 11]
    assert (corpus.separator, corpus.separator_position) == (EOT, "before")
    taken, left, separator = corpus.notes
    assert (
        "read fineweb_train_000001.bin, fineweb_train_000002.bin, fineweb_train_000010.bin" in taken
    )
    assert "left out fineweb_val_000000.bin" in left
    assert "--held-out" in left
    assert "GPT-2 puts before each document" in separator
    assert [shard.tokens for shard in corpus.shards] == [5, 4, 2]
    one = Corpus.from_arrays(corpus.tokens, vocab_size=corpus.vocab_size)
    assert one.sha256 == corpus.sha256


def test_a_known_separator_is_used_only_where_the_stream_begins_with_it(tmp_path: Path) -> None:
    alone = Corpus.open(llmc(tmp_path / "a.bin", [1, 2, EOT, 3]))
    assert (alone.separator, alone.n_documents) == (None, 0)
    assert "--separator 50256" in alone.notes[0] or "separator=50256" in alone.notes[0]
    assert Corpus.open(llmc(tmp_path / "b.bin", [1, 2, 3])).notes == ()
    llama = llmc(tmp_path / "c.bin", [128000, 1, 128000, 2], magic=20240801, dtype="<u4")
    assert ends(Corpus.open(llama)) == [2, 4]
    assert ends(Corpus.open(llama, separator=1)) == [1, 4]
    assert Corpus.open(llama, separator=1).separator == 1


@pytest.mark.parametrize(
    ("ids", "stated", "position", "documents", "noted"),
    [
        ([9, 1, 9, 2], None, "before", [2, 4], False),
        ([1, 9, 2, 9], None, "after", [2, 4], False),
        ([1, 9, 2], None, "after", [2, 3], True),
        ([9, 1, 9], None, "after", [1, 3], True),
        ([1, 9, 2], "before", "before", [1, 3], False),
        ([9, 1, 9, 2], "after", "after", [1, 3, 4], False),
    ],
)
@pytest.mark.parametrize("format", ["raw", "npy"])
def test_the_data_show_where_separators_stand(
    tmp_path: Path, ids: list[int], stated: Any, position: str, documents: list[int], noted: bool,
    format: str,
) -> None:  # fmt: skip
    path = tmp_path / f"a.{format if format == 'npy' else 'u16'}"
    np.save(path, np.array(ids, "<u2")) if format == "npy" else raw(path, ids)
    corpus = Corpus.open(path, separator=9, separator_position=stated)
    assert (corpus.separator_position, ends(corpus)) == (position, documents)
    assert bool(corpus.notes) == noted
    inspection = inspect(path, separator=9, separator_position=stated)
    assert inspection.separator_position == position


def test_a_position_needs_a_separator(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.u16", [1, 2])
    with pytest.raises(InputError, match="needs the id of the separator"):
        Corpus.open(path, separator_position="before")
    with pytest.raises(InputError, match="must be before or after"):
        Corpus.open(path, separator_position="middle")  # type: ignore[arg-type]


# --- which files ---------------------------------------------------------------------------------


def test_order_is_that_of_the_numbers_in_names(tmp_path: Path) -> None:
    paths = [raw(tmp_path / f"part-{n}.u16", [n] * 3) for n in (1, 2, 10)]
    in_order = [1, 1, 1, 2, 2, 2, 10, 10, 10]
    as_a_shell_lists_them = [paths[0], paths[2], paths[1]]
    for places in (tmp_path, tmp_path / "part-*.u16", paths, as_a_shell_lists_them):
        assert Corpus.open(places).tokens.tolist() == in_order
    stated = Corpus.open([paths[2], paths[0], paths[1]])
    assert stated.tokens.tolist() == [10] * 3 + [1] * 3 + [2] * 3
    assert "order of the numbers" in Corpus.open(as_a_shell_lists_them).notes[0]


def test_what_a_directory_holds_is_taken_or_named(tmp_path: Path) -> None:
    raw(tmp_path / "train.bin", [1, 2, 3])
    raw(tmp_path / "val.bin", [4, 5])
    (tmp_path / "meta.pkl").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(InputError, match="do not record their type"):
        Corpus.open(tmp_path)
    corpus = Corpus.open(tmp_path, dtype="uint16")
    assert corpus.tokens.tolist() == [1, 2, 3]
    assert corpus.notes[0] == "read train.bin"
    assert "left out val.bin" in corpus.notes[1]
    assert "left out meta.pkl" in corpus.notes[2]
    np.save(tmp_path / "ids.npy", np.arange(3))
    with pytest.raises(
        InputError, match=r"ids.npy \(npy\).*train.bin.* \(raw\)|train.bin.*ids.npy"
    ):
        Corpus.open(tmp_path, dtype="uint16")
    assert Corpus.open(tmp_path, format="npy").tokens.tolist() == [0, 1, 2]


def test_directories_without_stores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("x")
    with pytest.raises(InputError, match=r"not a corpus directory.*readme\.md"):
        Corpus.open(tmp_path)
    with pytest.raises(InputError, match="no file matches"):
        Corpus.open(tmp_path / "*.bin")
    with pytest.raises(InputError, match="no corpus is named"):
        Corpus.open([])


def test_a_glob_may_match_files_for_validation_and_says_so(tmp_path: Path) -> None:
    raw(tmp_path / "a_train.u16", [1])
    raw(tmp_path / "a_val.u16", [2])
    corpus = Corpus.open(tmp_path / "a_*.u16")
    assert corpus.tokens.tolist() == [1, 2]
    assert "a_val.u16 among them" in corpus.notes[1]
    assert len(Corpus.open(tmp_path / "a_val*").notes) == 0


def test_a_file_counts_once(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.u16", [1, 2])
    (tmp_path / "link.u16").symlink_to(path)
    for other in (path, tmp_path / "link.u16", tmp_path / "." / "a.u16"):
        with pytest.raises(InputError, match="is the same file as"):
            Corpus.open([path, other])
    raw(tmp_path / "copy.u16", [1, 2])
    assert "repeat another one's contents" in inspect([path, tmp_path / "copy.u16"]).problems[0]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("datatrove", {"0_a.ds": [1, 2], "0_a.ds.index": [1, 2], "0_a.ds.metadata": b"gpt2|2\n2",
                       "1_a.ds": [3], "1_a.ds.index": [1], "0_a.ds.loss": b"\1\1"}),
        ("dolma", {"part-0.npy": [1, 2], "part-0.csv.gz": b"0,1,a,b,1\n1,2,c,d,2\n",
                   "part-1.npy": [3], "part-1.csv.gz": b"0,1,a,b,1\n"}),
    ],
)  # fmt: skip
def test_folders_of_other_tools(tmp_path: Path, name: str, files: dict[str, Any]) -> None:
    for file, content in files.items():
        if isinstance(content, list):
            raw(tmp_path / file, content, "<u8" if file.endswith("index") else "<u2")
        else:
            (tmp_path / file).write_bytes(
                gzip.compress(content) if file.endswith(".gz") else content
            )
    corpus = Corpus.open(tmp_path)
    assert (corpus.format, corpus.tokens.tolist(), ends(corpus)) == (name, [1, 2, 3], [1, 2, 3])
    assert len(corpus.notes) == 1
    assert [shard.path.name for shard in corpus.shards] == [
        file for file in files if file.endswith((".ds", ".npy"))
    ]


def test_corpora_join(tmp_path: Path) -> None:
    for name, documents in (("a", [[1, 2], [3]]), ("b", [[4]])):
        with CorpusWriter(tmp_path / name, 10, separator=9) as writer:
            writer.append_batch(documents)
            writer.finish()
    corpus = Corpus.open([tmp_path / "a", tmp_path / "b"])
    assert corpus.tokens.tolist() == [1, 2, 9, 3, 9, 4, 9]
    assert ends(corpus) == [3, 5, 7]
    assert (corpus.vocab_size, corpus.separator) == (10, 9)
    records = corpus.info()["shards"]
    assert [record["bytes"] for record in records] == [10, 4]
    with CorpusWriter(tmp_path / "c", 11, separator=9) as writer:
        writer.append([1])
        writer.finish()
    with pytest.raises(InputError, match=r"c: its vocabulary size is 11, that of .*a 10"):
        Corpus.open([tmp_path / "a", tmp_path / "c"])


# --- Megatron ------------------------------------------------------------------------------------


def megatron(prefix: Path, pieces: dict[str, list[int]], lengths: list[int]) -> None:
    index = b"MMIDIDX\0\0" + np.array([1], "<u8").tobytes() + b"\x08"
    pointers = (np.cumsum(lengths) - lengths) * 2
    marks = np.arange(len(lengths) + 1)
    index += np.array([len(lengths), len(marks)], "<u8").tobytes()
    index += np.array(lengths, "<i4").tobytes() + pointers.astype("<i8").tobytes()
    prefix.with_name(prefix.name + ".idx").write_bytes(index + marks.astype("<i8").tobytes())
    for suffix, ids in pieces.items():
        raw(prefix.with_name(prefix.name + suffix), ids)


def test_a_megatron_prefix_may_hold_dots(tmp_path: Path) -> None:
    prefix = tmp_path / "c4.en_text_document"
    megatron(prefix, {".bin": [1, 2, 3]}, [1, 2])
    for place, format in ((prefix, "auto"), (prefix, "megatron"), (f"{prefix}.bin", "auto")):
        assert ends(Corpus.open(place, format=format)) == [1, 3]
    assert Corpus.open(tmp_path).tokens.tolist() == [1, 2, 3]
    megatron(tmp_path / "d_text_document", {".bin": [4, 5]}, [2])
    both = Corpus.open(tmp_path)
    assert (both.tokens.tolist(), ends(both)) == ([1, 2, 3, 4, 5], [1, 3, 5])


def test_pieces_of_one_file_share_their_index(tmp_path: Path) -> None:
    # Pythia's last number is the last piece, not their count.
    pieces = {f"-0000{n}-of-00002.bin": ids for n, ids in enumerate(([1, 2], [3, 4], [5]))}
    megatron(tmp_path / "document", pieces, [3, 2])
    all_pieces = sorted(tmp_path.glob("*.bin"))
    for place in (tmp_path / "document", tmp_path / "document.idx", tmp_path, all_pieces,
                  tmp_path / "document-*.bin"):  # fmt: skip
        corpus = Corpus.open(place)
        assert (corpus.tokens.tolist(), ends(corpus)) == ([1, 2, 3, 4, 5], [3, 5])
        assert [shard.path.name for shard in corpus.shards] == [p.name for p in all_pieces]
    with pytest.raises(InputError, match=r"belongs to all of its pieces.*document-00001-of-00002"):
        Corpus.open(all_pieces[1])
    alone = Corpus.open(all_pieces[1], format="raw", dtype="uint16")
    assert alone.tokens.tolist() == [3, 4]
    all_pieces[1].unlink()
    with pytest.raises(InputError, match="lacks piece 1 of 2"):
        Corpus.open(tmp_path / "document")


# --- shards.json ---------------------------------------------------------------------------------


def listed(directory: Path, shards: list[Any], **fields: Any) -> Path:
    path = directory / "shards.json"
    path.write_text(json.dumps({"schema": "ngramstat.shards/1", "shards": shards, **fields}))
    return path


def test_a_list_of_shards_states_order_and_options(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    a, b = raw(tmp_path / "data/a.bin", [1, 0]), raw(tmp_path / "data/b.bin", [2, 0])
    digest = hashlib.sha256(a.read_bytes()).hexdigest()
    path = listed(
        tmp_path,
        ["data/b.bin", {"path": "data/a.bin", "bytes": 4, "sha256": digest}],
        dtype="uint16", vocab_size=5, separator=0, separator_position="after", format="raw",
    )  # fmt: skip
    for place in (tmp_path, path):
        corpus = Corpus.open(place)
        assert corpus.tokens.tolist() == [2, 0, 1, 0]
        assert (ends(corpus), corpus.vocab_size, corpus.separator) == ([2, 4], 5, 0)
    # What a run records of its shards can be pasted.
    listed(tmp_path, Corpus.open([b, a], dtype="uint16").info()["shards"], dtype="uint16")
    assert Corpus.open(tmp_path).tokens.tolist() == [2, 0, 1, 0]
    for options in ({"dtype": "uint32"}, {"format": "npy"}):
        if options == {"format": "npy"}:
            listed(tmp_path, ["data/a.bin"], format="raw")
        with pytest.raises(InputError, match="records"):
            Corpus.open(tmp_path, **options)


@pytest.mark.parametrize(
    ("shards", "fields", "message"),
    [
        ([], {}, "shards must be a list"),
        (["a.u16", 3], {}, r"shards\[1\]: must be a path"),
        ([{"path": "a.u16", "size": 3}], {}, "unknown field 'size'"),
        ([{"path": "a.u16", "bytes": 5}], {}, "has 4 bytes, shards.json records 5"),
        ([{"path": "a.u16", "tokens": 5}], {}, "records 5 tokens, but its shards hold 2"),
        ([{"path": "a.u16", "sha256": "0" * 64}], {}, "its sha256 is not the one"),
        ([{"path": "a.u16", "sha256": "x"}], {}, "64 hexadecimal digits"),
        ([{"path": "a\0b"}], {}, "NUL"),
        (["b.u16"], {}, "No such file"),
        (["a.u16", "a.u16"], {}, "same file"),
        (["a.u16"], {"kind": 1}, "unknown field 'kind'"),
        (["a.u16"], {"schema": "x"}, "its schema must be"),
        (["a.u16"], {"dtype": "int9"}, "uint16 or uint32"),
        (["a.u16"], {"separator": -1}, "separator must be an integer"),
        (["a.u16"], {"separator_position": "under"}, "before or after"),
        (["a.u16"], {"format": 3}, "format must be a string"),
        (["a.u16"], {"format": "word"}, "must be auto or one of"),
    ],
)
def test_bad_lists_are_refused(
    tmp_path: Path, shards: list[Any], fields: dict[str, Any], message: str
) -> None:
    raw(tmp_path / "a.u16", [1, 2])
    listed(tmp_path, shards, **fields)
    with pytest.raises(InputError, match=message):
        Corpus.open(tmp_path)
    raw(tmp_path / "c.u16", [1, 2])
    with pytest.raises(InputError):
        Corpus.open([tmp_path / "shards.json", tmp_path / "c.u16"])


# --- what shards share ---------------------------------------------------------------------------


def test_shards_of_several_kinds_are_refused_by_naming_both(tmp_path: Path) -> None:
    a = raw(tmp_path / "a.u16", [1, 2])
    b = raw(tmp_path / "b.u32", [1, 2], "<u4")
    c = tmp_path / "c.npy"
    np.save(c, np.array([1, 2], "<u2"))
    d = tmp_path / "d.npy"
    np.save(d, np.array([1, 2], "<i8"))
    for one, other, label in ((a, b, "dtype"), (a, c, "format"), (c, d, "dtype")):
        with pytest.raises(InputError, match=f"{other.name}: its {label} is .*{one.name}"):
            Corpus.open([one, other])


def test_wide_types_join_as_one_type(tmp_path: Path) -> None:
    for name, ids in (("a", [1, 2]), ("b", [70_000, 3])):
        np.save(tmp_path / f"{name}.npy", np.array(ids, "<i8"))
    corpus = Corpus.open(tmp_path)
    assert (corpus.tokens.tolist(), corpus.dtype) == ([1, 2, 70_000, 3], np.dtype("uint32"))
    with pytest.raises(InputError, match=r"b\.npy: token 0 \(70000\) is above 65535"):
        Corpus.open(tmp_path, dtype="uint16")


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["inspect", "plan", "entropies", "correlations"])
def test_commands_take_several_paths(tmp_path: Path, command: str) -> None:
    ids = np.random.default_rng(0).integers(1, 20, 4000)
    paths = [raw(tmp_path / f"{n}.bin", part) for n, part in enumerate(np.split(ids, 2))]
    options = ["--dtype", "uint16", "--json"]
    if command != "inspect":
        options += ["--lags", "1,2"] if command == "correlations" else ["--max-context", "1"]
    options += ["--replicates", "9"] if command in ("entropies", "correlations") else []
    options = [o for o in options if command != "plan" or o not in ("--max-context", "1")]
    result = run("--quiet", "--threads", "1", command, *paths, *options)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    if command == "inspect":
        assert (printed["tokens"], len(printed["shards"])) == (4000, 2)
    elif command != "plan":
        assert printed["corpus"]["tokens"] == 4000


def test_a_run_records_its_shards_and_finds_them_again(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(1, 20, 6000)
    paths = [raw(tmp_path / f"{n}.bin", part) for n, part in enumerate(np.split(ids, 3))]
    corpus = Corpus.open(paths, dtype="uint16")
    one = raw(tmp_path / "whole.bin", ids)
    assert corpus.sha256 == Corpus.open(one, dtype="uint16").sha256
    result = ngramstat.measure(
        corpus, lags=(1, 2), max_context=1, replicates=19, predictor="kneser-ney",
        output=tmp_path / "run", threads=1,
    )  # fmt: skip
    loaded = RunResult.load(tmp_path / "run" / "run.json")
    assert loaded.corpus == result.corpus
    shards = loaded.corpus["shards"]
    assert [shard["path"] for shard in shards] == [str(path) for path in paths]
    assert [shard["tokens"] for shard in shards] == [2000] * 3
    assert [shard["bytes"] for shard in shards] == [4000] * 3
    assert shards[1]["sha256"] == hashlib.sha256(paths[1].read_bytes()).hexdigest()
    assert ngramstat.theories(tmp_path / "run", longest=2, threads=1).corpus == result.corpus
    assert result.answer is not None
    command = " ".join(result.answer.next)
    assert f"{paths[0]} {paths[1]} {paths[2]} --dtype uint16" in command or not result.answer.next
