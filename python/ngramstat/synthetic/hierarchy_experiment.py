"""Learning curves of hierarchies: strings are drawn, a learner counts them, exponents are fitted.

Two experiments of Cagnetta, Kang and Wyart (arXiv 2505.07067; docs/theory.md 6): the label of a
string, where power-law rules make a power law of the learning curve, and its last token, where they
do not decide its exponent. Every curve of every draw is a file, so that a long table resumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.results.hierarchies import HierarchiesResult, LabelCurve, LastTokenCurve
from ngramstat.runtime.files import read_json, write_json
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.progress import Progress
from ngramstat.synthetic.hierarchy import RandomHierarchy, draw_rules
from ngramstat.synthetic.sampling import (
    AliasTable,
    TreeLevel,
    TreeSource,
    random_generator,
    random_key,
)
from ngramstat.synthetic.world import check_whole, zipf_law
from ngramstat.theories.hierarchy_curves import (
    depth_law,
    label_curve,
    last_token_curve,
    sample_complexity,
)
from ngramstat.theories.hierarchy_learning import join_tuples, learn_labels, learn_last_token
from ngramstat.version import __version__

__all__ = [
    "HierarchyTable",
    "LabelHierarchy",
    "LabelSettings",
    "LastTokenSettings",
    "UniformSettings",
    "fit_last_tokens",
    "label_errors",
    "last_token_losses",
    "last_token_world",
    "measure_hierarchies",
]

Ints = NDArray[np.signedinteger]
Floats = NDArray[np.float64]

# At most half of the pairs of tokens are tuples of the lowest level.
_TUPLES_PER_RULE = 2
# The most tuples that a table of classes is made for.
_MAX_TUPLES = 1 << 24
_CURVES = "curves"


@dataclass(frozen=True)
class LabelHierarchy:
    """A random hierarchy whose lowest level has a number of rules and of tokens of its own.

    The power law of the learning curve ends where all m_1 rules of the lowest level are known, so
    that many are needed; with as many on every level a hierarchy would take v m^L strings. Above
    the lowest level rules are few and equally likely, as in `RandomHierarchy`.

    Parameters
    ----------
    symbols : int
        v, symbols of every level above the tokens, and number of labels.
    rules, bottom_rules : int
        m, rules per symbol above the lowest level, and m_1 on it.
    depth : int
        L levels of rules.
    zipf_a : float or None
        Rule k of the lowest level has a probability ~ k^-(1+a); None: all have the same.
    draw, seed : int
        Rules are drawn anew for every draw of a seed.
    branching : int
        s.

    Raises
    ------
    InputError
        The rules cannot be unambiguous, there are too many, or a parameter is out of range.
    """

    symbols: int
    rules: int
    bottom_rules: int
    depth: int
    zipf_a: float | None = None
    draw: int = 0
    seed: int = 0
    branching: int = 2

    def __post_init__(self) -> None:
        for name, minimum in (("symbols", 2), ("rules", 1), ("bottom_rules", 1), ("depth", 1)):
            check_whole(name, getattr(self, name), minimum)
        check_whole("branching", self.branching, 2)
        if self.zipf_a is not None and not (math.isfinite(self.zipf_a) and self.zipf_a > 0):
            raise InputError(f"zipf_a={self.zipf_a}: must be positive")
        if self.rules > self.symbols ** (self.branching - 1):
            raise InputError(
                f"rules={self.rules}: no tuple may have two parents, so at most "
                f"{self.symbols ** (self.branching - 1)} for {self.symbols} symbols"
            )
        if self.n_tuples > _MAX_TUPLES:
            raise InputError(f"bottom_rules={self.bottom_rules}: more than {_MAX_TUPLES} tuples")

    @property
    def tokens(self) -> int:
        """Number of tokens: the smallest power of two whose tuples are at most half used."""
        used = _TUPLES_PER_RULE * self.symbols * self.bottom_rules
        bits = 0
        while (1 << bits * self.branching) < used:
            bits += 1
        return 1 << bits

    @property
    def n_tuples(self) -> int:
        """Tuples of tokens."""
        return int(self.tokens**self.branching)

    @property
    def complexity(self) -> int:
        """n_c m^L, the strings that uniform rules take, in theory."""
        return int(self.symbols * self.rules**self.depth)

    @property
    def frequencies(self) -> Floats:
        """q of the rules of the lowest level, (m_1,)."""
        if self.zipf_a is None:
            return np.full(self.bottom_rules, 1.0 / self.bottom_rules)
        return zipf_law(self.bottom_rules, 1.0 + self.zipf_a)

    @cached_property
    def _source(self) -> TreeSource:
        rng = random_generator(self.seed, self.draw, 0x4C4142)
        v, s = self.symbols, self.branching
        upper = draw_rules(v, self.rules, s, self.depth - 1, v, rng)
        (bottom,) = draw_rules(self.tokens, self.bottom_rules, s, 1, v, rng)
        levels = [TreeLevel(AliasTable.uniform(self.rules), c.astype(np.uint32)) for c in upper]
        levels.append(TreeLevel(AliasTable.of(self.frequencies), bottom.astype(np.uint32)))
        return TreeSource(levels, s, self.tokens)

    def strings(self, n: int, *, held_out: bool = False, threads: int = 1) -> tuple[Ints, Ints]:
        """The first n strings as numbers of their lowest tuples, and their labels.

        Returns
        -------
        (n, s^(L-1)) integers
        (n,) int64
        """
        key = random_key(self.seed, 2 * self.draw + 1 + held_out)
        tokens = np.empty(
            n * self.branching**self.depth, np.uint16 if self.tokens <= 1 << 16 else np.uint32
        )
        self._source.sample(key, 0, tokens, threads)
        tuples = join_tuples(tokens.reshape(n, -1), self.branching, self.tokens)
        return tuples, self._source.roots(key, np.arange(n, dtype=np.uint64)).astype(np.int64)


def label_errors(
    world: LabelHierarchy, sizes: Ints, *, held_out: int, shared: bool, threads: int = 1
) -> Floats:
    """Errors of the learner of labels after the first P strings, for every P, (n_sizes,)."""
    test, test_labels = world.strings(held_out, held_out=True, threads=threads)
    tuples, labels = world.strings(int(sizes.max()), threads=threads)
    errors = []
    for size in sizes:
        learner = learn_labels(
            tuples[:size], labels[:size], n_tuples=world.n_tuples, n_labels=world.symbols,
            n_classes=world.symbols, branching=world.branching, shared=shared,
        )  # fmt: skip
        errors.append(float(np.mean(learner.predict(test) != test_labels)))
    return np.array(errors)


def last_token_losses(
    world: RandomHierarchy, sizes: Ints, *, held_out: int, draw: int, threads: int = 1
) -> Floats:
    """Losses of the learner of last tokens after the first P strings, for every P, (n_sizes,)."""
    length = world.document_length

    def strings(n: int, seed: int) -> NDArray[Any]:
        pieces = list(world.pieces(n * length, seed=seed, threads=threads))
        return np.concatenate(pieces).reshape(n, length)

    train, test = strings(int(sizes.max()), 2 * draw + 1), strings(held_out, 2 * draw + 2)
    losses = []
    for size in sizes:
        learner = learn_last_token(
            train[:size], vocabulary=world.v, branching=world.s, levels=world.levels
        )
        losses.append(learner.loss(test))
    return np.array(losses)


@dataclass(frozen=True)
class LabelSettings:
    """The hierarchies of the learning curves of labels.

    Above the lowest level every symbol has m = v^(s-1) = v rules, so that every tuple is one: with
    fewer, a learner can tell a wrong class by the tuples that it makes, and corrects some errors.
    Classes are shared by all positions of a level.

    Attributes
    ----------
    exponents, depths, symbols : tuple
        a, L and v. Every combination is measured, but for those that take more strings than
        `most_strings`.
    most_strings : int
        The default leaves out none of the default hierarchies; at four levels a string takes some
        120 bytes of memory.
    bottom_rules : int
        m_1, rules per symbol on the lowest level.
    sizes : (int, int)
        First and last power of two k of the sizes P = n_c m^L 2^k.
    window : (int, int)
        The same for the window of the fits.
    """

    exponents: tuple[float, ...] = (0.5, 1.0, 2.0)
    depths: tuple[int, ...] = (2, 3, 4)
    symbols: tuple[int, ...] = (5, 6, 8)
    most_strings: int = 1 << 23
    bottom_rules: int = 16384
    sizes: tuple[int, int] = (-2, 8)
    window: tuple[int, int] = (3, 8)


@dataclass(frozen=True)
class UniformSettings:
    """Hierarchies of uniform rules, (v, m, L) each, and their sizes as in `LabelSettings`.

    Every position has its own classes, as in the theory.
    """

    hierarchies: tuple[tuple[int, int, int], ...] = (
        (8, 2, 3), (8, 2, 4), (8, 4, 2), (8, 4, 3), (8, 4, 4), (8, 8, 2), (8, 8, 3), (16, 4, 2),
        (16, 4, 3), (16, 8, 2), (16, 8, 3),
    )  # fmt: skip
    sizes: tuple[int, int] = (-2, 5)


@dataclass(frozen=True)
class LastTokenSettings:
    """The hierarchies of the learning curves of last tokens.

    Attributes
    ----------
    symbols, rules, depth : int
        v, m and L, the same for all.
    zipf_a : float
        a where rules are skewed.
    skewed : tuple of str
        Levels whose rules are skewed.
    sizes : (int, int)
        First and last power of two of the sizes.
    """

    symbols: int = 12
    rules: int = 3
    depth: int = 5
    zipf_a: float = 1.0
    skewed: tuple[str, ...] = ("none", "bottom", "all")
    sizes: tuple[int, int] = (5, 16)


@dataclass(frozen=True)
class HierarchyTable:
    """Everything that is measured.

    Attributes
    ----------
    labels, uniform, last_tokens
        None leaves a part out.
    draws : int
        Draws of rules and strings for every curve.
    held_out : int
        Strings that errors and losses are measured on.
    seed : int
    """

    labels: LabelSettings | None = field(default_factory=LabelSettings)
    uniform: UniformSettings | None = field(default_factory=UniformSettings)
    last_tokens: LastTokenSettings | None = field(default_factory=LastTokenSettings)
    draws: int = 4
    held_out: int = 1 << 16
    seed: int = 0

    def __post_init__(self) -> None:
        for name, minimum in (("draws", 1), ("held_out", 100), ("seed", 0)):
            check_whole(name, getattr(self, name), minimum)


class _Curve(NamedTuple):
    """One curve of one draw: the name of its file, what it is of, and how it is measured."""

    name: str
    setting: dict[str, Any]
    measure: Callable[[], dict[str, Any]]


def measure_hierarchies(
    table: HierarchyTable,
    output: str | PathLike[str],
    *,
    threads: int = 1,
    progress: bool = False,
) -> HierarchiesResult:
    """Measure all curves of a table and fit them; a call with the same output resumes.

    Parameters
    ----------
    table : HierarchyTable
    output : path
        Directory; every curve is a file in its folder curves/.
    threads : int
        Threads that draw strings.
    progress : bool

    Raises
    ------
    InputError
        A setting is out of range, or another process writes the directory.
    """
    directory = Path(output)
    curves = list(_curves(table, threads))
    with sole_writer(directory):
        (directory / _CURVES).mkdir(exist_ok=True)
        measured = {}
        with Progress(len(curves), "learning curves", unit="curve", enabled=progress) as shown:
            for curve in curves:
                path = directory / _CURVES / f"{curve.name}.json"
                known = _known_curve(path, curve.setting)
                if known is None:
                    known = curve.measure()
                    write_json(path, {"setting": curve.setting, **known})
                    shown.advance()
                else:
                    shown.skip(1)
                measured[curve.name] = known
    return _assembled(table, measured)


def _known_curve(path: Path, setting: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier call has measured; None if it was of another setting, or nothing."""
    if not path.is_file():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or data.pop("setting", None) != setting:
        return None
    return data


