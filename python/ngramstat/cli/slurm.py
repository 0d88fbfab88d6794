"""The command `slurm`: a run whose parts are computed by the tasks of an array job."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ngramstat.cli.command import Command, under
from ngramstat.cli.measure import measure_options
from ngramstat.cli.options import GLOBALS, Duration, Globals, global_options

__all__ = ["slurm"]

# In the directory of the run.
_SCRIPT, _LOGS = "slurm.sh", "slurm-logs"
# Of what the plan expects, for what it does not know of the machines: their speed, and the memory
# of libraries. The shortest limit is for file systems that are slow to begin.
_MEMORY_FACTOR, _TIME_FACTOR, _LEAST_SECONDS = 1.25, 3.0, 1800.0
# The memory of a task that `measure` may take; the system counts more than it does.
_MEMORY_SHARE = 0.9
_WORDS = "ngramstat.slurm.words"
# Options of this command, global ones that a task sets itself, and those that it is given.
_OWN = ("tasks", "cpus_per_task", "seconds", "partition", "account", "further", "setup")
_OF_TASK, _GLOBAL = ("threads", "memory_limit", "quiet"), ("seed", "backend", "gpu_memory")


class _SlurmCommand(Command):
    """A command that remembers the words it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words, to give them to `measure` as they are."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)


_job_options = under(
    "Slurm",
    click.option(
        "--tasks", type=click.IntRange(min=1), required=True, help="Tasks of the array job."
    ),
    click.option(
        "--cpus-per-task",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Cores of each task, which are its threads.",
    ),
    click.option(
        "--time",
        "seconds",
        type=Duration(),
        help="Time limit of each task, such as 8h.  [default: three times what `plan` expects of "
        "one process that computes everything, and half an hour at least]",
    ),
    click.option("--partition", help="Partition to submit to."),
    click.option("--account", help="Account to charge."),
    click.option(
        "--sbatch",
        "further",
        multiple=True,
        metavar="OPTION",
        help="A further option of sbatch, such as --qos=long. May be repeated.",
    ),
    click.option(
        "--setup",
        multiple=True,
        metavar="COMMAND",
        help="A line of shell that every task runs first, such as 'module load gcc'. May be "
        "repeated.",
    ),
)


