"""From what users name to files: directories, patterns, pipes, standard input and URLs."""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ngramstat.corpus.text.findings import TextFindings, printable_name
from ngramstat.corpus.text.remote import fetch
from ngramstat.corpus.text.spool import Spooled
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size
from ngramstat.runtime.numbers import count_of, count_text
from ngramstat.runtime.progress import Progress

__all__ = ["InputFile", "find_files"]

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+(?:::[a-zA-Z0-9+.-]+)*://")
_LISTED_SUFFIXES = 6


@dataclass(frozen=True)
class InputFile:
    """One file to read.

    Attributes
    ----------
    path
        As the user named it, or within the directory that was named; for messages, and to open it
        unless `spooled`.
    name
        Without the directories above what was named; for the metadata.
    size
        In bytes.
    spooled
        The contents of a pipe.
    directory
        The directory that was named, if the file was found in one.
    """

    path: Path
    name: str
    size: int
    spooled: Spooled | None = None
    directory: Path | None = None


def find_files(
    inputs: Sequence[str | PathLike[str]], findings: TextFindings, *, progress: bool = False
) -> list[InputFile]:
    """The files that the inputs name, in order.

    Parameters
    ----------
    inputs
        Files; directories, whose files are taken recursively and sorted by name, without hidden
        ones; patterns such as ``data/*.jsonl`` or ``data/**/*.txt``, sorted; ``-`` for standard
        input; pipes; URLs, which are copied to a cache directory first.
    findings
        Notes what was found in directories, and files that are named twice.
    progress
        Show the progress of copies.

    Raises
    ------
    InputError
        There is no input, one cannot be read, or a directory or pattern has no files.
    """
    if isinstance(inputs, str | PathLike):
        inputs = [inputs]
    if not inputs:
        raise InputError("no inputs: name at least one text, JSON lines or Parquet file")
    if "" in inputs:
        raise InputError("the name of an input is empty; is a variable of the shell unset?")
    files: list[InputFile] = []
    seen: dict[tuple[int, int], str] = {}
    twice: list[tuple[str, str]] = []
    for place, given in enumerate(inputs, 1):
        for file in _files_of(given, findings, progress):
            files.append(file)
            if file.spooled is not None:
                continue
            status = os.stat(file.path)
            where = f"{printable_name(file.path)} (input {place})"
            earlier = seen.setdefault((status.st_dev, status.st_ino), where)
            if earlier is not where:
                twice.append((earlier, where))
    if twice:
        more = f"; {count_text(len(twice))} files in all" if len(twice) > 1 else ""
        findings.note(
            f"one file is read twice, as {_base(twice[0][0])} and {_base(twice[0][1])}{more}"
        )
    return files


def _base(where: str) -> str:
    # Names of directories are private; the place among the inputs says which is meant.
    return where.rpartition("/")[2]


def _files_of(
    given: str | PathLike[str], findings: TextFindings, progress: bool
) -> Iterator[InputFile]:
    text = os.fspath(given)
    if text == "-":
        yield _standard_input(progress)
        return
    if _URL.match(text) and not os.path.lexists(text):
        for copy, name in fetch(text, progress=progress):
            yield InputFile(copy, name, regular_file_size(copy))
        return
    try:
        exists = os.path.lexists(text)
    except ValueError:
        exists = False  # a NUL character; regular_file_size says so
    if not exists and glob.has_magic(text):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise InputError(f"{text}: no file matches this pattern")
        for path in found:
            # A directory that matches beside its files would give them twice.
            if "**" not in text or not os.path.isdir(path):
                yield from _of_path(Path(path), findings, progress)
        return
    yield from _of_path(Path(text), findings, progress)


def _of_path(path: Path, findings: TextFindings, progress: bool) -> Iterator[InputFile]:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened: {reason(error)}") from error
    if stat.S_ISDIR(mode):
        yield from _of_directory(path, findings)
    elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        yield _pipe(path, progress)
    else:
        yield InputFile(path, printable_name(path.name), regular_file_size(path))


def _of_directory(directory: Path, findings: TextFindings) -> Iterator[InputFile]:
    paths: list[Path] = []
    hidden = others = 0

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {reason(error)}") from error

    for folder, folders, names in os.walk(directory, onerror=refuse):
        hidden += sum(name.startswith(".") for name in names)
        hidden += sum(name.startswith(".") for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            if not name.startswith("."):
                if path.is_file():
                    paths.append(path)
                else:
                    others += 1
    if not paths:
        raise InputError(f"{directory}: is a directory without files that are not hidden")
    paths.sort(key=lambda path: os.fsencode(path))
    name = printable_name(directory.resolve().name)
    findings.note_fact(f"{name}: {_summary(paths)}{_rest(hidden, others)}")
    for path in paths:
        yield InputFile(
            path,
            printable_name(path.relative_to(directory)),
            regular_file_size(path),
            directory=directory,
        )


def _summary(paths: Iterable[Path]) -> str:
    """Such as "12 files (10 .jsonl.gz, 2 without suffix)"."""
    suffixes = Counter("".join(path.suffixes[-2:])[-20:] or "without suffix" for path in paths)
    total = sum(suffixes.values())
    listed = [f"{count_text(n)} {suffix}" for suffix, n in suffixes.most_common(_LISTED_SUFFIXES)]
    if len(suffixes) > _LISTED_SUFFIXES:
        listed.append("others")
    return f"{count_of(total, 'file')} ({', '.join(listed)})"


def _rest(hidden: int, others: int) -> str:
    parts = []
    if hidden:
        parts.append(f"{count_of(hidden, 'hidden one')} left out")
    if others:
        parts.append(f"{count_text(others)} that are no regular files or broken links left out")
    return "".join(f", {part}" for part in parts)


def _standard_input(progress: bool) -> InputFile:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise InputError("-: there is no standard input")
    with Progress(None, "Read standard input", unit="B", enabled=progress) as bar:
        spooled = Spooled(stream, "standard input", bar.advance_to)
    return InputFile(Path("standard input"), "standard input", spooled.size, spooled)


def _pipe(path: Path, progress: bool) -> InputFile:
    try:
        stream = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {reason(error)}") from error
    with stream, Progress(None, f"Read {path}", unit="B", enabled=progress) as bar:
        spooled = Spooled(stream, str(path), bar.advance_to)
    return InputFile(path, printable_name(path.name), spooled.size, spooled)
