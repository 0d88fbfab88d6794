"""Which files make up a corpus: several paths, globs, directories, prefixes and ``shards.json``."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ngramstat.corpus.formats import (
    TOKENS_FILE,
    OpenOptions,
    indexed_prefix,
    recognised_format,
    token_dtype,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, reason, regular_file_size, sha256_file

__all__ = ["SHARDS_FILE", "SHARDS_SCHEMA", "ShardFiles", "find_shards"]

SHARDS_FILE = "shards.json"
SHARDS_SCHEMA = "ngramstat.shards/1"

_MAX_SHARDS_BYTES = 64 << 20
_SHARDS_KEYS = {
    "schema", "shards", "format", "dtype", "vocab_size", "separator", "separator_position",
}  # fmt: skip
_ENTRY_KEYS = {"path", "bytes", "tokens", "sha256"}
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

# A part of the name of files that hold validation or test data.
_VALIDATION = re.compile(
    r"(?<![a-z])(val|valid|validation|test|dev|eval|heldout|held[-_]out)(?![a-z])", re.IGNORECASE
)
# Files that belong to a file of tokens: suffix, and that of the tokens' file.
_COMPANIONS = (
    (".bos.idx", ".bin"),
    (".idx", ".bin"),
    (".bin.json", ".bin"),
    (".csv.gz", ".npy"),
    (".ds.index", ".ds"),
    (".ds.metadata", ".ds"),
    (".ds.loss", ".ds"),
)
# Pieces of one large .bin file with one index, as Pythia's Pile has them.
_PIECE = re.compile(r"(.+)-[0-9]+-of-[0-9]+\.bin")


@dataclass(frozen=True)
class ShardFiles:
    """The stores that make up a corpus, in order.

    Attributes
    ----------
    name
        What messages and results call the whole.
    paths
        The stores.
    format, options
        Those of the caller, with what a ``shards.json`` adds.
    recorded_tokens
        Sum of the tokens that a ``shards.json`` records, or None.
    listed
        Whether a ``shards.json`` names them.
    notes
        Which files were taken and which were left out.
    """

    name: Path
    paths: tuple[Path, ...]
    format: str
    options: OpenOptions
    recorded_tokens: int | None = None
    listed: bool = False
    notes: tuple[str, ...] = ()


def find_shards(places: Sequence[Path], format: str, options: OpenOptions) -> ShardFiles:
    """The stores that `places` name: files, directories, globs, Megatron prefixes, shards.json.

    Several places are taken in the order given; if that is the alphabetical order, as a shell
    lists them, in the order of the numbers in their names. The files of a directory or a glob come
    in the order of the numbers in their names, too.

    Raises
    ------
    InputError
        There are no such files, a file occurs twice, or a directory holds several kinds.
    """
    if not places:
        raise InputError("no corpus is named; give the path of a corpus or of its files")
    ordered, notes = _in_order(places)
    if len(ordered) == 1:
        found = _find_one(ordered[0], format, options)
    else:
        parts = [_find_one(place, format, options) for place in ordered]
        for place, part in zip(ordered, parts, strict=True):
            if part.listed:
                raise InputError(f"{place}: a {SHARDS_FILE} names a whole corpus; give it alone")
        found = ShardFiles(
            name=_common_name(ordered),
            paths=tuple(path for part in parts for path in part.paths),
            format=format,
            options=options,
            notes=tuple(note for part in parts for note in part.notes),
        )
    _refuse_repeats(found.paths)
    found = _with_pieces_joined(found)
    return replace(found, notes=(*notes, *found.notes))


def _find_one(place: Path, format: str, options: OpenOptions) -> ShardFiles:
    text = str(place)
    if os.path.isdir(place):
        if (place / SHARDS_FILE).is_file():
            return _listed(place, place / SHARDS_FILE, format, options)
        if recognised_format(place, format, options) is None:
            return _in_directory(place, format, options)
    elif os.path.lexists(place):
        if place.name == SHARDS_FILE:
            return _listed(place, place, format, options)
    elif (index := indexed_prefix(place)) is not None:
        return ShardFiles(place, (index,), format, options)
    elif glob.has_magic(text):
        return _matching(place, format, options)
    return ShardFiles(place, (place,), format, options)


def _matching(pattern: Path, format: str, options: OpenOptions) -> ShardFiles:
    matches = [Path(match) for match in glob.iglob(str(pattern), recursive=True)]
    paths = _without_companions(sorted(matches, key=_natural_key))
    if not paths:
        raise InputError(f"{pattern}: no file matches")
    notes = [_taken(paths)] if len(paths) > 1 else []
    validation = [path for path in paths if _VALIDATION.search(path.name)]
    if validation and len(validation) < len(paths):
        notes.append(
            f"{_listing(validation)} among them, to judge by the name for validation; "
            "a narrower pattern leaves such files to --held-out"
        )
    return ShardFiles(pattern, tuple(paths), format, options, notes=tuple(notes))


def _in_directory(directory: Path, format: str, options: OpenOptions) -> ShardFiles:
    """All token stores of one format that a directory holds, without those for validation."""
    by_format, left = _files_by_format(directory, format, options)
    if len(by_format) > 1:
        (one, first), (other, second) = list(by_format.items())[:2]
        raise InputError(
            f"{directory}: holds {_listing(first)} ({one}) and {_listing(second)} ({other}); the "
            "files of one corpus have one format, so name them with a glob such as "
            f"'{directory}/*{first[0].suffix}'"
        )
    if not by_format and format != "auto":
        return ShardFiles(directory, (directory,), format, options)  # the reader says what is wrong
    if not by_format:
        inside = f"; its files are {_listing(left)}" if left else ""
        raise InputError(
            f"{directory}: not a corpus directory (no corpus.json), and no file in it is known as "
            f"a token store{inside}; name files in it, with --dtype if they are raw tokens, or a "
            "glob such as 'DIRECTORY/**/*.bin'"
        )
    (paths,) = by_format.values()
    validation = [path for path in paths if _VALIDATION.search(path.name)]
    if len(validation) == len(paths):
        validation = []
    training = [path for path in paths if path not in validation]
    notes = [_taken(training)]
    if validation:
        notes.append(
            f"left out {_listing(validation)}, to judge by the name for validation; name it with "
            "--held-out to use it"
        )
    if left:
        notes.append(f"left out {_listing(left)}, not known as token stores")
    return ShardFiles(directory, tuple(training), format, options, notes=tuple(notes))


def _files_by_format(
    directory: Path, format: str, options: OpenOptions
) -> tuple[dict[str, list[Path]], list[Path]]:
    """The token stores in a directory by their format, and the other files."""
    try:
        entries = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
        files = [entry for entry in entries if entry.is_file()]
    except OSError as error:
        raise InputError(f"{directory}: cannot be read: {reason(error)}") from error
    # A dtype alone does not make every file of a directory one of raw tokens.
    by_itself = replace(options, dtype=None, assumed=None)
    by_format: dict[str, list[Path]] = {}
    left: list[Path] = []
    for path in _without_companions(sorted(files, key=_natural_key)):
        if _index_of_piece(path) is not None:
            continue  # read with its index, which is among the files
        known = recognised_format(path, "auto", by_itself)
        if known is None or format not in ("auto", known.name):
            left.append(path)
        else:
            by_format.setdefault(known.name, []).append(path)
    if len(by_format) > 1 and "jsonl" in by_format:
        left += by_format.pop("jsonl")  # descriptions of the files of tokens
    return by_format, left


def _listed(place: Path, file: Path, format: str, options: OpenOptions) -> ShardFiles:
    """The shards that a ``shards.json`` names, relative to it."""
    listing = read_json(file, max_bytes=_MAX_SHARDS_BYTES)
    if not isinstance(listing, dict) or listing.get("schema") != SHARDS_SCHEMA:
        raise InputError(f"{file}: not a list of shards (its schema must be {SHARDS_SCHEMA!r})")
    for key in sorted(listing.keys() - _SHARDS_KEYS):
        raise InputError(f"{file}: unknown field {key!r}")
    shards = _entries(listing.get("shards"), file)
    paths = [file.parent / shard["path"] for shard in shards]
    stated_format = listing.get("format") or "auto"
    if not isinstance(stated_format, str):
        raise InputError(f"{file}: format must be a string")
    if format not in ("auto", stated_format) and stated_format != "auto":
        raise InputError(f"{file}: records the format {stated_format}, not {format}")
    options = _options_of(listing, file, options)
    _check_contents(file, paths, shards)
    counts = [shard["tokens"] for shard in shards if shard.get("tokens") is not None]
    return ShardFiles(
        name=place,
        paths=tuple(paths),
        format=stated_format if format == "auto" else format,
        options=options,
        recorded_tokens=sum(counts) if len(counts) == len(shards) else None,
        listed=True,
    )


def _entries(entries: Any, file: Path) -> list[dict[str, Any]]:
    """The checked entries of a list of shards, each with a path."""
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{file}: shards must be a list of paths")
    shards = [{"path": entry} if isinstance(entry, str) else entry for entry in entries]
    for index, shard in enumerate(shards):
        _check_entry(shard, f"{file}: shards[{index}]")
    return shards


def _check_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise InputError(f"{where}: must be a path, or an object with one")
    for key in sorted(entry.keys() - _ENTRY_KEYS):
        raise InputError(f"{where}: unknown field {key!r}")
    path = entry["path"]
    if not path or "\0" in path:
        raise InputError(f"{where}: an empty path, or one with a NUL character")
    for key in ("bytes", "tokens"):
        value = entry.get(key)
        if value is not None and (type(value) is not int or value < 0):
            raise InputError(f"{where}: {key} must be a number")
    digest = entry.get("sha256")
    if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise InputError(f"{where}: sha256 must be 64 hexadecimal digits")


def _check_contents(file: Path, paths: Sequence[Path], shards: Sequence[dict[str, Any]]) -> None:
    """Refuse shards whose size or checksum is not the recorded one; sizes, being quick, first."""
    files = [path / TOKENS_FILE if path.is_dir() else path for path in paths]
    for path, shard in zip(files, shards, strict=True):
        size = regular_file_size(path)
        if shard.get("bytes") not in (None, size):
            raise InputError(
                f"{path}: has {size} bytes, {file.name} records {shard['bytes']}; truncated?"
            )
    for path, shard in zip(files, shards, strict=True):
        if shard.get("sha256") not in (None, sha256_file(path) if shard.get("sha256") else None):
            raise InputError(f"{path}: its sha256 is not the one that {file.name} records")


def _options_of(listing: dict[str, Any], file: Path, options: OpenOptions) -> OpenOptions:
    """The caller's options with what the list adds; they must not contradict each other."""
    dtype = listing.get("dtype")
    try:
        values: dict[str, Any] = {"dtype": None if dtype is None else token_dtype(dtype)}
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    for key, low in (("vocab_size", 1), ("separator", 0)):
        value = listing.get(key)
        if value is not None and (type(value) is not int or not low <= value <= 1 << 32):
            raise InputError(f"{file}: {key} must be an integer from {low} to {1 << 32}")
        values[key] = value
    values["separator_position"] = listing.get("separator_position")
    if values["separator_position"] not in (None, "before", "after"):
        raise InputError(f"{file}: separator_position must be before or after")
    for key, value in values.items():
        stated = getattr(options, key)
        if None not in (stated, value) and stated != value:
            raise InputError(
                f"{file}: records {key} {value}, not {stated}; leave out --{key.replace('_', '-')}"
            )
    return replace(options, **{key: value for key, value in values.items() if value is not None})


