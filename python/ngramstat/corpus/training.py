"""Training a BPE tokenizer, byte-level or as in the paper, on streamed text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

from ngramstat.errors import InputError
from ngramstat.runtime.progress import Elapsed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "PRE_TOKENIZERS",
    "SEPARATOR_TOKEN",
    "UNKNOWN_TOKEN",
    "PreTokenizer",
    "train_tokenizer",
]

PreTokenizer = Literal["byte-level", "whitespace"]
PRE_TOKENIZERS: tuple[PreTokenizer, ...] = get_args(PreTokenizer)

SEPARATOR_TOKEN = "<|endoftext|>"
# Of the whitespace tokenizer, with ids 0 and 1 as in the paper.
UNKNOWN_TOKEN, _PAPER_SEPARATOR = "[UNK]", "<eos>"

# All bytes and the separator; for whitespace, one character and both special tokens.
_MIN_VOCAB = {"byte-level": 257, "whitespace": 3}
_MAX_VOCAB = 1 << 24


def train_tokenizer(
    read: Callable[[], Iterator[str]],
    vocab_size: int,
    pre_tokenizer: PreTokenizer = "byte-level",
    *,
    progress: bool = False,
) -> Tokenizer:
    """Train a BPE; the result depends only on the text, not on the threads.

    Parameters
    ----------
    read : callable
        Returns the pieces of the text; called once.
    vocab_size : int
        At least 257 for ``byte-level``, 3 for ``whitespace``. A small text may yield less, and one
        of more different characters more, as a whitespace tokenizer keeps them all.
    pre_tokenizer : str
        ``byte-level``: every text is represented in full. ``whitespace``: words and runs of
        punctuation are split apart and the white space between them is lost; characters that the
        text does not have become ``[UNK]``. The latter is the tokenizer of Cagnetta et al. 2026:
        special tokens ``[UNK]`` = 0 and ``<eos>`` = 1, no normalizer, otherwise default settings.
    progress : bool
        Show on standard error how long the merges are taking, once the text is read.

    Raises
    ------
    InputError
        There is no such pre-tokenizer, or the vocabulary is too small or too large.
    """
    if pre_tokenizer not in PRE_TOKENIZERS:
        raise InputError(
            f"pre_tokenizer={pre_tokenizer!r}: must be one of {', '.join(PRE_TOKENIZERS)}"
        )
    smallest = _MIN_VOCAB[pre_tokenizer]
    if isinstance(vocab_size, bool) or not smallest <= vocab_size <= _MAX_VOCAB:
        raise InputError(f"vocab_size={vocab_size}: must lie between {smallest} and {_MAX_VOCAB}")
    model, settings = _untrained(pre_tokenizer)
    from tokenizers import trainers

    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, **settings)
    with Elapsed("Merge pairs", enabled=progress) as elapsed:

        def pieces() -> Iterator[str]:
            yield from read()
            elapsed.start()

        model.train_from_iterator(pieces(), trainer=trainer)
    return model


def _untrained(pre_tokenizer: PreTokenizer) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer before training, and settings of its trainer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if pre_tokenizer == "whitespace":
        model = Tokenizer(models.BPE(unk_token=UNKNOWN_TOKEN))
        model.pre_tokenizer = pre_tokenizers.Whitespace()
        return model, {"special_tokens": [UNKNOWN_TOKEN, _PAPER_SEPARATOR]}
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    model.decoder = decoders.ByteLevel()
    return model, {
        "special_tokens": [SEPARATOR_TOKEN],
        "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(),
    }
