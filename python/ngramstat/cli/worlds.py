"""``ngramstat synthesize``: one command for every synthetic world with known exponents."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ngramstat.cli.command import Group
from ngramstat.cli.console import echo_json, fail_by_interruption
from ngramstat.cli.options import (
    Count,
    Globals,
    Lags,
    Probabilities,
    compose,
    json_option,
    shared_options,
)
from ngramstat.errors import InputError
from ngramstat.runtime.numbers import count_text

if TYPE_CHECKING:
    from ngramstat.corpus import Corpus

__all__ = ["synthesize"]


@click.group(cls=Group)
def synthesize() -> None:
    """Write a synthetic corpus with its exact C(t), H(n) and exponents.

    Each KIND writes a corpus directory that contains truth.json, for instance

    \b
    ngramstat synthesize potts --beta 0.9 --levels 14 --tokens 1e7 -o potts
    ngramstat measure potts --boundary document --lags 1,2,4,8,16,32,64,128 -o run
    """


def _refuse_unused(condition: str, *names: str) -> None:
    """Refuse options that were given but have no effect."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option}: has no effect {condition}; leave it out")


def _show(output: str, corpus: Corpus, known: dict[str, Any]) -> None:
    """What was written, with the exact exponents and their conditions."""
    from ngramstat.synthetic.write import TRUTH_FILE

    click.echo(
        f"{output}: {count_text(corpus.n_tokens)} tokens, "
        f"{count_text(corpus.n_documents)} documents, "
        f"vocabulary {count_text(corpus.vocab_size)}; exact curves in {TRUTH_FILE}"
    )
    for name, exponent in known["exponents"].items():
        value, low, high = (exponent[key] for key in ("value", "low", "high"))
        shown = "none" if value is None else f"{value:.4g}"
        if value is None and low is not None and high is not None:
            shown = f"{low:.4g} to {high:.4g}"
        click.echo(f"  {name} {shown}: {exponent['meaning']}")
    for warning in known["warnings"]:
        click.echo(f"  note: {warning}")


def _world_command(
    kind: str, *options: Callable[[Any], Any], example: str, document_length: bool | int
) -> Callable[[Callable[..., Any]], click.Command]:
    """Register `synthesize KIND`; the decorated function makes the world from its options.

    `example` has options of an example; `document_length` is whether there is such an option, or
    its default.
    """
    shared = [
        click.option("-o", "--output", required=True, type=click.Path(),
                     help="Corpus directory to write."),
        click.option("--tokens", type=Count(), default="1e7", show_default=True,
                     help="Number of tokens, rounded up to whole documents."),
        click.option("--lags", type=Lags(), help="Lags of the exact C(t), such as 1,2,4 or 1:32."),
        click.option("--max-context", type=click.IntRange(min=0), default=5, show_default=True,
                     help="Largest context n of the exact H(n)."),
        click.option("--overwrite", is_flag=True, help="Replace an existing corpus."),
        json_option,
    ]  # fmt: skip
    if document_length:
        length = 10_000 if document_length is True else document_length
        shared.insert(0, click.option("--document-length", type=Count(), default=length,
                                      show_default=True, help="Tokens of a document."))  # fmt: skip

    def register(make: Callable[..., Any]) -> click.Command:
        @synthesize.command(
            kind,
            examples=[
                f"ngramstat synthesize {kind} {example} -o {kind}",
                f"ngramstat measure {kind} -o run",
            ],
        )
        @compose(*options, *shared)
        @shared_options("threads", "seed", "quiet")
        @functools.wraps(make)
        def command(
            common: Globals,
            output: str,
            tokens: int,
            lags: tuple[int, ...] | None,
            max_context: int,
            overwrite: bool,
            as_json: bool,
            **parameters: Any,
        ) -> None:
            from ngramstat.runtime.files import read_json
            from ngramstat.synthetic.write import TRUTH_FILE
            from ngramstat.synthetic.write import synthesize as write

            try:
                corpus = write(
                    make(**parameters),
                    output,
                    tokens=tokens,
                    seed=common.seed,
                    lags=lags,
                    max_context=max_context,
                    threads=common.threads,
                    overwrite=overwrite,
                    progress=not common.quiet,
                )
            except KeyboardInterrupt as error:
                fail_by_interruption(
                    error, f"{output} is unchanged; run the same command again to start over"
                )
            known = read_json(Path(output) / TRUTH_FILE)
            if as_json:
                echo_json(known)
            else:
                _show(output, corpus, known)

        return command

    return register