def _curves(table: HierarchyTable, threads: int) -> Iterator[_Curve]:
    for draw in range(table.draws):
        for world in (*_label_worlds(table, draw), *_uniform_worlds(table, draw)):
            yield _curve_of_labels(table, world, threads)
        if table.last_tokens is not None:
            for skewed in table.last_tokens.skewed:
                yield _curve_of_last_tokens(table, skewed, draw, threads)


def _label_worlds(table: HierarchyTable, draw: int) -> list[LabelHierarchy]:
    labels = table.labels
    if labels is None:
        return []
    return [
        LabelHierarchy(v, v, labels.bottom_rules, depth, a, draw, table.seed)
        for v in labels.symbols
        for depth in labels.depths
        if v ** (depth + 1) * 2 ** labels.sizes[1] <= labels.most_strings
        for a in labels.exponents
    ]


def _uniform_worlds(table: HierarchyTable, draw: int) -> list[LabelHierarchy]:
    if table.uniform is None:
        return []
    return [
        LabelHierarchy(v, m, m, depth, None, draw, table.seed)
        for v, m, depth in table.uniform.hierarchies
    ]


def _label_sizes(table: HierarchyTable, world: LabelHierarchy) -> Ints:
    settings = table.uniform if world.zipf_a is None else table.labels
    assert settings is not None
    first, last = settings.sizes
    sizes = world.complexity * 2.0 ** np.arange(first, last + 1)
    return np.unique(np.maximum(sizes, 1).astype(np.int64))


