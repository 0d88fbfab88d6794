"""Writes docs/ngramstat.1, the manual page, from the commands themselves.

python packaging/man_page.py [FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ngramstat.cli import main as ngramstat
from ngramstat.version import __version__

PAGE = Path(__file__).resolve().parent.parent / "docs" / "ngramstat.1"
_HEADER = """\
.\\" Written by packaging/man_page.py; change the commands, not this.
.TH NGRAMSTAT 1 "" "ngramstat {version}" "User Commands"
.SH NAME
ngramstat \\- predict how the loss of a language model falls with data, from its corpus
.SH SYNOPSIS
.B ngramstat
[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]...
.SH DESCRIPTION
"""
_FOOTER = """\
.SH ENVIRONMENT
.TP
.B NGRAMSTAT_\\fIOPTION\\fB, NGRAMSTAT_\\fICOMMAND\\fB_\\fIOPTION
The value of an option that is not given, such as NGRAMSTAT_THREADS or NGRAMSTAT_MEASURE_LAGS.
.TP
.B NGRAMSTAT_CACHE
The directory that keeps texts from remote places.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
A computation failed: disk full, out of memory, a missing extra, output that cannot be written.
.TP
.B 2
Bad usage or bad input.
.TP
.B 130
Interrupted; the message says whether the same command resumes.
"""


def escaped(line: str) -> str:
    """A line with what the formatter would take for a command escaped."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def roff(text: str) -> str:
    """Text in one line."""
    return escaped(" ".join(text.split()))


def described(option: click.Option) -> str:
    """An option with its values, then its help and its default."""
    names = ", ".join(option.opts) + "".join(f" / {name}" for name in option.secondary_opts)
    values = ""
    if not (option.is_flag or option.count):
        choices = "|".join(map(str, getattr(option.type, "choices", ())))
        values = option.metavar or choices or option.type.name.upper()
    default = option.default if isinstance(option.show_default, bool) else option.show_default
    shown = option.show_default and not callable(default) and default not in (None, False, "", ())
    notes = f" [default: {default}]" if shown else ""
    # The values in italics.
    values = rf" \fI{roff(values)}\fR" if values else ""
    return f".TP\n\\fB{roff(names)}\\fR{values}\n{roff((option.help or '') + notes)}\n"


def paragraphs(command: click.Command) -> str:
    """The help of a command; lines that its help does not wrap stay lines."""
    parts = []
    for block in (command.help or "").strip().split("\n\n"):
        if block.lstrip().startswith("\b"):
            lines = "\n".join(escaped(line.strip()) for line in block.splitlines()[1:])
            parts.append(f".nf\n{lines}\n.fi\n")
        else:
            parts.append(f"{roff(block)}\n")
    return ".PP\n".join(parts)


def options(command: click.Command) -> str:
    """Options of a command; those that all commands take stand under OPTIONS alone."""
    shared = [] if command is ngramstat else [p.name for p in ngramstat.params]
    shown = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return "".join(described(option) for option in shown if option.name not in shared)


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before their commands."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def synopsis(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    words = [
        (p.metavar or str(p.name).upper()) + ("..." if p.nargs == -1 else "") for p in arguments
    ]
    if isinstance(command, click.Group) and command.list_commands(click.Context(command)):
        words = [f"{words[0]}|COMMAND", *words[1:]] if words else ["COMMAND"]
    return f'.SS "{roff(" ".join([name, *words]))}"\n'


def man_page() -> str:
    page = [_HEADER.format(version=__version__), paragraphs(ngramstat)]
    page += [".SH OPTIONS\nThey stand before or after a command's name.\n", options(ngramstat)]
    page.append(".SH COMMANDS\n")
    for name, command in commands(ngramstat, "ngramstat"):
        page += [synopsis(name, command), paragraphs(command), options(command)]
        examples = getattr(command, "examples", ())
        if examples:
            lines = "\n".join(escaped(example) for example in examples)
            page.append(f".PP\nExamples:\n.PP\n.nf\n{lines}\n.fi\n")
    return "".join([*page, _FOOTER])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(man_page(), encoding="utf-8")
