"""`ngramstat model sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Globals, json_option, shared_options, token_ids

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
@click.option(
    "--ids", is_flag=True, help="The prompt and the samples are token ids, such as 17,4 or '17 4'."
)
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
    given = prompt if is_text else _ids_of(prompt, known_text=loaded.text is not None)
    drawn = loaded.sample(
        n_tokens,
        prompt=given,
        num_samples=num_samples,
        temperature=temperature,
        top_k=top_k,
        seed=common.seed,
        threads=common.threads,
    )
    if as_json:
        rows: list[dict[str, Any]] = [{"tokens": row.tolist()} for row in drawn]
        for row, ids_of_row in zip(rows, drawn, strict=True):
            if is_text:
                row["text"] = _text_of(loaded, ids_of_row)
        echo_json(rows)
        return
    for number, tokens in enumerate(drawn):
        if number:
            click.echo("---")
        if is_text:
            click.echo(prompt + _text_of(loaded, tokens))
        else:
            click.echo(" ".join(map(str, [*given, *tokens.tolist()])))


def _ids_of(prompt: str, *, known_text: bool) -> list[int]:
    why = "with --ids it is token ids" if known_text else "the model knows no text; give ids"
    return token_ids(prompt, f"--prompt {prompt!r}: {why}")


def _text_of(model: LanguageModel, ids: NDArray[np.uint32]) -> str:
    # The end of the document is no text.
    ends = len(ids) > 0 and ids[-1] == model.stop_token
    return model.decode(ids[:-1] if ends else ids)
