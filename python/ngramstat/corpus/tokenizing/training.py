"""Training a BPE tokenizer, byte-level or as in the paper, on a sample of streamed text."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ngramstat.corpus.tokenizing.engines import require_tokenizers
from ngramstat.errors import InputError
from ngramstat.runtime.progress import Elapsed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "DEFAULT_TRAIN_BYTES",
    "PRE_TOKENIZERS",
    "SEPARATOR_TOKEN",
    "UNKNOWN_TOKEN",
    "PreTokenizer",
    "TrainedTokenizer",
    "TrainingSample",
    "check_training",
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

#: Bytes of text that training uses at most, unless told otherwise.
DEFAULT_TRAIN_BYTES = 1 << 24
# Longer pieces count as several of about this many characters.
_BLOCK_CHARS = 1 << 16
# The time for a merge grows with the length of the words it is in. A stretch of more than this many
# characters without white space, or of white space, is cut; words of natural text are shorter.
_WORD_CHARS = 512
# Such stretches cost more time and memory than text whose words repeat, and count so many times.
_WORD_COST = 4
# Separators of information, which Python alone counts as white space.
_NO_SPACE = "\x1c\x1d\x1e\x1f"
_LONG_WORD = re.compile(rf"\S{{{_WORD_CHARS + 1},}}|\s{{{_WORD_CHARS + 1},}}")


@dataclass(frozen=True)
class TrainedTokenizer:
    """A tokenizer and what it was trained on.

    Attributes
    ----------
    model
        The tokenizer.
    bytes_used, bytes_read
        Bytes of text, as UTF-8, that training used and those of the whole input.
    cuts
        Cuts of long stretches without white space, for training only.
    """

    model: Tokenizer
    bytes_used: int
    bytes_read: int
    cuts: int


class TrainingSample:
    """A sample of a stream of text: every k-th block, with the smallest k that keeps to a limit.

    The blocks are the pieces of the text, long ones cut at white space. The sample is spread evenly
    over the text and depends on nothing but the text and the limit.

    Parameters
    ----------
    limit
        Bytes to keep at most; those of long stretches without white space count four-fold. The
        sample fills more than half of the limit if the text is longer.

    Attributes
    ----------
    bytes_read : int
        Bytes of the text, as UTF-8.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Cost, bytes and text of each block.
        self._kept: list[tuple[int, int, str]] = []
        self._stride, self._blocks, self._cost = 1, 0, 0
        self.bytes_read = 0

    def add(self, piece: str) -> None:
        """Take a piece of the text into account."""
        for block in _blocks(piece):
            size = _utf8_bytes(block)
            self.bytes_read += size
            if self._blocks % self._stride == 0:
                cost = size + (_WORD_COST - 1) * sum(
                    _utf8_bytes(match[0]) for match in _LONG_WORD.finditer(block)
                )
                self._kept.append((cost, size, block))
                self._cost += cost
            self._blocks += 1
            while self._cost > self._limit and len(self._kept) > 1:
                self._stride *= 2
                self._kept = self._kept[::2]
                self._cost = sum(cost for cost, _, _ in self._kept)

    @property
    def bytes_kept(self) -> int:
        """Bytes of the sample."""
        return sum(size for _, size, _ in self._kept)

    def texts(self) -> Iterator[str]:
        """The blocks of the sample in order."""
        return (block for _, _, block in self._kept)


def check_training(vocab_size: int, pre_tokenizer: str) -> None:
    """Refuse a pre-tokenizer that does not exist and a vocabulary too small or too large."""
    if pre_tokenizer not in PRE_TOKENIZERS:
        raise InputError(
            f"pre_tokenizer={pre_tokenizer!r}: must be one of {', '.join(PRE_TOKENIZERS)}"
        )
    smallest = _MIN_VOCAB[pre_tokenizer]
    if isinstance(vocab_size, bool) or not smallest <= vocab_size <= _MAX_VOCAB:
        raise InputError(f"vocab_size={vocab_size}: must lie between {smallest} and {_MAX_VOCAB}")


