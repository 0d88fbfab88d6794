"""`ngramstat model sample`."""

from __future__ import annotations

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Count, Globals, json_option, shared_options

__all__ = ["sample"]


@command(
    examples=[
        "ngramstat model sample lm.kn --tokens 200 --seed 1",
        "ngramstat model sample lm.kn --context 'Once upon a time' --temperature 0.8",
    ]
)
@click.argument("model", type=click.Path())
@click.option(
    "--tokens", type=Count(), default=100, show_default=True, help="Tokens of a sample at most."
)
@click.option(
    "--documents", type=Count(), default=1, show_default=True, help="How many samples to draw."
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Below 1, likely tokens become more likely; 0 takes the most likely one.",
)
@click.option(
    "--context",
    default="",
    help="What to continue: text, or ids between blanks with --ids.  [default: a new document]",
)
@click.option("--ids", is_flag=True, help="Print ids, also where the model knows text.")
@json_option
@shared_options("seed", "quiet")
def sample(
    common: Globals,
    model: str,
    tokens: int,
    documents: int,
    temperature: float,
    context: str,
    ids: bool,
    as_json: bool,
) -> None:
    """Draw random text from a model, token by token.

    A sample ends with its document, if the model predicts that, or after --tokens. One sample
    is a line of ids where the model knows no text.
    """
    from ngramstat.errors import InputError
    from ngramstat.ngram_models.loading import load_model

    loaded = load_model(model)
    is_text = loaded.text is not None and not ids
    given: str | list[int] = context
    if not is_text:
        try:
            given = [int(word) for word in context.split()]
        except ValueError as error:
            raise InputError(
                f"--context {context!r}: the model knows no text; give ids between blanks"
            ) from error
    drawn = loaded.sample(
        tokens, seed=common.seed, temperature=temperature, context=given, documents=documents
    )
    texts = []
    for row in drawn:
        # The end of the document is no text.
        shown = row[:-1] if is_text and len(row) and row[-1] == loaded.stop_token else row
        texts.append(loaded.decode(shown) if is_text else " ".join(map(str, row.tolist())))
    if as_json:
        rows = zip(drawn, texts, strict=True)
        echo_json([{"tokens": row.tolist(), "text": text} for row, text in rows])
        return
    for text in texts:
        click.echo(text)
