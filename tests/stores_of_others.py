"""Token stores as other programs write them, made byte by byte, and damaged copies of them."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.errors import NgramstatError

Documents = Sequence[Sequence[int]]
#: Documents of different lengths, one of them a single token.
DOCUMENTS: Documents = [[9, 1, 2], [3], [4, 5, 9, 6], [7, 8]]


def stream(documents: Documents) -> list[int]:
    return [token for document in documents for token in document]


def ends(documents: Documents) -> list[int]:
    return np.cumsum([len(document) for document in documents if document]).tolist()


def pack(numbers: Sequence[int], dtype: str) -> bytes:
    return np.array(numbers, dtype=dtype).tobytes()


def table(samples: Sequence[bytes], between: bytes = b"") -> bytes:
    """A count, offsets, `between`, and the samples: the chunks of litdata and MDS."""
    start = 4 * (len(samples) + 2) + len(between)
    offsets = start + np.cumsum([0, *map(len, samples)])
    return pack([len(samples), *offsets], "<u4") + between + b"".join(samples)


def write_litdata(
    directory: Path,
    documents: Documents = DOCUMENTS,
    *,
    data_format: str = "no_header_tensor:16",
    dtype: str = "<i4",
    compress: Callable[[bytes], bytes] | None = None,
    sized: bool = False,
    **config: Any,
) -> Path:
    """Two chunks; `sized` items are those of litdata's PyTreeLoader."""
    directory.mkdir(parents=True, exist_ok=True)
    half = len(documents) // 2
    chunks = []
    for number, part in enumerate((documents[:half], documents[half:])):
        items = [pack(document, dtype) for document in part]
        if sized:
            items = [pack([len(item)], "<u4") + item for item in items]
        data = table(items)
        name = f"chunk-0-{number}{'.zstd' if compress else ''}.bin"
        (directory / name).write_bytes(compress(data) if compress else data)
        dim = None if sized else sum(map(len, part))
        chunks.append(
            {"chunk_bytes": len(data), "chunk_size": len(part), "filename": name, "dim": dim}
        )
    settings = {
        "compression": "zstd" if compress else None, "chunk_size": None, "chunk_bytes": 64,
        "data_format": [data_format], "data_spec": None, "encryption": None, **config,
    }  # fmt: skip
    index = {"chunks": chunks, "config": settings}
    (directory / "index.json").write_text(json.dumps(index))
    return directory


