"""What turns texts into ids: fastokens where it proves equal to the tokenizers library, or that.

Both engines give flat arrays, so that no Python object is made for a token. fastokens is some
thirty times faster on one core, supports fewer kinds of tokenizers and is a younger library.
Therefore a sample of every job is encoded with both (`EngineCheck`), and one difference sends the
whole job back to the tokenizers library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "Engine",
    "EngineCheck",
    "EngineError",
    "EngineMismatchError",
    "FastEngine",
    "ReferenceEngine",
    "load_fast_engine",
    "load_tokenizer",
    "odd_texts",
    "require_tokenizers",
]

FlatIds = tuple[NDArray[np.uint32], NDArray[np.int64]]

# White space and word characters in the sense of the tokenizers library. The regular expressions of
# fastokens have other ones, which differ in some 3,000 characters.
_SPACE = r"\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}"
# Pre-tokenizers that fastokens does not know, as splits that it does.
_AS_SPLIT: dict[str, dict[str, Any]] = {
    "Whitespace": {
        "type": "Split",
        "pattern": {"Regex": f"[{_WORD}]+|[^{_WORD}{_SPACE}]+"},
        "behavior": "Removed",
        "invert": True,
    },
    "WhitespaceSplit": {
        "type": "Split",
        "pattern": {"Regex": f"[{_SPACE}]+"},
        "behavior": "Removed",
        "invert": False,
    },
}

# The sample of a job that both engines encode: the beginnings of its first texts, then about one
# character in so many, in windows of texts drawn at random from every batch.
_FIRST_TEXTS, _FIRST_CHARS = 64, 4096
_ONE_IN = 256
_WINDOW_CHARS = 2048
_SEED = 20_260_101


class EngineError(Exception):
    """A library could not encode a text; the message is the library's own."""


class EngineMismatchError(Exception):
    """The fast engine gave other ids than the tokenizers library."""


class Engine(Protocol):
    """Encodes texts without adding special tokens."""

    @property
    def name(self) -> str:
        """The library."""
        ...

    @property
    def batch_chars(self) -> int:
        """Characters in one call, which cannot be interrupted and whose memory they bound."""
        ...

    def encode(self, texts: Sequence[str]) -> FlatIds:
        """The ids of all texts in a row, uint32, and the number of each text's ids, int64.

        Raises
        ------
        EngineError
            The library cannot encode one of the texts.
        """
        ...


@contextmanager
def _library_errors() -> Iterator[None]:
    """Turn what the libraries raise, also panics of their Rust code, into `EngineError`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # a panic is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise EngineError(reason(error)) from error


@dataclass(frozen=True)
class ReferenceEngine:
    """The tokenizers library."""

    model: Tokenizer
    name: str = "tokenizers"
    batch_chars: int = 1 << 20

    def encode(self, texts: Sequence[str]) -> FlatIds:
        """See `Engine.encode`."""
        with _library_errors():
            encodings = self.model.encode_batch_fast(list(texts), add_special_tokens=False)
            parts = [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]
        lengths = np.array([part.size for part in parts], dtype=np.int64)
        return (np.concatenate(parts) if parts else np.empty(0, np.uint32)), lengths

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of one text, and the characters from which to which each one stands for."""
        with _library_errors():
            encoding = self.model.encode(text, add_special_tokens=False)
            return encoding.ids, encoding.offsets


@dataclass(frozen=True)
class FastEngine:
    """The fastokens library."""

    model: Any
    as_text: bool
    name: str = "fastokens"
    batch_chars: int = 1 << 21

    def encode(self, texts: Sequence[str]) -> FlatIds:
        """See `Engine.encode`."""
        with _library_errors():
            ids, ends = self.model.encode_batch_flat(list(texts), False, self.as_text)
        flat = np.frombuffer(ids, dtype="<u4")
        offsets = np.frombuffer(ends, dtype="<u8").astype(np.int64)
        if offsets.size != len(texts) + 1 or offsets[-1] != flat.size:
            raise EngineError("it returned offsets that do not fit its ids")
        return flat, np.diff(offsets)


def require_tokenizers() -> None:
    """Refuse to go on without the tokenizers library."""
    try:
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise NgramstatError(
            "tokenizing text needs the tokenizers library: pip install 'ngramstat[text]'"
        ) from error


def load_tokenizer(contents: str, *, as_text: bool = True) -> Tokenizer:
    """The tokenizers library's model of a tokenizer.json, without truncation or padding.

    Raises
    ------
    EngineError
        The library cannot read it.
    NgramstatError
        The library is not installed.
    """
    require_tokenizers()
    from tokenizers import Tokenizer

    with _library_errors():
        model = Tokenizer.from_str(contents)
    model.no_truncation()
    model.no_padding()
    model.encode_special_tokens = as_text
    return model


