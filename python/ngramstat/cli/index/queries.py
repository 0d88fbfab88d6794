"""The commands that ask an index: `count`, `next`, `find`, `score`, `sample`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Globals, compose, json_option, shared_options, token_ids
from ngramstat.errors import InputError

__all__ = ["count", "find", "next_tokens", "sample", "score"]

_INDEX = click.argument("index", type=click.Path())
_IDS = click.option(
    "--ids", is_flag=True, help="Queries are token ids separated by commas, not text."
)
_MAX_CONTEXT = click.option(
    "--max-context", type=click.IntRange(1), help="Tokens of a context at most.  [default: all]"
)
_CNF = compose(
    click.option(
        "--cnf",
        is_flag=True,
        help="Look for all the n-grams near each other; each may have several forms, as in "
        "' deep| machine'.",
    ),
    click.option(
        "--max-diff-tokens",
        type=click.IntRange(1),
        help="How far the n-grams of --cnf may be from each other.  [default: 100]",
    ),
)


_MAX_DIFF_TOKENS = 100


def _distance(cnf: bool, max_diff_tokens: int | None) -> int:
    """How far the n-grams of --cnf may be from each other."""
    if max_diff_tokens is None:
        return _MAX_DIFF_TOKENS
    if not cnf:
        raise InputError("--max-diff-tokens: has no effect without --cnf")
    return max_diff_tokens


def _open(index: str) -> Any:
    from ngramstat.index.ngram_index import NgramIndex

    return NgramIndex.open(index)


def _query(text: str, ids: bool) -> Any:
    """Text, or the ids it spells."""
    if not ids:
        return text
    return token_ids(text, f"{text!r}: with --ids a query is token ids separated by commas")


def _queries(
    arguments: Iterable[str], source: str | None, ids: bool, *, may_be_empty: bool = True
) -> tuple[list[str], Any]:
    """Queries as they were typed and as the index takes them."""
    typed = list(arguments)
    if source is not None:
        lines = _lines(source)
        if not may_be_empty:
            _refuse_empty_lines(lines, source, ids)
        typed += lines
    if not typed:
        raise InputError("give an n-gram, or --input FILE with one in each line")
    return typed, [_query(text, ids) for text in typed]


def _lines(source: str) -> list[str]:
    data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    return _text_of(data, source).splitlines()


def _refuse_empty_lines(lines: list[str], source: str, ids: bool) -> None:
    for number, line in enumerate(lines, start=1):
        # A text of blanks is an n-gram, too.
        if not (line.replace(",", " ").strip() if ids else line):
            raise InputError(
                f"{source}: line {number} is empty; an n-gram has at least one token, so remove "
                "the line"
            )


def _text_of(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: is not UTF-8 text ({error})") from error


def _clauses(typed: Iterable[str], ids: bool) -> list[list[Any]]:
    return [[_query(form, ids) for form in text.split("|")] for text in typed]


def _shown(text: str) -> str:
    """A text within one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _text(index: Any, ids: Any) -> str:
    """Tokens as text, or as ids where there is no tokenizer."""
    if index.tokenizer is None:
        return ",".join(map(str, ids))
    return str(index.tokenizer.decode(ids))


@command(
    examples=[
        "ngramstat index count corpus.index 'natural language' ' the'",
        "ngramstat index count corpus.index --input ngrams.txt --documents",
        "ngramstat index count corpus.index --ids 17,4,8",
        "ngramstat index count corpus.index --cnf 'natural language' ' deep| machine'",
    ]
)
@_INDEX
@click.argument("ngrams", nargs=-1)
@click.option(
    "--input", "source", type=click.Path(), help="File with one n-gram in each line; - for a pipe."
)
@_IDS
@click.option("--documents", is_flag=True, help="Print the number of documents, too.")
@_CNF
@json_option
@shared_options("threads")
def count(
    common: Globals,
    index: str,
    ngrams: tuple[str, ...],
    source: str | None,
    ids: bool,
    documents: bool,
    cnf: bool,
    max_diff_tokens: int | None,
    as_json: bool,
) -> None:
    """Print how often n-grams occur in a corpus.

    A word inside a sentence mostly begins with its space, so ' time' differs from 'time'.
    """
    distance = _distance(cnf, max_diff_tokens)
    opened = _open(index)
    typed, queries = _queries(ngrams, source, ids, may_be_empty=False)
    if cnf:
        if documents:
            raise InputError("--documents: cannot be counted with --cnf")
        total = opened.count_cnf(_clauses(typed, ids), max_diff_tokens=distance)
        if as_json:
            echo_json({"cnf": typed, "max_diff_tokens": distance, "count": total})
        else:
            click.echo(total)
        return
    counts = opened.count(queries, threads=common.threads).tolist()
    rows: list[dict[str, Any]] = [
        {"ngram": text, "count": n} for text, n in zip(typed, counts, strict=True)
    ]
    if documents:
        found = opened.count_documents(queries, threads=common.threads).tolist()
        for row, n in zip(rows, found, strict=True):
            row["documents"] = n
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        numbers = [row["count"], *([row["documents"]] if documents else [])]
        click.echo("\t".join([*map(str, numbers), _shown(row["ngram"])]))


