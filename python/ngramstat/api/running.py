"""Runs of a measurement: in one process, or shared by several in one directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngramstat.api.conclusion import concluded_run
from ngramstat.api.corpora import described, with_held_out
from ngramstat.api.options import MeasureOptions, StageOptions
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.results import PARTS, RUN_FILE, RunResult
from ngramstat.runtime.gpus import open_gpus
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.usage import UsageLog
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.cache import PartCache, corpus_identity
from ngramstat.stages.claims import Claims
from ngramstat.stages.computing import PartComputer
from ngramstat.stages.plan import require_memory
from ngramstat.stages.provenance import provenance
from ngramstat.stages.runner import Runner
from ngramstat.stages.share_runner import ShareDone, ShareRunner
from ngramstat.stages.stage import Stage

__all__ = ["PreparedRun", "run", "run_share"]


def run(corpus: CorpusLike, options: MeasureOptions) -> RunResult:
    """One or both halves of `measure`, as one result with settings and provenance."""
    if options.directory is None:
        return _run(corpus, options)
    # Shares may be computed there at the same time, but one process puts them together.
    with sole_writer(options.directory):
        return _run(corpus, options)


def _run(corpus: CorpusLike, options: MeasureOptions) -> RunResult:
    started = time.monotonic()
    prepared = PreparedRun.of(corpus, options)
    chosen, design, workspace = prepared.chosen, prepared.design, prepared.workspace
    usage = UsageLog()
    with usage.record("plan"):
        prepared.require_memory()
    pair_result = entropy_result = None
    with prepared.computing() as computer:
        runner = Runner(computer, usage, progress=bool(options.progress))
        if chosen.correlations is not None:
            pair_result = runner.correlations(design, chosen.correlations)
        if chosen.entropies is not None:
            entropy_result = runner.entropies(design, chosen.entropies)
    prepared.require_unchanged()
    corpus, directory = design.corpus, options.directory
    result = RunResult(
        corpus={
            **corpus.info(),
            "boundary": design.boundary.value,
            "separator": corpus.separator,
            **described(prepared.held_out),
        },
        settings=prepared.settings,
        provenance={
            **provenance(workspace, time.monotonic() - started),
            "stages": usage.to_dicts(),
        },
        correlations=pair_result,
        entropies=entropy_result,
    )
    if pair_result is not None and entropy_result is not None:
        tokens = prepared.settings["tokens"]
        result = concluded_run(result, directory, tokens=tokens, protocol=options.protocol)
    if directory is not None:
        result.save(directory / RUN_FILE)
    return result


def run_share(corpus: CorpusLike, options: MeasureOptions, part: tuple[int, int]) -> ShareDone:
    """One process's share of the parts of a run, which `run` then puts together.

    Any number of processes may work in one directory at a time, on one machine or on several that
    share a file system. After its own share a process computes what no other has claimed.

    Parameters
    ----------
    corpus
        As for `correlations`; the same in all processes, as are the options but for `threads`,
        `memory_limit` and `progress`.
    options : MeasureOptions
        With an `output`.
    part : (i, N)
        The share of process i of N, from 1 on.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or `output` holds another run.
    """
    number, processes = part
    if not 1 <= number <= processes:
        raise InputError(f"part={number}/{processes}: must be i/N with 1 <= i <= N")
    if options.directory is None:
        raise InputError("part: needs an output, the directory that the processes share")
    prepared = PreparedRun.of(corpus, options)
    prepared.require_memory()
    with prepared.computing() as computer:
        runner = ShareRunner(computer, progress=bool(options.progress))
        return runner.run(prepared.stages(), number - 1, processes)


@dataclass(frozen=True)
class PreparedRun:
    """What a run, or a share of its parts, begins with.

    Attributes
    ----------
    chosen : StageOptions
    settings : dict
        As `run.json` records them.
    design : SamplingDesign
    held_out : dict
        By its path, where it is not a part of the corpus.
    workspace : Workspace
    cache : PartCache
    require_unchanged : callable
        Raises where the files of the corpus have changed since the run began.
    """

    chosen: StageOptions
    settings: dict[str, Any]
    design: SamplingDesign
    held_out: Mapping[str, Corpus]
    workspace: Workspace
    cache: PartCache
    require_unchanged: Callable[[], None]

    @classmethod
    def of(cls, corpus: CorpusLike, options: MeasureOptions) -> PreparedRun:
        """What these options come to.

        Raises
        ------
        InputError
            An option or the corpus cannot be used as given, or the directory holds another run.
        """
        corpus, options, held_out = with_held_out(as_corpus(corpus), options)
        chosen = StageOptions.of(corpus, options)
        directory = options.directory
        tokens = options.tokens
        if directory is not None and not options.overwrite and tokens == ():
            tokens = _tokens_of_earlier_run(directory)
        settings = {**chosen.settings(), "tokens": tokens}
        workspace = Workspace(
            resolve_threads(options.threads),
            parse_memory_limit(options.memory_limit),
            directory,
            open_gpus(options.backend, options.gpu_memory),
        )
        if directory is not None:
            _refuse_other_run(directory, corpus, settings, overwrite=options.overwrite)

        def require_unchanged() -> None:
            for text in (corpus, *held_out.values()):
                text.require_unchanged()

        require_unchanged()
        parts = None if directory is None else directory / PARTS
        cache = PartCache(parts, corpus_identity(corpus), require_unchanged)
        design = SamplingDesign(corpus, chosen.sampling, held_out)
        return cls(chosen, settings, design, held_out, workspace, cache, require_unchanged)

    def stages(self) -> list[Stage[Any]]:
        """Of both halves, as far as they are measured."""
        return self.chosen.stages(self.design)

    def require_memory(self) -> None:
        """Refuse what does not fit the memory limit."""
        require_memory(self.design.corpus, self.stages(), self.workspace)

    @contextmanager
    def computing(self) -> Iterator[PartComputer]:
        """What computes parts; claims on them are released at the end."""
        workspace = self.workspace
        with (
            workspace.managing(self.design.corpus.tokens),
            workspace.gpus.errors(),
            Claims(self.cache.directory) as claims,
        ):
            yield PartComputer(self.cache, claims, workspace)
            claims.remove_dead()


def _tokens_of_earlier_run(directory: Path) -> Sequence[float]:
    """The numbers of training tokens that the run in a directory was asked for, if there is one."""
    path = directory / RUN_FILE
    if not path.exists():
        return ()
    return RunResult.load(path).settings.get("tokens") or ()


def _refuse_other_run(
    directory: Path, corpus: Corpus, settings: Mapping[str, Any], *, overwrite: bool
) -> None:
    path = directory / RUN_FILE
    if (directory / "corpus.json").exists():
        raise InputError(f"{directory}: is a corpus; choose another --output for the run")
    if overwrite or not path.exists():
        return
    old = RunResult.load(path)
    new = RunResult(corpus=corpus.info(), settings=settings, provenance={})
    differing = [
        name
        for name in sorted(old.settings.keys() | new.settings.keys())
        # Horizons are read off the finished run, at whatever numbers of tokens.
        if name != "tokens" and _setting(old, name) != _setting(new, name)
    ]
    if old.corpus.get("sha256") != corpus.sha256:
        differing.insert(0, "corpus")
    if differing:
        raise InputError(
            f"{path}: holds a run that differs in {', '.join(differing)}; "
            "choose another --output, or pass --overwrite"
        )


def _setting(run: RunResult, name: str) -> Any:
    """A setting of a run; runs of earlier versions had one protocol and did not name it."""
    return run.settings.get(name, "default" if name == "protocol" else None)