@click.command(
    cls=_SlurmCommand,
    examples=[
        "ngramstat slurm corpus -o run --tasks 16 && bash run/slurm.sh",
        "ngramstat slurm corpus -o run --tasks 8 --lags 1:512:20 --sbatch=--qos=long",
    ],
)
@measure_options
@_job_options
@global_options
@click.pass_context
def slurm(
    ctx: click.Context, /, common: Globals, store: dict[str, Any], output: str, **options: Any
) -> None:
    """Write a script that submits a run to Slurm: its parts as an array job, then their assembly.

    Every task is `measure --part i/N` with the options given here; a job that depends on them runs
    `measure` without it. The corpus and the run must be on a file system that all nodes share.
    """
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.text import encoded

    own = {name: options.pop(name) for name in _OWN}
    resources = _resources(common, store, own, options)
    directory = Path(output)
    script = _script(resources, own, _words_of_measure(ctx, common), directory)
    try:
        (directory / _LOGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{directory}: cannot be created: {error.strerror}") from error
    path = directory / _SCRIPT
    with atomic_write(path) as file:
        file.write(encoded(script))
    click.echo(
        f"Wrote {path}: {own['tasks']} tasks of {own['cpus_per_task']} cores, {resources.megabytes}"
        f" MB and {resources.time} each. Submit them with: bash {shlex.quote(str(path))}"
    )


@dataclass(frozen=True)
class _Resources:
    """Of one task.

    Attributes
    ----------
    megabytes : int
        Of 2^20 bytes, as Slurm has them.
    seconds : float
        Time limit.
    """

    megabytes: int
    seconds: float

    @property
    def time(self) -> str:
        """The limit in the form of Slurm, in whole minutes."""
        minutes = math.ceil(self.seconds / 60)
        days, hours = divmod(minutes // 60, 24)
        return f"{days}-{hours:02}:{minutes % 60:02}:00"

    @property
    def memory_limit(self) -> str:
        """That of `measure`."""
        return f"{int(self.megabytes * _MEMORY_SHARE)}M"


def _resources(
    common: Globals, store: dict[str, Any], own: dict[str, Any], options: dict[str, Any]
) -> _Resources:
    """What a task takes, by the plan of a process that computes everything."""
    from ngramstat.api import plan
    from ngramstat.corpus import Corpus
    from ngramstat.errors import InputError
    from ngramstat.runtime.resources import parse_memory_limit

    planned = {name: options[name] for name in options if name not in ("tokens", "overwrite")}
    needs = plan(
        Corpus.open(**store),
        threads=own["cpus_per_task"],
        memory_limit=common.memory_limit,
        seed=common.seed,
        **planned,
    )
    if needs.problems:
        raise InputError("; ".join(needs.problems))
    expected = needs.to_dict()
    size = expected["memory_bytes"] * _MEMORY_FACTOR
    if common.memory_limit is not None:
        size = parse_memory_limit(common.memory_limit) / _MEMORY_SHARE
    seconds = own["seconds"]
    if seconds is None:
        seconds = max((expected["seconds"] or 0.0) * _TIME_FACTOR, _LEAST_SECONDS)
    return _Resources(math.ceil(size / (1 << 20)), seconds)


def _words_of_measure(ctx: click.Context, common: Globals) -> list[str]:
    """The command line of `measure` with the options that were given here.

    Raises
    ------
    UsageError
        One of them was given by a file or the environment, which the tasks would not see.
    """
    elsewhere = (ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
    for parameter in ctx.command.params:
        if parameter.name not in (*_OWN, *GLOBALS) and (
            ctx.get_parameter_source(str(parameter.name)) in elsewhere
        ):
            raise click.UsageError(
                f"{max(parameter.opts, key=len)}: give it on the command line, or to `measure`"
            )
    given, _, order = ctx.command.make_parser(ctx).parse_args(list(ctx.meta[_WORDS]))
    words = [sys.executable, "-m", "ngramstat"]
    config = ctx.find_root().params.get("config")
    if config is not None:
        words += ["--config", os.path.abspath(config)]
    words.append("measure")
    for parameter in dict.fromkeys(order):
        name, value = parameter.name, given.get(parameter.name)
        # Threads and memory are those of the task.
        if value is None or name in (*_OWN, *_OF_TASK, *_GLOBAL):
            continue
        if isinstance(parameter, click.Argument):
            words += list(value) if isinstance(value, tuple | list) else [value]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            words += [max(parameter.opts, key=len), str(value)]
    for name in _GLOBAL:  # wherever they were given
        value = getattr(common, name)
        if value != getattr(Globals(), name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _script(
    resources: _Resources, own: dict[str, Any], words: Sequence[str], directory: Path
) -> str:
    """The script that submits both jobs, for bash."""
    tasks, cpus = own["tasks"], own["cpus_per_task"]
    options = [
        f"--job-name=ngramstat-{directory.name or 'run'}",
        f"--chdir={Path.cwd()}",
        f"--cpus-per-task={cpus}",
        f"--mem={resources.megabytes}M",
        f"--time={resources.time}",
        *(f"--{name}={own[name]}" for name in ("partition", "account") if own[name]),
        *own["further"],
    ]
    logs = Path.cwd() / directory / _LOGS
    setup = "".join(f"{line}\n" for line in own["setup"])
    measure = shlex.join([*words, "--threads", str(cpus), "--memory-limit", resources.memory_limit])
    quoted = " \\\n    ".join(shlex.quote(option) for option in options)
    return f"""#!/bin/bash
# Submits a run of ngramstat: {tasks} tasks that compute its parts, and a job that puts them
# together when they have ended. Should a task fail, that job computes what is missing.
set -euo pipefail

options=(
    {quoted}
)

parts=$(sbatch --parsable "${{options[@]}}" --array=1-{tasks} \\
    --output={shlex.quote(f"{logs}/part-%a.txt")} <<'END'
#!/bin/bash
set -euo pipefail
{setup}{measure} --part "$SLURM_ARRAY_TASK_ID/{tasks}"
END
)
# The job's number, without the name of the cluster.
parts=${{parts%%;*}}

assembly=$(sbatch --parsable "${{options[@]}}" --dependency="afterany:$parts" \\
    --output={shlex.quote(f"{logs}/assembly.txt")} <<'END'
#!/bin/bash
set -euo pipefail
{setup}{measure}
END
)
echo "Submitted $parts (parts 1 to {tasks}) and ${{assembly%%;*}} (assembly)"
"""