@command(
    "next",
    examples=[
        "ngramstat index next corpus.index 'once upon a'",
        "ngramstat index next corpus.index 'a context that is nowhere in it' --backoff --top 5",
    ],
)
@_INDEX
@click.argument("contexts", nargs=-1)
@click.option(
    "--input", "source", type=click.Path(), help="File with one context in each line; - for a pipe."
)
@_IDS
@click.option(
    "--top", type=click.IntRange(1), default=10, show_default=True, help="Tokens to print."
)
@click.option("--backoff", is_flag=True, help="Use the longest suffix of the context that occurs.")
@_MAX_CONTEXT
@json_option
@shared_options("threads")
def next_tokens(
    common: Globals,
    index: str,
    contexts: tuple[str, ...],
    source: str | None,
    ids: bool,
    top: int,
    backoff: bool,
    max_context: int | None,
    as_json: bool,
) -> None:
    """Print the tokens that follow contexts most often: count, probability, token."""
    opened = _open(index)
    typed, queries = _queries(contexts, source, ids)
    found = opened.next_distribution(
        queries, backoff=backoff, max_context=max_context, sparse=True, threads=common.threads
    )
    best = found.top(top)
    rows: list[dict[str, Any]] = []
    for i, text in enumerate(typed):
        tokens, counts = best.next_counts[i]
        first, last = best.starts[i], best.starts[i + 1]
        rows.append(
            {
                "context": text,
                "count": int(found.context_counts[i]),
                "suffix_length": int(found.suffix_lengths[i]),
                "next": [
                    {"id": int(t), "text": _text(opened, [t]), "count": int(n), "probability": p}
                    for t, n, p in zip(
                        tokens, counts, best.probabilities[first:last].tolist(), strict=True
                    )
                ],
            }
        )
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        used = f", {row['suffix_length']} tokens of it used" if backoff else ""
        click.echo(f"{_shown(row['context'])!r}: {row['count']:,} occurrences{used}")
        for item in row["next"]:
            click.echo(f"{item['count']:>10,}  {item['probability']:<9.4g} {item['text']!r}")


@command(
    examples=[
        "ngramstat index find corpus.index 'natural language' --context 30 --limit 5",
        "ngramstat index find corpus.index --cnf 'natural language' ' deep| machine'",
    ]
)
@_INDEX
@click.argument("ngrams", nargs=-1, required=True)
@_IDS
@click.option(
    "--context", type=click.IntRange(0), default=20, show_default=True, help="Tokens around it."
)
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="Matches to print."
)
@_CNF
@json_option
@shared_options()
def find(
    common: Globals,
    index: str,
    ngrams: tuple[str, ...],
    ids: bool,
    context: int,
    limit: int,
    cnf: bool,
    max_diff_tokens: int | None,
    as_json: bool,
) -> None:
    """Print where an n-gram occurs, with the text around it: document, offset, text."""
    distance = _distance(cnf, max_diff_tokens)
    opened = _open(index)
    if cnf:
        _find_cnf(opened, _clauses(ngrams, ids), distance, limit, as_json)
        return
    if len(ngrams) != 1:
        raise InputError("several n-grams; give one, or --cnf to find them near each other")
    rows = [
        {
            "position": match.position,
            "document": match.document,
            "offset": match.offset,
            "left": _text(opened, match.left),
            "text": _text(opened, match.tokens),
            "right": _text(opened, match.right),
        }
        for match in opened.find(_query(ngrams[0], ids), context=context, limit=limit)
    ]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        text = f"{_shown(row['left'])}[{_shown(row['text'])}]{_shown(row['right'])}"
        click.echo(f"{row['document']}\t{row['offset']}\t{text}")
    if not rows:
        click.echo("It does not occur.")


def _find_cnf(opened: Any, cnf: Any, max_diff_tokens: int, limit: int, as_json: bool) -> None:
    found = opened.find_cnf(cnf, max_diff_tokens=max_diff_tokens)
    rows = [
        {"document": document, "start": start, "last": last}
        for document, start, last in zip(
            found.documents[:limit].tolist(),
            found.starts[:limit].tolist(),
            found.lasts[:limit].tolist(),
            strict=True,
        )
    ]
    if as_json:
        echo_json({"count": found.count, "matches": rows})
        return
    click.echo(f"{found.count:,} matches; document, first and last position:")
    for row in rows:
        click.echo("\t".join(map(str, row.values())))


