"""How commands look and fail: grouped options, examples, whole summaries, errors as one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from ngramstat.cli.console import (
    EXIT_FAILED,
    EXIT_INPUT,
    fail,
    fail_by_interruption,
    fail_by_system,
    fail_for_want_of_memory,
    forgiving_streams,
    shows_notes,
)
from ngramstat.cli.interruption import signals_interrupt
from ngramstat.cli.plain_numbers import in_plain_digits
from ngramstat.errors import InputError, NgramstatError, options_as_typed

__all__ = ["Command", "Group", "GroupWithDefault", "Member", "command", "names_too", "under"]

F = TypeVar("F", bound=Callable[..., Any])

_RESUMES = "The output directory keeps what is finished; run the same command again to resume"
_STARTS_OVER = "Nothing was written; run the same command again to start over"
# The order of the headings in the help of a command; options without one come first.
_HEADINGS = ("Token store", "Pairs", "C(t)", "H(n)", "Statistics", "Slurm", "Output", "Resources")


def under(heading: str, *decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """One decorator that applies several, the first one outermost, and puts their options under
    a heading of the command's help."""

    def apply(function: F) -> F:
        before = len(getattr(function, "__click_params__", []))
        for decorator in reversed(decorators):
            function = decorator(function)
        for parameter in getattr(function, "__click_params__", [])[before:]:
            parameter.heading = heading
        return function

    return apply


class Command(click.Command):
    """A command whose options stand under headings, with examples after them.

    Attributes
    ----------
    resumes
        Whether it keeps what is finished when it is interrupted, and goes on from there.
    """

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), resumes: bool = False, **extra: Any
    ) -> None:
        super().__init__(*args, **extra)
        self.examples = tuple(examples)
        self.resumes = resumes
        for parameter in self.params:
            parameter.type = in_plain_digits(parameter.type)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse what no file name can hold, before the types of options look at it."""
        for text in args:
            if "\0" in text:
                shown = text.replace("\0", "\\0")
                raise click.UsageError(f"{shown!r}: holds a NUL character", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, which may map files that others truncate."""
        from ngramstat.runtime.workspace import exit_when_mapped_files_shrink

        exit_when_mapped_files_shrink()
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each heading with its own."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        rows |= {heading: [] for heading in _HEADINGS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows.setdefault(getattr(parameter, "heading", "Options"), []).append(record)
        for heading, records in rows.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one a line and none of them wrapped."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def command(
    name: str | None = None, *, examples: Sequence[str], resumes: bool = False
) -> Callable[[F], Command]:
    """Decorator of a function that is a command."""
    return click.command(name, cls=Command, examples=examples, resumes=resumes)


class Member(NamedTuple):
    """A command of a group before its module is imported.

    Attributes
    ----------
    place : str
        Its module and its name there, such as ``ngramstat.cli.measure:plan``.
    summary : str
        The first sentence of its help, which the help of the group shows.
    """

    place: str
    summary: str


class Group(click.Group):
    """A group of commands, listed in the order they were added, with whole summaries.

    Attributes
    ----------
    members
        Commands by name whose modules are imported when they are called or asked for their own
        help. They stand before those that were added as objects.
    """

    command_class = Command

    def __init__(
        self, *args: Any, members: Mapping[str, Member] = MappingProxyType({}), **extra: Any
    ) -> None:
        super().__init__(*args, **extra)
        self.members = members
        for parameter in self.params:
            parameter.type = in_plain_digits(parameter.type)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order they were added."""
        return list(dict.fromkeys((*self.members, *self.commands)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, after importing its module."""
        if cmd_name in self.members and cmd_name not in self.commands:
            module, _, name = self.members[cmd_name].place.partition(":")
            self.add_command(getattr(import_module(module), name), cmd_name)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries, which are wrapped and not cut."""
        rows = [
            (
                name,
                self.members[name].summary
                if name in self.members
                else self.commands[name].get_short_help_str(limit=1000),
            )
            for name in self.list_commands(ctx)
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    @options_as_typed()
    @shows_notes()
    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command; errors become one line and an exit code."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        with forgiving_streams(), signals_interrupt():
            try:
                code = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
            except click.UsageError as error:
                if type(error).__name__ == "NoArgsIsHelpError":  # newer versions of click
                    error.show()
                    sys.exit(EXIT_INPUT)
                fail(_usage_message(error), EXIT_INPUT)
            except click.ClickException as error:
                fail(error.format_message(), error.exit_code)
            except click.Abort as error:  # before a command started
                fail_by_interruption(error.__cause__, _STARTS_OVER)
            except NgramstatError as error:  # of --config, or of writing --help
                fail(str(error), EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED)
            except OSError as error:
                fail_by_system(error)
            except (ImportError, MemoryError, RuntimeError) as error:
                fail_for_want_of_memory(error)
            sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of the package become one line and an exit code."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            fail(str(error), EXIT_INPUT)
        except NgramstatError as error:
            fail(str(error), EXIT_FAILED)
        except KeyboardInterrupt as error:
            called = self.commands.get(ctx.invoked_subcommand or "", self)
            resumes = isinstance(called, Command) and called.resumes
            fail_by_interruption(error, _RESUMES if resumes else _STARTS_OVER)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends quietly
            fail_by_system(error)
        except (ImportError, MemoryError, RuntimeError) as error:
            fail_for_want_of_memory(error)


class GroupWithDefault(Group, Command):
    """A command that has others of its own: `theories RUN`, and beside it `theories solvable`.

    If the first argument is the name of one of them, it is called, and otherwise the command
    itself, whose options, variables of the environment and table in the file of --config are those
    of a command without any. An argument that has the name of a command is typed as ./name.
    """

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, invoke_without_command=True, **extra)
        # Options of the command itself may stand after its arguments, as those of any command.
        self.allow_interspersed_args, self.allow_extra_args = True, False
        self._others = Group(self.name, members=self.members, commands=self.commands)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """That of the group alone where one of its commands is called."""
        if args and args[0] in {*self.members, *self.commands}:
            return self._others.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Those of the command itself."""
        return Command.collect_usage_pieces(self, ctx)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Two lines: the command itself, and its commands."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)))
        if self.list_commands(ctx):
            formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")


def names_too(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completion of the first argument of a `GroupWithDefault`: its commands, and its values."""
    assert isinstance(ctx.command, click.Group)
    names = [name for name in ctx.command.list_commands(ctx) if name.startswith(incomplete)]
    values = parameter.type.shell_complete(ctx, parameter, incomplete)
    return [*map(CompletionItem, names), *values]


def _usage_message(error: click.UsageError) -> str:
    """One sentence, with the configuration file where it is that which gave the value."""
    message = error.format_message().rstrip(".")
    context, parameter = error.ctx, getattr(error, "param", None)
    if context is None:
        return message
    if (
        parameter is not None
        and context.get_parameter_source(parameter.name) is ParameterSource.DEFAULT_MAP
    ):
        return f"{message} (from {context.find_root().params.get('config')})"
    return f"{message} (see {context.command_path} --help)"