@_world_command(
    "rhm",
    click.option("--v", type=int, default=16, show_default=True, help="Symbols per level."),
    click.option("--m", type=int, default=4, show_default=True, help="Rules per symbol."),
    click.option("--s", type=int, default=2, show_default=True, help="Children per node."),
    click.option("--levels", "--depth", "-L", type=int, default=10, show_default=True,
                 help="Levels of the tree; a document has s^levels tokens."),
    click.option("--classes", type=int, help="Number of root symbols (classes).  [default: v]"),
    click.option("--zipf-a", type=float,
                 help="Give rule k a probability ~ k^-(1+a).  [default: equal]"),
    click.option("--zipf-levels", type=click.Choice(["1", "all"]), default="all",
                 show_default=True, help="Levels with power-law rules; 1 is the lowest."),
    click.option("--rules-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the rules (--seed is that of the tokens)."),
    click.option("--concatenated", is_flag=True, help="Write one stream without document ends."),
    example="--levels 12 --zipf-a 1.5",
    document_length=False,
)  # fmt: skip
def _rhm(**options: Any) -> Any:
    """Random hierarchy model: a tree of random production rules, uniform or power-law."""
    from ngramstat.synthetic import RandomHierarchy

    if options["zipf_a"] is None:
        _refuse_unused("without --zipf-a", "zipf_levels")
    return RandomHierarchy(**options)


@_world_command(
    "potts",
    click.option("--vocab-size", type=int, default=8, show_default=True, help="Vocabulary size V."),
    click.option("--s", type=int, default=2, show_default=True, help="Children per node."),
    click.option("--levels", "--depth", "-L", type=int, default=10, show_default=True,
                 help="A document has s^levels tokens."),
    click.option("--beta", type=float, help="Exponent of the decay of C(t).  [default: 0.9]"),
    click.option("--theta", type=float,
                 help="Probability that a child copies its parent; instead of --beta."),
    click.option("--noise-share", type=float, default=0.0, show_default=True,
                 help="Fraction of documents without any correlation."),
    example="--beta 0.9 --levels 14",
    document_length=False,
)  # fmt: skip
def _potts(beta: float | None, theta: float | None, **options: Any) -> Any:
    """Potts broadcast tree: C(t) decays exactly as t^-beta on powers of s."""
    from ngramstat.synthetic import BroadcastTree

    if beta is not None and theta is not None:
        raise InputError("--beta and --theta: give one of the two")
    if theta is None:
        return BroadcastTree.with_beta(0.9 if beta is None else beta, **options)
    return BroadcastTree(theta=theta, **options)


@_world_command(
    "runs",
    click.option(
        "--mu",
        type=float,
        required=True,
        help="Exponent of the run lengths: beta = mu, gamma = 1 + mu.",
    ),
    click.option(
        "--vocab-size", type=Count(), default=4, show_default=True, help="Vocabulary size V."
    ),
    example="--mu 1.5",
    document_length=True,
)
def _runs(**options: Any) -> Any:
    """Run process: heavy-tailed runs of one token, beta and gamma in closed form."""
    from ngramstat.synthetic import RunProcess

    return RunProcess(**options)