def _label_name(world: LabelHierarchy) -> str:
    rules = "uniform" if world.zipf_a is None else f"a{world.zipf_a:g}"
    return (
        f"label-v{world.symbols}-m{world.rules}-L{world.depth}-{rules}"
        f"-rules{world.bottom_rules}-draw{world.draw}"
    )


def _curve_of_labels(table: HierarchyTable, world: LabelHierarchy, threads: int) -> _Curve:
    sizes = _label_sizes(table, world)
    shared = world.zipf_a is not None
    setting = {
        **asdict(world), "sizes": sizes.tolist(), "held_out": table.held_out, "shared": shared
    }  # fmt: skip

    def measure() -> dict[str, Any]:
        errors = label_errors(world, sizes, held_out=table.held_out, shared=shared, threads=threads)
        return {"errors": errors.tolist()}

    return _Curve(_label_name(world), setting, measure)


def last_token_world(settings: LastTokenSettings, skewed: str, seed: int) -> RandomHierarchy:
    """The hierarchy whose rules are skewed on some levels: ``none``, ``bottom`` or ``all``."""
    if skewed not in ("none", "bottom", "all"):
        raise InputError(f"skewed={skewed!r}: needs none, bottom or all")
    return RandomHierarchy(
        settings.symbols, settings.rules, 2, settings.depth,
        zipf_a=None if skewed == "none" else settings.zipf_a,
        zipf_levels="1" if skewed == "bottom" else "all", rules_seed=seed,
    )  # fmt: skip


