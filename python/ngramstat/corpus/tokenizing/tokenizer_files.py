"""Tokenizers by path or name: tokenizer.json, directories, .tiktoken files, Hugging Face names."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ngramstat.corpus.tokenizing.tiktoken_files import is_tiktoken, tiktoken_json
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["TokenizerFile", "read_tokenizer"]

_TOKENIZER_FILE, _CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
# "org/name" or "name", perhaps with a revision.
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?", re.ASCII)
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class TokenizerFile:
    """The contents of a tokenizer.json, and where they come from.

    Attributes
    ----------
    name
        The file, for messages and the record.
    contents
        A tokenizer.json; made from it where the file has another format.
    separator_token
        The end-of-text token that the tokenizer's configuration names, or None.
    """

    name: str
    contents: bytes
    separator_token: str | None = None


def read_tokenizer(
    tokenizer: str | PathLike[str],
    *,
    tiktoken_pattern: str | None = None,
    allow_download: bool = False,
) -> TokenizerFile:
    """Find a tokenizer and read it.

    Parameters
    ----------
    tokenizer
        A ``tokenizer.json``, a directory that holds one (also a model's folder of the Hugging Face
        cache), a ``.tiktoken`` file, or the name of a model on the Hugging Face Hub.
    tiktoken_pattern
        Name of the pattern that splits the text for a ``.tiktoken`` file, or the pattern.
    allow_download
        Whether a name may be fetched. Otherwise it has to be in the local cache.

    Raises
    ------
    InputError
        There is no such tokenizer, it cannot be read, or the pattern is missing.
    NgramstatError
        Fetching failed, or a package is missing.
    """
    path = Path(tokenizer)
    if path.is_dir():
        return _read_directory(path)
    if not path.exists() and not path.suffix and _HUB_NAME.fullmatch(os.fspath(tokenizer)):
        return _read_hub(os.fspath(tokenizer), allow_download)
    contents = _read(path)
    if tiktoken_pattern is not None or is_tiktoken(path, contents):
        return TokenizerFile(str(path), tiktoken_json(path, contents, tiktoken_pattern))
    config = path.parent / _CONFIG_FILE if path.name == _TOKENIZER_FILE else None
    return TokenizerFile(str(path), contents, _separator_token(config))


def _read(path: Path) -> bytes:
    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{path}: has {size:,} bytes, too many for a tokenizer")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def _read_directory(path: Path) -> TokenizerFile:
    directory = path
    if not (path / _TOKENIZER_FILE).is_file() and (path / "snapshots").is_dir():
        directory = _snapshot(path)
    file = directory / _TOKENIZER_FILE
    if not file.is_file():
        names = [entry.name for entry in directory.iterdir()]
        others = sorted(name for name in names if "token" in name or "vocab" in name)
        found = f"; it has {', '.join(others[:5])}" if others else ""
        raise InputError(
            f"{directory}: has no {_TOKENIZER_FILE}{found}; save the tokenizer in that format, "
            "for instance by AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(NEW)"
        )
    return TokenizerFile(str(file), _read(file), _separator_token(directory / _CONFIG_FILE))


def _snapshot(cache: Path) -> Path:
    """The snapshot of a folder of the Hugging Face cache that `main` names, or the only one."""
    snapshots = sorted(entry for entry in (cache / "snapshots").iterdir() if entry.is_dir())
    reference = cache / "refs" / "main"
    if reference.is_file():
        commit = reference.read_text(encoding="ascii", errors="replace").strip()
        named = cache / "snapshots" / commit
        if named in snapshots:
            return named
    if len(snapshots) != 1:
        raise InputError(
            f"{cache}: has {len(snapshots)} snapshots and no refs/main that names one; name the "
            "folder of one"
        )
    return snapshots[0]


def _separator_token(config: Path | None) -> str | None:
    """The end-of-text token that a tokenizer_config.json names."""
    if config is None or not config.is_file():
        return None
    try:
        token = json.loads(_read(config)).get("eos_token")
    except (ValueError, AttributeError, RecursionError):
        return None
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _read_hub(name: str, allow_download: bool) -> TokenizerFile:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )
    except ImportError as error:
        raise NgramstatError(
            f"{name}: there is no such file, and names of the Hugging Face Hub need "
            "huggingface_hub: pip install 'ngramstat[text]'"
        ) from error
    repository, _, revision = name.partition("@")

    def find(file: str) -> Path:
        return Path(
            hf_hub_download(
                repository, file, revision=revision or None, local_files_only=not allow_download
            )
        )

    try:
        file = find(_TOKENIZER_FILE)
    except (LocalEntryNotFoundError, FileNotFoundError) as error:
        if allow_download:
            raise NgramstatError(f"{name}: cannot be fetched: {reason(error)}") from error
        raise InputError(
            f"{name}: there is no such file, and the local Hugging Face cache has no "
            f"{_TOKENIZER_FILE} of that name; --allow-download fetches it"
        ) from error
    except EntryNotFoundError as error:
        raise InputError(f"{name}: has no {_TOKENIZER_FILE} on the Hugging Face Hub") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise NgramstatError(f"{name}: cannot be fetched: {reason(error)}") from error
    try:
        config: Path | None = find(_CONFIG_FILE)
    except (EntryNotFoundError, OSError, ValueError):
        config = None
    return TokenizerFile(f"{name} ({file})", _read(file), _separator_token(config))