def load_fast_engine(description: dict[str, Any], *, as_text: bool) -> tuple[Any, str]:
    """The fast engine for a tokenizer, or None and the reason why there is none.

    Parameters
    ----------
    description
        A tokenizer.json, as the tokenizers library writes it.
    as_text
        Whether special tokens spelled in a text are text.

    Returns
    -------
    engine : FastEngine or None
    reason : str
        Empty if there is an engine.
    """
    try:
        from fastokens import Tokenizer as Fast
    except ImportError:
        return None, "fastokens is not installed (pip install 'ngramstat[fast]')"
    changed = {**description, "pre_tokenizer": _as_splits(description["pre_tokenizer"])}
    try:
        with _library_errors():
            model = Fast.from_json_str(json.dumps(changed, ensure_ascii=False))
            model.no_truncation()
            model.no_padding()
    except EngineError as error:
        return None, f"fastokens does not support this tokenizer ({error})"
    return FastEngine(model, as_text), ""


def _as_splits(step: dict[str, Any] | None) -> dict[str, Any] | None:
    if step is None:
        return None
    if step["type"] == "Sequence":
        return {**step, "pretokenizers": [_as_splits(each) for each in step["pretokenizers"]]}
    known: dict[str, Any] = _AS_SPLIT.get(step["type"], step)
    return known


class EngineCheck:
    """Compares the fast engine with the tokenizers library on a sample of a job.

    Attributes
    ----------
    texts, characters : int
        Size of the sample so far.
    """

    def __init__(self, fast: Engine, reference: Engine) -> None:
        self._fast, self._reference = fast, reference
        self._random = np.random.default_rng(_SEED)
        self._first = _FIRST_TEXTS
        self.texts = self.characters = 0

    def sample(self, texts: Sequence[str]) -> list[str]:
        """What to compare of the next batch; the same for the same batches."""
        chosen = [text[:_FIRST_CHARS] for text in texts[: self._first]]
        self._first -= len(chosen)
        total = sum(map(len, texts))
        windows = -(-total // (_ONE_IN * _WINDOW_CHARS))
        for at in self._random.integers(0, max(len(texts), 1), size=windows).tolist():
            text = texts[at]
            start = int(self._random.integers(0, max(1, len(text) - _WINDOW_CHARS + 1)))
            chosen.append(text[start : start + _WINDOW_CHARS])
        return chosen

    def compare(self, texts: Sequence[str]) -> None:
        """Encode some texts with both engines.

        Raises
        ------
        EngineMismatchError
            The ids differ, or only the fast engine fails.
        """
        expected, lengths = self._reference.encode(texts)
        try:
            found, found_lengths = self._fast.encode(texts)
        except EngineError as error:
            raise EngineMismatchError(f"fastokens failed ({error})") from error
        self.texts += len(texts)
        self.characters += sum(map(len, texts))
        if not np.array_equal(found, expected) or not np.array_equal(found_lengths, lengths):
            raise EngineMismatchError(self._difference(texts))

    def _difference(self, texts: Sequence[str]) -> str:
        for text in texts:
            if not np.array_equal(self._fast.encode([text])[0], self._reference.encode([text])[0]):
                shown = text if len(text) <= 40 else text[:40] + "..."
                return f"fastokens gave other ids than tokenizers, in a text that begins {shown!r}"
        return "fastokens gave other ids than tokenizers for texts encoded together"


def odd_texts(spellings: Sequence[str] = ()) -> list[str]:
    """Texts on which libraries may differ, always the same, and some around the given spellings."""
    texts = [
        "", " ", "  ", "\n", "\r\n", "\t", "\x00", "a", " a", "a ", "  a  b  ",
        "\n\n a\r\n\r\nb\t\tc ",
        "it's I'LL we'd 'S don''t ' ''",
        "1 12 123 1234567890 3.14 1,000 \u00bd \u0663\u0664 \u2167",
        "e\u0301 \u0301 a\u0308\u0323 \ufb01 \u212b", "\u4eca\u5929\u5929\u6c14 \u3042\u30a2\uff71",
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \U0001f600\ufe0f",
        "\u00a0x\u2003y\u3000z\u200b\u2028w\u0085v\ufeff",
        "\u0130 \u00df \u1e9e \u03a3\u03c3\u03c2",
        "foo_bar __x__ a-b/c\\d {}[]()<>|&^%$#@!~`", "\ud7a3\uac00 \U00020000 \U0010ffff \ue000",
        "a" * 300, " " * 300, "\n" * 70, "=" * 90, "ab " * 100, "0" * 200,
    ]  # fmt: skip
    random = np.random.default_rng(_SEED)
    blocks = np.array([
        (1, 128), (128, 0x250), (0x300, 0x370), (0x370, 0x2100), (0x2000, 0x2070),
        (0x4E00, 0x5000), (0xAC00, 0xAD00), (0x1F300, 0x1F700), (0x20000, 0x20100),
    ])  # fmt: skip
    for _ in range(400):
        low, high = blocks[random.integers(0, len(blocks), size=24)].T
        drawn = np.where(random.random(24) < 0.2, 32, random.integers(low, high))
        texts.append("".join(map(chr, drawn.tolist())))
    for spelling in spellings:
        texts += [spelling, f" {spelling} ", f"a{spelling}b", f"{spelling}{spelling.upper()}"]
    return texts


def failing_text(engine: Engine, texts: Sequence[str]) -> tuple[int, str]:
    """Which of some texts an engine cannot encode, and why."""
    for number, text in enumerate(texts):
        try:
            engine.encode([text])
        except EngineError as error:
            return number, str(error)
    raise InputError("the tokenizer failed on a batch, but on none of its texts alone")