def _curve_of_last_tokens(table: HierarchyTable, skewed: str, draw: int, threads: int) -> _Curve:
    settings = table.last_tokens
    assert settings is not None
    # The rules of a draw are the same whichever levels are skewed.
    world = last_token_world(settings, skewed, table.seed * table.draws + draw)
    first, last = settings.sizes
    sizes = 2 ** np.arange(first, last + 1)
    setting = {**world.parameters(), "sizes": sizes.tolist(), "held_out": table.held_out}

    def measure() -> dict[str, Any]:
        losses = last_token_losses(
            world, sizes, held_out=table.held_out, draw=draw, threads=threads
        )
        entropies = world.tree.staircase(world.levels)
        if not np.all(np.isfinite(entropies)):
            raise InputError(
                f"v={world.v}, m={world.m}, L={world.levels}: the exact entropies of the last "
                "token take too long; use fewer levels"
            )
        return {"losses": losses.tolist(), "entropies": entropies.tolist()}

    name = f"last-token-v{world.v}-m{world.m}-L{world.levels}-{skewed}-draw{draw}"
    return _Curve(name, setting, measure)


def _assembled(table: HierarchyTable, measured: dict[str, dict[str, Any]]) -> HierarchiesResult:
    labels = [_fitted_labels(table, measured, world) for world in _label_worlds(table, 0)]
    alike = dict.fromkeys((curve.symbols, curve.zipf_a) for curve in labels)
    laws = [depth_law([c for c in labels if (c.symbols, c.zipf_a) == pair]) for pair in alike]
    uniform = [_fitted_labels(table, measured, world) for world in _uniform_worlds(table, 0)]
    skewed = () if table.last_tokens is None else table.last_tokens.skewed
    return HierarchiesResult(
        settings=asdict(table),
        provenance={"version": __version__},
        labels=tuple(labels),
        depth_laws=tuple(law for law in laws if law is not None),
        uniform=sample_complexity(uniform) if len(uniform) > 1 else None,
        last_tokens=tuple(_fitted_last_tokens(table, measured, levels) for levels in skewed),
    )


