"""``index.json``: what an index is, and which files it consists of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.index.shard import IndexSettings
from ngramstat.kernels.checksums import checksum
from ngramstat.runtime.files import read_json, write_json
from ngramstat.version import __version__

__all__ = [
    "FILE_NAME",
    "MANIFEST",
    "MAX_SHARD_TOKENS",
    "MAX_VOCAB",
    "Manifest",
    "ShardEntry",
    "TokenizerEntry",
    "read_manifest",
    "write_manifest",
]

MANIFEST = "index.json"
SCHEMA = "ngramstat.index/1"
# Names of the files that belong to an index, beside the manifest.
FILE_NAME = re.compile(r"(shard-\d{1,6}|tokenizer)-[0-9a-f]{16}\.(bin|json)")
MAX_SHARD_TOKENS = (1 << 32) - 1
MAX_VOCAB = 1 << 31
_MAX_MANIFEST_BYTES = 64 << 20
_HEX = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ShardEntry:
    """The file of a shard.

    Attributes
    ----------
    file : str
        Name in the directory.
    bytes : int
    header : str
        Checksum of its header.
    tokens, suffixes, documents : int
        Of its arrays.
    first_token, first_document : int
        Of the corpus before it.
    """

    file: str
    bytes: int
    header: str
    tokens: int
    suffixes: int
    documents: int
    first_token: int
    first_document: int


@dataclass(frozen=True)
class TokenizerEntry:
    """The copy of the corpus's tokenizer: its name in the directory, and its SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """An index in a directory.

    Attributes
    ----------
    build : str
        16 random hexadecimal digits, which the shards repeat.
    settings : IndexSettings
    corpus : Mapping
        See `ngramstat.index.provenance`.
    tokenizer : TokenizerEntry or None
    shards : tuple of ShardEntry
    created_by : str
    """

    build: str
    settings: IndexSettings
    corpus: Mapping[str, Any]
    tokenizer: TokenizerEntry | None
    shards: tuple[ShardEntry, ...]
    created_by: str = f"ngramstat {__version__}"

    @property
    def files(self) -> list[str]:
        """Names of all files but the manifest."""
        names = [shard.file for shard in self.shards]
        return names if self.tokenizer is None else [*names, self.tokenizer.file]


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, after all other files: it makes the index valid."""
    settings = manifest.settings
    content = {
        "schema": SCHEMA,
        "build": manifest.build,
        "settings": {
            "vocab_size": settings.vocab_size,
            "depth": settings.depth,
            "boundary": settings.boundary.value,
            "stop_token": settings.stop_token,
        },
        "corpus": dict(manifest.corpus),
        "tokenizer": None if manifest.tokenizer is None else asdict(manifest.tokenizer),
        "shards": [asdict(shard) for shard in manifest.shards],
        "created_by": manifest.created_by,
    }
    write_json(directory / MANIFEST, {**content, "checksum": _checksum(content)})


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an index, which is not trusted.

    Raises
    ------
    InputError
        There is none, it is damaged, or of another version.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        what = "is a file" if directory.exists() else "does not exist"
        raise InputError(
            f"{directory}: {what}, and an index is a directory; ngramstat index build makes one"
        )
    if not path.exists():
        raise InputError(
            f"{directory}: is no index, or one whose build was interrupted ({MANIFEST} is "
            "missing); build it with ngramstat index build"
        )
    content = read_json(path, max_bytes=_MAX_MANIFEST_BYTES)
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, str) or not schema.startswith("ngramstat.index/"):
        raise InputError(f"{path}: is not the description of an index; give the index's directory")
    if schema != SCHEMA:
        raise InputError(
            f"{path}: is of version {schema[:40]!r}, and this program reads {SCHEMA}; build the "
            "index again with this program"
        )
    recorded = content.pop("checksum", None)
    if recorded != _checksum(content):
        raise InputError(
            f"{path}: is damaged: its checksum is wrong; build the index again, or copy it again "
            "from where it is whole"
        )
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"{path}: does not describe an index ({error}); build the index again"
        ) from error


def _checksum(content: Mapping[str, Any]) -> str:
    # Names that are not UTF-8 come back as they went.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return checksum(text.encode())


def _parsed(content: Mapping[str, Any]) -> Manifest:
    described = content["settings"]
    vocab_size = _integer(described["vocab_size"], 1, MAX_VOCAB)
    settings = IndexSettings(
        vocab_size,
        _optional(described["depth"], lambda x: _integer(x, 1, 255)),
        Boundary.parse(described["boundary"]),
        _optional(described["stop_token"], lambda x: _integer(x, 0, vocab_size)),
    )
    if (settings.boundary is Boundary.DOCUMENT) != (settings.stop_token is not None):
        raise ValueError("boundary and stop token contradict each other")
    shards = tuple(_shard(record) for record in content["shards"])
    if not shards:
        raise ValueError("no shards")
    _check_sequence(shards, settings, content["corpus"])
    tokenizer = content["tokenizer"]
    entry = None
    if tokenizer is not None:
        entry = TokenizerEntry(_file(tokenizer["file"]), _text(tokenizer["sha256"], _SHA256))
    manifest = Manifest(
        _text(content["build"], _HEX),
        settings,
        _corpus(content["corpus"]),
        entry,
        shards,
        _text(content["created_by"], re.compile(r"[ -~]{1,100}")),
    )
    if len(set(manifest.files)) != len(manifest.files):
        raise ValueError("two files have the same name")
    return manifest


def _shard(record: Mapping[str, Any]) -> ShardEntry:
    most = 1 << 60
    return ShardEntry(
        file=_file(record["file"]),
        bytes=_integer(record["bytes"], 0, most),
        header=_text(record["header"], _HEX),
        tokens=_integer(record["tokens"], 1, MAX_SHARD_TOKENS),
        suffixes=_integer(record["suffixes"], 1, record["tokens"]),
        documents=_integer(record["documents"], 1, record["suffixes"]),
        first_token=_integer(record["first_token"], 0, most),
        first_document=_integer(record["first_document"], 0, most),
    )


def _check_sequence(
    shards: tuple[ShardEntry, ...], settings: IndexSettings, corpus: Mapping[str, Any]
) -> None:
    """Each shard begins where the one before ends; the last document may go on in the next."""
    token = document = 0
    for shard in shards:
        if shard.first_token != token or not document - 1 <= shard.first_document <= document:
            raise ValueError("the shards do not follow each other")
        token += shard.suffixes - shard.documents * settings.inserts_stops
        document = shard.first_document + shard.documents
    if token != corpus["tokens"]:
        raise ValueError("the shards do not hold as many tokens as the corpus")


def _corpus(record: Mapping[str, Any]) -> Mapping[str, Any]:
    most = 1 << 60
    _integer(record["tokens"], 1, most)
    _integer(record["documents"], 0, most)
    _text(record["fingerprint"], _HEX)
    _optional(record["document_fingerprint"], lambda x: _text(x, _HEX))
    if record["dtype"] not in ("uint16", "uint32"):
        raise ValueError("dtype")
    for name in ("path", "format", "token_file"):
        if not isinstance(record[name], str | None):
            raise ValueError(name)
    if record["token_file"] is not None:
        _integer(record["token_file_bytes"], 0, most)
        _integer(record["token_file_offset"], 0, most)
    return record


def _integer(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{value!r:.40} is not a whole number from {low} to {high}")
    return value


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r:.40} is not of the form {pattern.pattern}")
    return value


def _file(value: Any) -> str:
    return _text(value, FILE_NAME)


def _optional(value: Any, parse: Callable[[Any], Any]) -> Any:
    return None if value is None else parse(value)
