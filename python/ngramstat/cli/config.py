"""Defaults of options from a TOML file.

    threads = 8
    memory-limit = "16G"

    [measure]
    lags = [1, 2, 4, 8]
    sequential = false

The table of a command holds its options by their long names without the dashes; those before any
table are options that stand before a command's name. What is typed, or set in the environment,
takes precedence.
"""

from __future__ import annotations

from typing import Any

import click

from ngramstat.errors import InputError

__all__ = ["config_option"]

_MAX_BYTES = 1 << 20
# Options that have no meaning as a default.
_EXCLUDED = {"help", "version", "config"}


def _load(ctx: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    if path is not None:
        ctx.default_map = _defaults(ctx, ctx.command, _read(path), path)
    return path


config_option = click.option(
    "--config",
    metavar="FILE",
    is_eager=True,  # before the other options, whose defaults it holds
    callback=_load,
    help="TOML file with defaults of options, such as threads = 8, or lags under [measure].",
)


def _read(path: str) -> dict[str, Any]:
    import tomllib

    from ngramstat.runtime.files import reason, regular_file_size

    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{path}: {size} bytes, more than the {_MAX_BYTES} allowed for options")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {reason(error)}") from error


def _defaults(
    ctx: click.Context, command: click.Command, table: dict[str, Any], path: str, name: str = ""
) -> dict[str, Any]:
    """A table of the file as click's default map, by the names of parameters."""
    options = {
        option.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    }
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{path}: {name}{key}"
        if isinstance(value, dict):
            inner = command.get_command(ctx, key) if isinstance(command, click.Group) else None
            if inner is None:
                raise InputError(f"{where}: is no command; see `ngramstat --help` for their names")
            defaults[key] = _defaults(ctx, inner, value, path, f"{name}{key}.")
            continue
        option = options.get(key.replace("_", "-"))
        if option is None or key in _EXCLUDED:
            shown = f"ngramstat {name.replace('.', ' ')}"
            raise InputError(f"{where}: is no option; see `{shown}--help` for their names")
        turned_off = "--" + key.replace("_", "-") in option.secondary_opts
        defaults[str(option.name)] = _value(where, option, value, turned_off)
    return defaults


def _value(where: str, option: click.Option, value: Any, turned_off: bool) -> Any:
    """As the command line would have it: text, a switch, or a list where an option repeats."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{where}: is a switch; write true or false")
        return value != turned_off
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise InputError(f"{where}: expected a number, a text or a list of these")
        if "\0" in str(item):
            raise InputError(f"{where}: holds a NUL character")
    texts = [str(item) for item in items]
    return texts if option.multiple else ",".join(texts)