def train_tokenizer(
    read: Callable[[], Iterator[str]],
    vocab_size: int,
    pre_tokenizer: PreTokenizer = "byte-level",
    *,
    train_bytes: int | None = None,
    progress: bool = False,
) -> TrainedTokenizer:
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
    train_bytes : int, optional
        Bytes of text to use at most, in a sample spread evenly over the text (`TrainingSample`);
        None: the whole text. All characters of the whole text are in the vocabulary either way.
    progress : bool
        Show on standard error how long the merges are taking, once the text is read.

    Raises
    ------
    InputError
        There is no such pre-tokenizer, or the vocabulary is too small or too large.
    NgramstatError
        The tokenizers library is not installed.
    """
    check_training(vocab_size, pre_tokenizer)
    model, settings = _untrained(pre_tokenizer)
    from tokenizers import trainers

    count = _Count()
    alphabet = _Alphabet()
    if train_bytes is None:
        texts = count.whole(read())
    else:
        sample = TrainingSample(train_bytes)
        for piece in read():
            sample.add(piece)
            if pre_tokenizer == "whitespace":
                alphabet.add(piece)
        texts = count.sample(sample)
        if sample.bytes_kept < sample.bytes_read and pre_tokenizer == "whitespace":
            settings["initial_alphabet"] = alphabet.characters()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, **settings)
    with Elapsed("Merge pairs", enabled=progress) as elapsed:

        def work(stopped: threading.Event) -> None:
            def pieces() -> Iterator[str]:
                for text in texts:
                    if stopped.is_set():
                        return
                    yield text
                elapsed.start()

            model.train_from_iterator(pieces(), trainer=trainer)

        _interruptibly(work)
    return TrainedTokenizer(model, count.used, count.read, count.cuts)


class _Count:
    """Cuts long words of the texts to train on, and counts the bytes and the cuts."""

    def __init__(self) -> None:
        self.used = self.read = self.cuts = 0

    def whole(self, pieces: Iterator[str]) -> Iterator[str]:
        for piece in pieces:
            self.used += _utf8_bytes(piece)
            self.read = self.used
            yield from self._short_words(piece)

    def sample(self, sample: TrainingSample) -> Iterator[str]:
        self.used, self.read = sample.bytes_kept, sample.bytes_read
        for block in sample.texts():
            yield from self._short_words(block)

    def _short_words(self, text: str) -> Iterator[str]:
        start = 0
        for match in _LONG_WORD.finditer(text):
            for at in range(match.start() + _WORD_CHARS, match.end(), _WORD_CHARS):
                self.cuts += 1
                yield text[start:at]
                start = at
        yield text[start:]


class _Alphabet:
    """The characters of a text that are not white space to the tokenizers library."""

    def __init__(self) -> None:
        self._seen = np.zeros(0x110000, dtype=bool)

    def add(self, text: str) -> None:
        self._seen[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")] = True

    def characters(self) -> list[str]:
        found = map(chr, np.flatnonzero(self._seen).tolist())
        return [c for c in found if not c.isspace() or c in _NO_SPACE]


def _blocks(piece: str) -> Iterator[str]:
    """A piece in blocks, cut before the last blank or line end of each."""
    start = 0
    while len(piece) - start > 2 * _BLOCK_CHARS:
        end = start + _BLOCK_CHARS
        at = max(piece.rfind(" ", start + 1, end), piece.rfind("\n", start + 1, end))
        end = at if at > start else end
        yield piece[start:end]
        start = end
    yield piece[start:] if start else piece


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _interruptibly(work: Callable[[threading.Event], None]) -> None:
    """Do work that runs for long without Python in another thread, so that Ctrl-C ends the wait.

    The event is then set. What is left of the work ends with the process.
    """
    failures: list[BaseException] = []
    stopped = threading.Event()

    def run() -> None:
        try:
            work(stopped)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    finally:
        stopped.set()
    if failures:
        raise failures[0]


def _untrained(pre_tokenizer: PreTokenizer) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer before training, and settings of its trainer."""
    require_tokenizers()
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
