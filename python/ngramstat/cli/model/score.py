"""`ngramstat model score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Globals,
    check_file,
    corpus_options,
    document_option,
    json_option,
    shared_options,
)
from ngramstat.runtime.numbers import count_of

if TYPE_CHECKING:
    from ngramstat.corpus import Corpus
    from ngramstat.ngram_models.model import LanguageModel
    from ngramstat.results.perplexity import PerplexityResult

__all__ = ["score"]


@command(
    examples=[
        "ngramstat model score lm.kn held-out-corpus",
        "ngramstat model score lm.kn --text essay.txt -o losses.csv",
        "ngramstat model score lm.kn held-out-corpus --by-document documents.csv --json",
    ]
)
@click.argument("model", type=click.Path())
@corpus_options
@click.option(
    "--text",
    "is_text",
    is_flag=True,
    help="CORPUS names files of text, which are tokenized as the model's corpus was.",
)
@document_option("What one document of --text is")
@under(
    "Output",
    click.option(
        "-o",
        "--output",
        type=click.Path(),
        callback=check_file,
        help="Write the loss of every token, in nats: .npy, or .csv with document, id and text.",
    ),
    click.option(
        "--by-document",
        type=click.Path(),
        callback=check_file,
        help="Write loss, tokens, unseen tokens and perplexity of every document: .csv.",
    ),
)
@json_option
@shared_options("threads", "quiet")
def score(
    common: Globals,
    model: str,
    store: dict[str, Any],
    is_text: bool,
    document: Any,
    output: str | None,
    by_document: str | None,
    as_json: bool,
) -> None:
    """Measure how well a model predicts a corpus or a text: perplexity, losses by token.

    MODEL is a file of `model train` or `model import`. The unit is the token of the corpus, and the
    end of every document is predicted, too, where the model was trained with --boundary document.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.ngram_models.loading import load_model
    from ngramstat.runtime.files import write_csv

    if output is not None and Path(output).suffix not in (".npy", ".csv"):
        raise click.UsageError("-o: needs a name that ends with .npy or .csv")
    loaded = load_model(model)
    if is_text:
        paths = store["path"]
        corpus = loaded.read_text(
            [paths] if isinstance(paths, str) else list(paths),
            document=document,
            threads=common.threads,
            progress=not common.quiet,
        )
    else:
        corpus = Corpus.open(**store)
    result = loaded.perplexity(corpus, threads=common.threads)
    if by_document is not None:
        write_csv(by_document, *result.documents())
    if output is not None:
        _write_losses(output, loaded, corpus, common.threads)
    if as_json:
        echo_json({**result.summary(), "model": result.model, "corpus": result.corpus})
    else:
        click.echo(_described(result))
    for path in (output, by_document):
        if path is not None:
            click.echo(f"Wrote {path}", err=True)


def _described(result: PerplexityResult) -> str:
    facts = result.summary()
    return (
        f"perplexity {facts['perplexity']:.6g} a token: {facts['nats']:.6g} nats, "
        f"{facts['bits']:.6g} bits\n"
        f"{count_of(facts['tokens'], 'token')} in {count_of(facts['documents'], 'document')}, "
        f"{facts['unseen']:,} of types that the model has never seen"
    )


def _write_losses(path: str, model: LanguageModel, corpus: Corpus, threads: int | None) -> None:
    import numpy as np

    from ngramstat.runtime.files import atomic_write, write_csv

    losses = model.token_losses(corpus, threads=threads)
    if Path(path).suffix == ".npy":
        with atomic_write(path) as file:
            np.save(file, losses)
        return
    ends = corpus.document_ends
    document = np.zeros(len(losses), np.int64)
    if ends is not None:
        document = np.searchsorted(ends, np.arange(len(losses)), side="right")
    ids = np.asarray(corpus.tokens)
    header, columns = ["document", "token", "loss"], [document.tolist(), ids.tolist()]
    if model.text is not None:
        spelled = {i: model.decode([i]) for i in np.unique(ids).tolist()}
        header.insert(2, "text")
        columns.append([spelled[i] for i in ids.tolist()])
    write_csv(path, header, zip(*columns, losses.tolist(), strict=True))