def _columns(
    table: HierarchyTable, measured: dict[str, dict[str, Any]], name: Callable[[int], str], key: str
) -> Floats:
    """One column for every draw."""
    return np.stack([measured[name(draw)][key] for draw in range(table.draws)], axis=1)


def _fitted_labels(
    table: HierarchyTable, measured: dict[str, dict[str, Any]], world: LabelHierarchy
) -> LabelCurve:
    def name(draw: int) -> str:
        return _label_name(LabelHierarchy(**{**asdict(world), "draw": draw}))

    settings = table.labels if world.zipf_a is not None else None
    low, high = (0, 64) if settings is None else settings.window
    return label_curve(
        _label_sizes(table, world), _columns(table, measured, name, "errors"),
        (world.complexity * 2.0**low, world.complexity * 2.0**high), world.frequencies,
        branching=world.branching,
        hierarchy={
            name: getattr(world, name) for name in ("symbols", "rules", "depth", "zipf_a")
        },
    )  # fmt: skip


def _fitted_last_tokens(
    table: HierarchyTable, measured: dict[str, dict[str, Any]], skewed: str
) -> LastTokenCurve:
    settings = table.last_tokens
    assert settings is not None
    world = last_token_world(settings, skewed, table.seed)

    def name(draw: int) -> str:
        return f"last-token-v{world.v}-m{world.m}-L{world.levels}-{skewed}-draw{draw}"

    first, last = settings.sizes
    return fit_last_tokens(
        world, skewed, 2 ** np.arange(first, last + 1), _columns(table, measured, name, "losses"),
        _columns(table, measured, name, "entropies"),
    )  # fmt: skip


def fit_last_tokens(
    world: RandomHierarchy, skewed: str, sizes: Ints, losses: Floats, entropies: Floats
) -> LastTokenCurve:
    """The exponent of losses of last tokens beside that of the exact entropies.

    Parameters
    ----------
    world : RandomHierarchy
        Of one of the draws, which differ in their rules alone.
    skewed : str
        As for `last_token_world`.
    sizes : (n_sizes,) integers
        Training strings.
    losses : (n_sizes, n_draws) float64
    entropies : (L + 1, n_draws) float64
        Exact, given 0 .. L levels of context.
    """
    exponents = world.exponents()
    alpha, beta = exponents["alpha"], exponents["beta"].value
    assert beta is not None
    # A level of more distant tokens takes s^(2 beta) as many strings.
    levels = np.arange(1, world.levels + 1, dtype=np.float64)
    thresholds = np.exp(2 * beta * math.log(world.s) * levels)
    return last_token_curve(
        sizes, losses, entropies, thresholds,
        theory=(alpha.value, alpha.low, alpha.high),
        hierarchy={
            "symbols": world.v, "rules": world.m, "depth": world.levels, "skewed": skewed,
            "zipf_a": world.zipf_a,
        },
    )  # fmt: skip