def _with_pieces_joined(found: ShardFiles) -> ShardFiles:
    """Replace the pieces of one .bin file by the index that they have in common."""
    if found.format not in ("auto", "megatron"):
        return found
    joined: dict[Path, list[Path]] = {}
    for path in found.paths:
        index = _index_of_piece(path)
        joined.setdefault(path if index is None else index, []).append(path)
    for index, pieces in joined.items():
        whole = index.parent.glob(glob.escape(index.stem) + "-*-of-*.bin")
        if pieces != [index] and len(set(pieces)) < len(list(whole)):
            raise InputError(
                f"{index}: belongs to all of its pieces, of which only {_listing(pieces)} "
                f"{'was' if len(pieces) == 1 else 'were'} named; name {index}, or read the tokens "
                "alone with --format raw --dtype uint16"
            )
    if len(joined) == len(found.paths):
        return found
    return replace(found, paths=tuple(joined))


def _index_of_piece(path: Path) -> Path | None:
    """The index that a piece of a .bin file shares with the other pieces, or None."""
    match = _PIECE.fullmatch(path.name)
    return None if match is None else indexed_prefix(path.with_name(match[1]), pieces=True)


def _refuse_repeats(paths: Iterable[Path]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    count = 0
    for path in paths:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue  # its reader says what is wrong
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            continue
        count += 1
        other = seen.setdefault((status.st_dev, status.st_ino), path)
        if len(seen) < count:
            raise InputError(f"{path}: is the same file as {other}; name each file once")


def _without_companions(paths: Iterable[Path]) -> list[Path]:
    """Leave out the files that are read together with a file of tokens among `paths`."""
    kept = list(paths)
    present = {str(path) for path in kept}
    return [path for path in kept if not _is_companion(path, present)]


def _is_companion(path: Path, present: set[str]) -> bool:
    text = str(path)
    for suffix, of in _COMPANIONS:
        if text.endswith(suffix):
            return text.removesuffix(suffix) + of in present
    return False


def _in_order(places: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """`places` as given, or by their numbers if they stand in alphabetical order."""
    given = list(places)
    by_number = sorted(given, key=_natural_key)
    if given == by_number or [str(p) for p in given] != sorted(str(p) for p in given):
        return given, []
    return by_number, [
        f"the files are read in the order of the numbers in their names: {_listing(by_number)}"
    ]


def _natural_key(path: Path) -> tuple[Any, ...]:
    """Orders names by the numbers in them: 2 before 10."""
    parts = [re.split(r"([0-9]+)", part) for part in path.parts]
    key = tuple(
        tuple(int(item) if i % 2 else item for i, item in enumerate(part)) for part in parts
    )
    return (*key, (str(path),))


def _common_name(places: Sequence[Path]) -> Path:
    """A name for several places, in messages and results."""
    return Path(_listing(list(places), whole=True))


def _taken(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return f"read {paths[0].name}"
    return f"read {_listing(paths)} as one corpus, in this order"


def _listing(paths: Sequence[Path], *, whole: bool = False) -> str:
    names = [str(path) if whole else path.name for path in paths]
    if len(names) <= 3:
        return ", ".join(names)
    return f"{len(names):,} files from {names[0]} to {names[-1]}"
