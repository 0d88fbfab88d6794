"""`ngramstat model sample`."""

from __future__ import annotations

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Globals, json_option, shared_options

__all__ = ["sample"]


@command(
    examples=[
        "ngramstat model sample lm.kn --n-tokens 200 --seed 1",
        "ngramstat model sample lm.kn --prompt 'Once upon a time' --temperature 0.8",
    ]
)
@click.argument("model", type=click.Path())
@click.option(
    "--prompt", default="", help="What stands before the sample.  [default: a new document]"
)
@click.option("--ids", is_flag=True, help="The prompt and the samples are ids between blanks.")
@click.option("--n-tokens", type=click.IntRange(0), default=100, show_default=True)
@click.option("--num-samples", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Below 1, likely tokens become more likely; 0: the most likely token.",
)
@click.option("--top-k", type=click.IntRange(1), help="Draw among the most likely tokens.")
@json_option
@shared_options("threads", "seed")
def sample(
    common: Globals,
    model: str,
    prompt: str,
    ids: bool,
    n_tokens: int,
    num_samples: int,
    temperature: float,
    top_k: int | None,
    as_json: bool,
) -> None:
    """Print text drawn from a model, token by token.

    A sample ends with its document, if the model predicts that, or after --n-tokens. Where the
    model knows no text, it is ids.
    """
    from ngramstat.errors import InputError
    from ngramstat.ngram_models.loading import load_model

    loaded = load_model(model)
    is_text = loaded.text is not None and not ids
    given: str | list[int] = prompt
    if not is_text:
        try:
            given = [int(word) for word in prompt.split()]
        except ValueError as error:
            raise InputError(
                f"--prompt {prompt!r}: the model knows no text; give ids between blanks"
            ) from error
    drawn = loaded.sample(
        n_tokens,
        prompt=given,
        num_samples=num_samples,
        temperature=temperature,
        top_k=top_k,
        seed=common.seed,
        threads=common.threads,
    )
    texts = []
    for row in drawn:
        # The end of the document is no text.
        shown = row[:-1] if is_text and len(row) and row[-1] == loaded.stop_token else row
        texts.append(loaded.decode(shown) if is_text else " ".join(map(str, row.tolist())))
    if as_json:
        rows = zip(drawn, texts, strict=True)
        echo_json([{"ids": row.tolist(), "text": text} for row, text in rows])
        return
    for number, text in enumerate(texts):
        if number:
            click.echo("---")
        between = "" if is_text or not prompt else " "
        click.echo(prompt + between + text)