@_world_command(
    "santa-fe",
    click.option("--a", type=float, default=0.43, show_default=True,
                 help="Sets gamma = a / (1+a)."),
    click.option("--eta", type=float, default=3.18, show_default=True,
                 help="Sets beta = 2 (1+a) / eta."),
    click.option("--c", type=float, default=0.25, show_default=True,
                 help="Prefactor of the rates at which facts change."),
    click.option("--kinds", type=int, default=4000, show_default=True,
                 help="Number of facts; the vocabulary size is twice that."),
    example="--tokens 1e7",
    document_length=True,
)  # fmt: skip
def _santa_fe(**options: Any) -> Any:
    """Ergodic Santa Fe process: slowly changing facts, with exponents like those of language."""
    from ngramstat.synthetic import SantaFe

    return SantaFe(**options)


@_world_command(
    "copy",
    click.option("--rho", type=float, default=0.9, show_default=True,
                 help="Probability that a token is a copy."),
    click.option("--exponent", type=float, default=1.6, show_default=True,
                 help="Copy distances d are drawn with probability ~ d^-exponent."),
    click.option("--reach", type=int, default=256, show_default=True,
                 help="Longest copy distance."),
    click.option("--pi", type=Probabilities(), default="0.4,0.3,0.2,0.1", show_default=True,
                 help="Probabilities of tokens that are not copies."),
    example="--rho 0.8",
    document_length=True,
)  # fmt: skip
def _copy(**options: Any) -> Any:
    """Copy process: exact values by the Yule-Walker equations."""
    from ngramstat.synthetic import CopyProcess

    return CopyProcess(**options)


@_world_command(
    "markov",
    click.option("--vocab-size", type=int, default=8, show_default=True, help="Vocabulary size V."),
    click.option("--order", type=int, default=1, show_default=True, help="Order of the chain."),
    click.option("--concentration", type=float, default=1.0, show_default=True,
                 help="Concentration of the Dirichlet distribution of the transitions."),
    click.option("--rules-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the rules (--seed is that of the tokens)."),
    click.option("--transitions", type=click.Path(),

                              help="JSON file with nested lists of transition probabilities."),
    example="--tokens 1e6",
    document_length=True,
)  # fmt: skip
def _markov(transitions: str | None, **options: Any) -> Any:
    """Markov chain: exponential C(t), constant H(n), so that exponents must be refused."""
    from ngramstat.runtime.files import read_json
    from ngramstat.synthetic import MarkovChain

    if transitions is None:
        return MarkovChain.random(**options)
    _refuse_unused("with --transitions", "vocab_size", "order", "concentration", "rules_seed")
    try:
        return MarkovChain(read_json(transitions), options["document_length"])
    except InputError as error:
        if str(error).startswith("transitions:"):
            raise InputError(f"{transitions}: {error}") from error
        raise


@_world_command(
    "graph",
    click.option("--nodes", type=Count(), default=300, show_default=True,
                 help="Nodes of the graph."),
    click.option("--edges", type=Count(), default=1500, show_default=True,
                 help="Edges of the graph."),
    click.option("--kind", "ensemble", type=click.Choice(["erdos-renyi", "barabasi-albert"]),
                 default="erdos-renyi", show_default=True,
                 help="All pairs of nodes alike, or preferential attachment."),
    click.option("--bias", type=float, default=0.0, show_default=True,
                 help="Go to a neighbour with probability ~ its degree^bias."),
    click.option("--rank-exponent", type=float, default=0.0, show_default=True,
                 help="Go to the r-th neighbour, in an order drawn for every node, with "
                 "probability ~ r^-exponent."),
    click.option("--rules-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the rules; --seed is that of the tokens."),
    example="--kind barabasi-albert --nodes 1000 --edges 5000 --tokens 1e6",
    document_length=True,
)  # fmt: skip
def _graph(**options: Any) -> Any:
    """Random walk on a random graph, whose exponents must be refused."""
    from ngramstat.synthetic import GraphWalk

    return GraphWalk(**options)


