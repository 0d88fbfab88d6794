"""Formats that entry points add to those of this package, kept from breaking anything else."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from ngramstat.corpus.entry_points import READERS, load_plugins, plugin_failure
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    check_document_ends,
)
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.log import warn

__all__ = ["plugin_formats"]


def plugin_formats() -> dict[str, Format]:
    """The formats of all plugins that could be loaded, by name."""
    return {name: _guarded(format) for name, format in load_plugins(READERS, Format).items()}


def _guarded(format: Format) -> Format:
    return replace(
        format,
        recognises=functools.partial(_recognises, format),
        open=functools.partial(_open, format),
    )


def _recognises(format: Format, path: Path, head: bytes) -> bool:
    try:
        return bool(format.recognises(path, head))
    except Exception as error:  # a plugin must not keep the others from being asked
        warn(f"{path}: {plugin_failure(format.name, error)}")
        return False


def _open(format: Format, path: Path, options: OpenOptions) -> TokenStore:
    try:
        store = format.open(path, options)
        return _checked(format, path, store)
    except (NgramstatError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{path}: {plugin_failure(format.name, error)}") from error


def _checked(format: Format, path: Path, store: TokenStore) -> TokenStore:
    """The store, if it is what the kernels rely on."""
    tokens = store.tokens
    if (
        tokens.ndim != 1
        or tokens.size == 0
        or tokens.dtype.kind not in "iu"
        or not tokens.flags.c_contiguous
    ):
        raise InputError(
            f"{path}: the plugin {format.name!r} returned {tokens.ndim} dimension(s) of "
            f"{tokens.size} {tokens.dtype}; some contiguous integers are needed"
        )
    if store.document_ends is not None:
        check_document_ends(store.document_ends, tokens.size, str(path))
    view = tokens.view()
    view.setflags(write=False)
    return replace(store, format=format.name, tokens=view)
