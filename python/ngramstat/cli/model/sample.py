"""`ngramstat model sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Globals, json_option, shared_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ngramstat.ngram_models.model import LanguageModel

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
    from ngramstat.ngram_models.loading import load_model

    loaded = load_model(model)
    is_text = loaded.text is not None and not ids
    drawn = loaded.sample(
        n_tokens,
        prompt=prompt if is_text else _ids_of(prompt),
        num_samples=num_samples,
        temperature=temperature,
        top_k=top_k,
        seed=common.seed,
        threads=common.threads,
    )
    texts = [_shown(loaded, row, is_text=is_text) for row in drawn]
    if as_json:
        rows = zip(drawn, texts, strict=True)
        echo_json([{"ids": row.tolist(), "text": text} for row, text in rows])
        return
    between = "" if is_text or not prompt else " "
    for number, text in enumerate(texts):
        if number:
            click.echo("---")
        click.echo(prompt + between + text)


def _ids_of(prompt: str) -> list[int]:
    from ngramstat.errors import InputError

    try:
        return [int(word) for word in prompt.split()]
    except ValueError as error:
        raise InputError(
            f"--prompt {prompt!r}: the model knows no text; give ids between blanks"
        ) from error


def _shown(model: LanguageModel, ids: NDArray[np.uint32], *, is_text: bool) -> str:
    """A sample as text, or as ids between blanks."""
    if not is_text:
        return " ".join(map(str, ids.tolist()))
    # The end of the document is no text.
    ends = len(ids) > 0 and ids[-1] == model.stop_token
    return model.decode(ids[:-1] if ends else ids)