def write_mds(
    directory: Path,
    documents: Documents = DOCUMENTS,
    *,
    encoding: str = "bytes",
    encode: Callable[[Sequence[int]], bytes] = lambda ids: pack(ids, "<i8"),
    compress: Callable[[bytes], bytes] | None = None,
) -> Path:
    """Two shards of samples with the columns id (8 bytes), text and tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "version": 2, "format": "mds", "compression": "zstd:7" if compress else None,
        "hashes": [], "size_limit": 64, "column_names": ["id", "text", "tokens"],
        "column_encodings": ["int", "str", encoding], "column_sizes": [8, None, None],
    }  # fmt: skip
    half = len(documents) // 2
    shards = []
    for number, part in enumerate((documents[:half], documents[half:])):
        samples = []
        for document in part:
            columns = [pack([number], "<i8"), b"some text", encode(document)]
            samples.append(pack([len(columns[1]), len(columns[2])], "<u4") + b"".join(columns))
        data = table(samples, json.dumps(config).encode())
        name = f"shard.{number:05}.mds"
        raw = {"basename": name, "bytes": len(data), "hashes": {}}
        zipped = None
        if compress:
            data = compress(data)
            name += ".zstd"
            zipped = {"basename": name, "bytes": len(data), "hashes": {}}
        (directory / name).write_bytes(data)
        shards.append({**config, "samples": len(part), "raw_data": raw, "zip_data": zipped})
    (directory / "index.json").write_text(json.dumps({"version": 2, "shards": shards}))
    return directory


def crc32c(data: bytes) -> int:
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def stored_blosc(data: bytes) -> bytes:
    """A Blosc buffer that holds its contents as they are: a header of 16 bytes, flag 2."""
    return struct.pack("<BBBBIII", 2, 1, 2, 4, len(data), len(data), len(data) + 16) + data


def write_zarr(
    directory: Path, values: Sequence[int], dtype: str, *, chunk: int = 8, inner: int = 4
) -> None:
    """A Zarr 3 array of 2^54 elements in shards, of which those that hold `values` are written."""
    itemsize = np.dtype(dtype).itemsize
    blosc = {
        "name": "blosc",
        "configuration": {
            "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": itemsize, "blocksize": 0,
        },
    }  # fmt: skip
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    shard = {
        "chunk_shape": [inner],
        "codecs": [little, blosc],
        "index_codecs": [little, {"name": "crc32c"}],
    }
    meta = {
        "zarr_format": 3, "node_type": "array", "shape": [1 << 54],
        "data_type": np.dtype(dtype).name, "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "sharding_indexed", "configuration": shard}],
    }  # fmt: skip
    (directory / "c").mkdir(parents=True)
    (directory / "zarr.json").write_text(json.dumps(meta))
    for number in range(-(-len(values) // chunk)):
        data, index = b"", b""
        for start in range(number * chunk, (number + 1) * chunk, inner):
            part = [*values[start : start + inner], *[0] * inner][:inner]
            if not any(part):  # what equals the fill value is not stored
                index += b"\xff" * 16
                continue
            stored = stored_blosc(pack(part, dtype))
            index += pack([len(data), len(stored)], "<u8")
            data += stored
        checksum = pack([crc32c(index)], "<u4")
        (directory / "c" / str(number)).write_bytes(data + index + checksum)


def write_levanter(directory: Path, documents: Documents = DOCUMENTS) -> Path:
    field = directory / "input_ids"
    tokens = stream(documents)
    row_ends = np.cumsum([len(document) for document in documents]).tolist()
    write_zarr(field / "offsets", [len(documents), *row_ends], "<i8")
    write_zarr(field / "data", tokens, "<i4")
    ledger = {
        "total_num_rows": len(documents), "shard_rows": {"a": len(documents)}, "is_finished": True,
        "finished_shards": ["a"], "field_counts": {"input_ids": len(tokens)},
        "metadata": {"preprocessor_metadata": None},
    }  # fmt: skip
    (directory / "shard_ledger.json").write_text(json.dumps(ledger))
    return directory


def write_infini_gram(
    directory: Path,
    documents: Documents = DOCUMENTS,
    *,
    width: int = 2,
    shards: int = 1,
    backward: bool = False,
) -> Path:
    """Documents dealt out to the shards in turn, as the indexer does."""
    directory.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        data, offsets = b"", []
        for document in documents[shard::shards]:
            offsets.append(len(data))
            ids = document[::-1] if backward else document
            data += b"\xff" * width + pack(ids, f"<u{width}")
        (directory / f"tokenized.{shard}").write_bytes(data)
        (directory / f"offset.{shard}").write_bytes(pack(offsets, "<u8"))
    return directory


def damage(rng: np.random.Generator, data: bytes) -> bytes:
    """Cut the file, repeat a part of it, or change some bytes, most often near its ends."""
    changed = bytearray(data)
    kind = rng.integers(10)
    if not changed or kind == 0:
        return bytes(changed[: rng.integers(len(changed) + 1)])
    if kind == 1:
        at = int(rng.integers(len(changed)))
        return bytes(changed[:at] + changed[at // 2 :])
    for _ in range(int(rng.integers(1, 5))):
        near = int(min(rng.exponential(24), len(changed) - 1))
        at = (near, len(changed) - 1 - near, int(rng.integers(len(changed))))[rng.integers(3)]
        changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
    return bytes(changed)


def open_damaged(path: Path, copies: int, seed: int, **options: Any) -> int:
    """Open damaged copies of a store; only the package's errors may come out.

    Returns how many were refused.
    """
    rng = np.random.default_rng(seed)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    originals = {file: file.read_bytes() for file in sorted(files)}
    names = sorted(originals)
    refused = 0
    for _ in range(copies):
        file = names[rng.integers(len(names))]
        file.write_bytes(damage(rng, originals[file]))
        message = ""
        try:
            corpus = Corpus.open(path, **options)
            corpus.check()
            assert corpus.n_tokens < 1 << 20
        except NgramstatError as error:
            refused += 1
            message = str(error)
        assert "\n" not in message
        with contextlib.suppress(FileNotFoundError):
            file.write_bytes(originals[file])
    return refused
