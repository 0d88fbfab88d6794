"""The parts of a run as tasks of a Ray cluster.

The driver sends out batches of parts, keeps what comes back in the run's directory, and then puts
the parts together like any other run. Values come back through Ray's object store, so that the
nodes only have to read the corpus; the directory of the run is the driver's alone. What a node had
begun when it was lost is computed again elsewhere, by Ray's own retries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from ngramstat.api.options import MeasureOptions
from ngramstat.api.running import PreparedRun, run
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.results import RunResult
from ngramstat.runtime.progress import Progress
from ngramstat.stages.computing import PartComputer
from ngramstat.stages.shares import Batch, batches_of
from ngramstat.stages.stage import Part, Parts, Stage
from ngramstat.version import __version__

__all__ = ["run_on_ray"]

# Batches that are sent out for each task that runs: enough that no node waits for the driver.
_WAITING = 2
# How often a batch is computed again after its node was lost or its process killed.
_RETRIES = 5
# Fraction of a node's memory for all tasks that run on it.
_MEMORY_PERCENT = 80.0


def run_on_ray(store: Mapping[str, Any], options: MeasureOptions, address: str) -> RunResult:
    """`measure` with its parts computed on the nodes of a Ray cluster.

    Parameters
    ----------
    store : dict
        Arguments of `Corpus.open`; its paths lead to the same files on every node.
    options : MeasureOptions
        With an `output`, a directory of this machine. `threads` are those of one task; by default
        a task takes all cores of the smallest node.
    address : str
        Of the cluster, as `ray.init` takes it: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, here or on a node, or there is no cluster.
    NgramstatError
        A batch failed on all nodes that it was sent to.
    """
    if options.directory is None:
        raise InputError("ray: needs an output, the directory of the run")
    try:
        import ray
    except ImportError as error:
        raise NgramstatError(
            "--ray needs ray, which is not installed: pip install 'ngramstat[ray]'"
        ) from error
    prepared = PreparedRun.of(Corpus.open(**store), options)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray {address}: {' '.join(str(error).split())[:200]}") from error
    try:
        cluster = _Cluster.of(ray.nodes(), options)
        work = _Work(dict(store), cluster.options(options), prepared.design.corpus.sha256)
        with prepared.computing() as computer:
            _compute(ray, cluster, work, prepared.stages(), computer, bool(options.progress))
    finally:
        ray.shutdown()
    return run(Corpus.open(**store), options)


@dataclass(frozen=True)
class _Cluster:
    """What the nodes offer.

    Attributes
    ----------
    threads : int
        Of one task.
    tasks : int
        That run at one time, at most.
    tasks_of_node : int
        The same on the node where most do.
    """

    threads: int
    tasks: int
    tasks_of_node: int

    @classmethod
    def of(cls, nodes: Sequence[Mapping[str, Any]], options: MeasureOptions) -> _Cluster:
        """Of the nodes that are alive."""
        cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
        cores = [count for count in cores if count > 0]
        if not cores:
            raise InputError("--ray: no node of the cluster has a core to work on")
        threads = min(cores) if options.threads is None else options.threads
        tasks = [count // threads for count in cores]
        if sum(tasks) == 0:
            raise InputError(
                f"--threads {threads}: no node of the cluster has more than {max(cores)} cores"
            )
        return cls(threads, sum(tasks), max(tasks))

    def options(self, options: MeasureOptions) -> dict[str, Any]:
        """Those of a task, which shares the memory of its node with others."""
        limit = options.memory_limit
        if limit is None:
            limit = f"{_MEMORY_PERCENT / self.tasks_of_node:.2f}%"
        of_task = replace(
            options, output=None, threads=self.threads, memory_limit=limit, progress=False
        )
        return {name: getattr(of_task, name) for name in MeasureOptions.__dataclass_fields__}


@dataclass(frozen=True)
class _Work:
    """What all tasks have in common.

    Attributes
    ----------
    store : dict
    options : dict
        Of `MeasureOptions`.
    sha256 : str
        Of the corpus, as the driver reads it.
    """

    store: dict[str, Any]
    options: dict[str, Any]
    sha256: str


def _compute(
    ray: Any,
    cluster: _Cluster,
    work: _Work,
    stages: Sequence[Stage[Any]],
    computer: PartComputer,
    progress: bool,
) -> None:
    """Compute all parts that are missing, and keep them as they come."""
    batches = _chunks(batches_of(stages, cluster.tasks), cluster.tasks)
    parts = [(batch.source, part) for batch in batches for part in batch.parts]
    task = ray.remote(
        num_cpus=cluster.threads,
        num_gpus=1 if work.options["backend"] == "cuda" else 0,
        max_retries=_RETRIES,
    )(_compute_batch)
    shared = ray.put((__version__, work))
    left = iter(batches)
    sent: dict[Any, Batch] = {}
    with Progress(len(parts), "parts", unit="parts", enabled=progress) as bar:
        while True:
            for batch in left:
                claimed = _claimed(batch, computer)
                bar.skip(len(batch.parts) - len(claimed))
                if claimed:
                    keys = [part.key for part in claimed]
                    reference = task.remote(shared, batch.source.kind, keys)
                    sent[reference] = replace(batch, parts=tuple(claimed))
                if len(sent) >= _WAITING * cluster.tasks:
                    break
            if not sent:
                return
            (reference, *_), _ = ray.wait(list(sent))
            batch = sent.pop(reference)
            for part, value in zip(batch.parts, _value_of(ray, reference), strict=True):
                computer.keep(batch.source, part, value)
                computer.release(batch.source, part)
                bar.advance(1)


def _claimed(batch: Batch, computer: PartComputer) -> list[Part]:
    """The parts of a batch that are neither there nor claimed by another process; now claimed."""
    if batch.whole is not None and computer.is_there(*batch.whole):
        return []
    return [
        part
        for part in batch.source.parts()
        if part in batch.parts
        and computer.load(batch.source, part) is None
        and computer.claim(batch.source, part)
    ]


def _value_of(ray: Any, reference: Any) -> list[Any]:
    """What a task has returned."""
    try:
        values: list[Any] = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, NgramstatError):
            raise type(cause)(f"on a node of the cluster: {cause}") from error
        raise
    except ray.exceptions.RayError as error:
        raise NgramstatError(f"--ray: {' '.join(str(error).split())[:300]}") from error
    return values


def _chunks(batches: Sequence[Batch], tasks: int) -> list[Batch]:
    """Batches of one part, such as lags, some of which are computed together.

    What comes before the first lag takes about as long as a lag. Each task gets two chunks, so that
    little is lost with a node.
    """
    chunks: list[Batch] = []
    for source in dict.fromkeys(batch.source for batch in batches):
        alike = [batch for batch in batches if batch.source is source]
        if not isinstance(source, Stage) or any(len(batch.parts) > 1 for batch in alike):
            chunks += alike
            continue
        parts = [part for batch in alike for part in batch.parts]
        size = max(math.ceil(len(parts) / (2 * tasks)), 1)
        chunks += [Batch(source, tuple(parts[k : k + size])) for k in range(0, len(parts), size)]
    return sorted(chunks, key=lambda batch: -batch.seconds)


def _compute_batch(shared: tuple[str, _Work], kind: str, keys: Sequence[Any]) -> list[Any]:
    """The values of some parts, on a node."""
    version, work = shared
    if version != __version__:
        raise InputError(f"ngramstat {__version__} is installed there, and {version} here")
    prepared = _prepared(_Frozen(work))
    source = next(source for source in _sources(prepared.stages()) if source.kind == kind)
    asked = [part for part in source.parts() if part.key in list(keys)]
    with prepared.computing() as computer:
        values = computer.compute(source, asked, _NoProgress())
        return [value for _, value in values]


class _Frozen:
    """Work as a key of a cache: two are the same if all they say is the same."""

    def __init__(self, work: _Work) -> None:
        self.work, self._text = work, repr(asdict(work))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(maxsize=1)
def _prepared(frozen: _Frozen) -> PreparedRun:
    """Of the same work, once in a process, which Ray uses for many tasks."""
    work = frozen.work
    corpus = Corpus.open(**work.store)
    if corpus.sha256 != work.sha256:
        raise InputError(f"{corpus.name}: is another corpus there than here")
    return PreparedRun.of(corpus, MeasureOptions(**work.options))


def _sources(stages: Sequence[Stage[Any]]) -> Iterator[Parts[Any]]:
    """The stages, and the divisions of their parts."""
    for stage in stages:
        yield stage
        for part in stage.parts():
            division = stage.division(part)
            if division is not None:
                yield division


class _NoProgress:
    """Progress that the driver shows, by parts."""

    def advance(self, amount: float = 1) -> None:
        """Nothing is shown."""
