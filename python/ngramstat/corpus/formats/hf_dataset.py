"""Directories that Hugging Face datasets writes with ``save_to_disk``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ngramstat.corpus.formats.arrow_ipc import read_arrow_rows
from ngramstat.corpus.formats.token_rows import RowCollector
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json

__all__ = ["FORMAT"]

_STATE = "state.json"
_INFO = "dataset_info.json"
_DICT = "dataset_dict.json"
_MAX_JSON_BYTES = 64 << 20


def _recognises(path: Path, head: bytes) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in (_STATE, _INFO, _DICT))


def _open(path: Path, options: OpenOptions) -> TokenStore:
    if not path.is_dir():
        raise InputError(f"{path}: is not a directory that save_to_disk has written")
    if (path / _DICT).is_file() and not (path / _STATE).is_file():
        raise _several_splits(path)
    files = _data_files(path)
    with RowCollector(path, options) as collector:
        for file in files:
            for rows in read_arrow_rows(file, options.column):
                collector.add(rows)
        return collector.finish(FORMAT.name, files)


FORMAT = Format("hf-dataset", "Hugging Face dataset", _recognises, _open, has_rows=True)


def _data_files(path: Path) -> list[Path]:
    """The Arrow files in the order that state.json gives."""
    if not (path / _STATE).is_file():
        raise InputError(
            f"{path}: has no {_STATE}, so it is a cache or unfinished; name its .arrow files"
        )
    state = _read_object(path / _STATE)
    if state.get("_indices_data_files"):
        raise InputError(
            f"{path}: its rows are selected by a separate index; write it again after "
            "flatten_indices()"
        )
    entries = state.get("_data_files")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path / _STATE}: lists no data files")
    files = []
    for entry in entries:
        name = entry.get("filename") if isinstance(entry, dict) else None
        # A name may not lead out of the directory.
        if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name:
            raise InputError(f"{path / _STATE}: {str(name)[:80]!r} is not the name of a data file")
        files.append(path / name)
    if len(set(files)) != len(files):
        raise InputError(f"{path / _STATE}: lists a data file twice")
    return files


def _several_splits(path: Path) -> InputError:
    names = _read_object(path / _DICT).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        return InputError(f"{path / _DICT}: lists no splits")
    listed = ", ".join(name[:60] for name in names[:20])
    return InputError(
        f"{path}: holds the splits {listed}; name one, such as {path / names[0][:60]}"
    )


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path, max_bytes=_MAX_JSON_BYTES)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object")
    return value