@command(
    examples=[
        "ngramstat index score corpus.index new.txt",
        "ngramstat index score corpus.index held-out --ids --max-context 4 --json",
    ]
)
@_INDEX
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("--ids", is_flag=True, help="Files are token stores, not text.")
@_MAX_CONTEXT
@click.option("--by-token", is_flag=True, help="Print every token, its effective n, and counts.")
@json_option
@shared_options("threads")
def score(
    common: Globals,
    index: str,
    files: tuple[str, ...],
    ids: bool,
    max_context: int | None,
    by_token: bool,
    as_json: bool,
) -> None:
    """Print infinity-gram probabilities of texts, which have no smoothing.

    Each file of text is one text. A token that never follows the longest suffix of its context that
    is in the corpus has probability zero.
    """
    from ngramstat.corpus import Corpus

    opened = _open(index)
    rows = []
    for file in files:
        text = Corpus.open(file) if ids else _text_of(_read(file), file)
        scores = opened.score(text, max_context=max_context, threads=common.threads)
        rows.append(_scored(file, scores))
        if by_token:
            rows[-1]["by_token"] = [
                {
                    "id": token,
                    "text": _text(opened, [token]),
                    "effective_n": length + 1,
                    "count": n,
                    "context_count": context,
                }
                for token, length, n, context in zip(
                    scores.tokens.tolist(),
                    scores.suffix_lengths.tolist(),
                    scores.counts.tolist(),
                    scores.context_counts.tolist(),
                    strict=True,
                )
            ]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        for token in row.get("by_token", ()):
            ratio = f"{token['count']}/{token['context_count']}"
            click.echo(f"{token['effective_n']}\t{ratio}\t{token['text']!r}")
        _show_scores(row)


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _scored(file: str, scores: Any) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "file": file,
        "tokens": len(scores),
        "zeros": scores.zeros,
        "perplexity": number(scores.perplexity),
        "perplexity_of_nonzero": number(scores.perplexity_of_nonzero),
        "mean_effective_n": float(scores.suffix_lengths.mean()) + 1 if len(scores) else None,
    }


def _show_scores(row: dict[str, Any]) -> None:
    if not row["tokens"]:
        click.echo(f"{row['file']}: no tokens")
        return
    share = row["zeros"] / row["tokens"]
    click.echo(
        f"{row['file']}: {row['tokens']:,} tokens, mean effective n {row['mean_effective_n']:.2f}"
    )
    if row["zeros"]:
        rest = row["perplexity_of_nonzero"]
        others = "" if rest is None else f"; perplexity of the others alone {rest:.4g}"
        click.echo(
            f"  {row['zeros']:,} tokens ({share:.1%}) have probability zero, so the perplexity is "
            f"infinite{others}"
        )
    else:
        click.echo(f"  perplexity {row['perplexity']:.4g}")


@command(
    examples=[
        "ngramstat index sample corpus.index --prompt 'Once upon a time' --order 4",
        "ngramstat index sample corpus.index --n-tokens 200 --num-samples 3 --order 5 --seed 1",
    ]
)
@_INDEX
@click.option("--prompt", default="", help="What stands before the sample.")
@_IDS
@click.option("--n-tokens", type=click.IntRange(0), default=100, show_default=True)
@click.option("--num-samples", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--order",
    type=click.IntRange(1),
    help="Look at this many tokens less one.  [default: at all, which soon copies the corpus]",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="0: the most frequent token.",
)
@click.option("--top-k", type=click.IntRange(1), help="Draw among the most frequent tokens.")
@json_option
@shared_options("threads", "seed")
def sample(
    common: Globals,
    index: str,
    prompt: str,
    ids: bool,
    n_tokens: int,
    num_samples: int,
    order: int | None,
    temperature: float,
    top_k: int | None,
    as_json: bool,
) -> None:
    """Print text drawn from the counts of a corpus, without smoothing."""
    opened = _open(index)
    drawn = opened.sample(
        n_tokens,
        prompt=_query(prompt, ids) if prompt else None,
        num_samples=num_samples,
        order=order,
        temperature=temperature,
        top_k=top_k,
        seed=common.seed,
        threads=common.threads,
    )
    if as_json:
        echo_json([{"ids": row.tolist(), "text": _text(opened, row)} for row in drawn])
        return
    for number, row in enumerate(drawn):
        if number:
            click.echo("---")
        separator = "," if prompt and opened.tokenizer is None else ""
        click.echo(prompt + separator + _text(opened, row))