@_world_command(
    "tables",
    click.option("--vocab-size", type=Count(), default=64, show_default=True,
                 help="Vocabulary size V."),
    click.option("--table-share", type=float, default=0.01, show_default=True,
                 help="Fraction of the documents that are tables."),
    click.option("--columns", type=int, default=4, show_default=True,
                 help="Vocabulary items that tables run through."),
    click.option("--regularity", type=float, default=0.995, show_default=True,
                 help="Probability that a table goes on with its next column."),
    click.option("--repetition", type=float, default=0.05, show_default=True,
                 help="Probability that a token of another document repeats the one before it."),
    example="--tokens 1e6",
    document_length=500,
)  # fmt: skip
def _tables(**options: Any) -> Any:
    """Rare tables: a hundredth of the documents carry most of C(t)."""
    from ngramstat.synthetic import RareTables

    return RareTables(**options)


@_world_command(
    "independent",
    click.option("--vocab-size", type=Count(), default=8192, show_default=True,
                 help="Vocabulary size V."),
    click.option("--exponent", type=float, default=1.0, show_default=True,
                 help="Exponent of Zipf's law."),
    click.option("--shift", type=float, default=0.0, show_default=True,
                 help="Shift of the rank in Zipf's law (Mandelbrot)."),
    click.option("--topics", type=int, default=0, show_default=True,
                 help="Number of topics; each document has one. 0: no topics."),
    click.option("--concentration", type=float, default=100.0, show_default=True,
                 help="Concentration of the topics around Zipf's law; larger is closer."),
    click.option("--rules-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the rules (--seed is that of the tokens)."),
    example="--topics 20",
    document_length=True,
)  # fmt: skip
def _independent(**options: Any) -> Any:
    """Independent tokens from Zipf's law, optionally with topics; no sequential correlation."""
    from ngramstat.synthetic import IndependentTokens

    if not options["topics"]:
        _refuse_unused("without --topics", "concentration", "rules_seed")
    return IndependentTokens(**options)


@_world_command(
    "quanta",
    click.option("--alpha", type=float, default=0.5, show_default=True,
                 help="Exponent of the loss in learned quanta: quantum k has probability ~ "
                 "k^-(1+alpha)."),
    click.option("--vocab-size", type=Count(), default=1 << 16, show_default=True,
                 help="Number of quanta."),
    example="--alpha 0.5",
    document_length=1000,
)  # fmt: skip
def _quanta(**options: Any) -> Any:
    """Quanta of knowledge: independent tokens, with the loss of a learner that remembers them."""
    from ngramstat.synthetic import Quanta

    return Quanta(**options)


@_world_command(
    "percolation",
    click.option("--vocab-size", type=Count(), default=1 << 16, show_default=True,
                 help="Number of clusters."),
    click.option("--occupation", type=float, default=1.0, show_default=True,
                 help="Mean number of occupied neighbours further out; 1 is the threshold."),
    click.option("--rules-seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Seed of the clusters (--seed is that of the tokens)."),
    example="--vocab-size 10000",
    document_length=1000,
)  # fmt: skip
def _percolation(**options: Any) -> Any:
    """Percolation clusters: independent tokens, with the loss of a learner that remembers them."""
    from ngramstat.synthetic import Percolation

    return Percolation(**options)


@_world_command(
    "ngram",
    click.option("--from", "source", required=True, type=click.Path(exists=True),
                 help="Corpus whose n-grams are counted."),
    click.option("--order", type=int, default=3, show_default=True,
                 help="Longest n-grams k of the model: contexts of k - 1 tokens."),
    click.option("--separators/--no-separators", default=True, show_default=True,
                 help="End documents with the corpus's separator, where it has one."),
    example="--from corpus --order 3",
    document_length=False,
)  # fmt: skip
def _ngram(source: str, **options: Any) -> Any:
    """N-gram language of a corpus: H(n) is constant from n = k - 1 on, no exponents."""
    from ngramstat.synthetic import NgramLanguage

    return NgramLanguage.open(source, **options)
