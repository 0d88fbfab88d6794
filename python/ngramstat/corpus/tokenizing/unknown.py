"""Characters that a tokenizer cannot represent: counted, whether it marks them or drops them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.tokenizing.engines import FlatIds, ReferenceEngine
from ngramstat.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ngramstat.corpus.tokenizing.segments import Segment

__all__ = ["LeftOutEngine", "UnknownCounter", "leaves_out", "unknown_finding", "unknown_id"]

# A job ends if a tokenizer drops more than this share of the characters other than white space.
_MAX_LEFT_OUT = 0.1
# Characters of an example.
_EXAMPLE_CHARS = 20


class LeftOutEngine:
    """The tokenizers library, with a count of the characters that no token stands for.

    A BPE without an unknown token leaves out what it does not know without a word. Only the offsets
    of its tokens show that.

    Attributes
    ----------
    left_out : list of list of int
        Of the last call: for each text, the positions of its characters that were left out.
    """

    batch_chars = 1 << 19

    def __init__(self, reference: ReferenceEngine) -> None:
        self._reference = reference
        self.name = reference.name
        self.left_out: list[list[int]] = []

    def encode(self, texts: Sequence[str]) -> FlatIds:
        """See `Engine.encode`."""
        parts: list[list[int]] = []
        self.left_out = []
        for text in texts:
            ids, offsets = self._reference.encode_with_offsets(text)
            parts.append(ids)
            self.left_out.append(_uncovered(text, offsets))
        flat = np.array([i for part in parts for i in part], dtype=np.uint32)
        return flat, np.array([len(part) for part in parts], dtype=np.int64)


class UnknownCounter:
    """Counts what a tokenizer does not know, and keeps the first example.

    Parameters
    ----------
    unknown
        Id of the unknown token, or None.
    reference
        Finds the text that an unknown token stands for.
    place
        Names the place of a segment and a character in it.

    Attributes
    ----------
    count : int
        Unknown tokens, or characters left out.
    total : int
        All tokens, or all characters other than white space.
    example : str or None
        Text that the tokenizer does not know, and where it stands.
    """

    def __init__(
        self, unknown: int | None, reference: ReferenceEngine, place: Callable[[Segment, int], str]
    ) -> None:
        self._unknown = unknown
        self._reference = reference
        self._place = place
        self.count = self.total = 0
        self.example: str | None = None

    def add(self, segments: Sequence[Segment], ids: NDArray[Any], lengths: NDArray[Any]) -> None:
        """Count the unknown tokens of a batch."""
        self.total += ids.size
        if self._unknown is None:
            return
        found = ids == self._unknown
        count = int(np.count_nonzero(found))
        self.count += count
        if count and self.example is None:
            first = int(np.argmax(found))
            segment = segments[int(np.searchsorted(np.cumsum(lengths), first, side="right"))]
            numbers, offsets = self._reference.encode_with_offsets(segment.text)
            if self._unknown in numbers:
                self._keep_example(segment, *offsets[numbers.index(self._unknown)])

    def add_left_out(self, segments: Sequence[Segment], left_out: list[list[int]]) -> None:
        """Count the characters that a batch has lost.

        Raises
        ------
        InputError
            They are a large part of the text.
        """
        for segment, positions in zip(segments, left_out, strict=True):
            self.count += len(positions)
            self.total += sum(map(len, segment.text.split()))
            if positions and self.example is None:
                self._keep_example(segment, positions[0], positions[0] + 1)
        if self.count > _MAX_LEFT_OUT * self.total:
            raise InputError(
                f"the tokenizer has no unknown token and would leave out {self.count:,} of "
                f"{self.total:,} characters, such as {self.example}; take a tokenizer that knows "
                "this text, or train one by leaving out --tokenizer"
            )

    def _keep_example(self, segment: Segment, start: int, end: int) -> None:
        text = segment.text[start : min(end, start + _EXAMPLE_CHARS)]
        self.example = f"{text!r} at {self._place(segment, start)}"


def unknown_finding(tokenization: Mapping[str, Any] | None) -> str | None:
    """What a corpus's tokenizer did not know, in one sentence; None if nothing or not recorded."""
    count = 0 if tokenization is None else int(tokenization.get("unknown", 0))
    if tokenization is None or count == 0:
        return None
    left_out = bool(tokenization.get("left_out"))
    share = ""
    if total := int(tokenization.get("unknown_of") or 0):
        percent = 100 * count / total
        share = f" ({percent:.2g}%)" if percent < 10 else f" ({percent:.0f}%)"
    example = tokenization.get("unknown_example")
    such_as = "" if example is None else f", such as {example}"
    if left_out:
        return (
            f"{count:,} characters{share} are not in the tokenizer's vocabulary and were left out"
            f"{such_as}"
        )
    return (
        f"{count:,} tokens{share} are the unknown token {tokenization.get('unknown_id')}: text "
        f"that is not in the tokenizer's vocabulary{such_as}"
    )


def unknown_id(description: dict[str, Any]) -> int | None:
    """Id of a tokenizer's unknown token; None if it has none.

    Raises
    ------
    InputError
        The tokenizer names an unknown token that it does not have.
    """
    core = description["model"]
    if core["type"] == "Unigram":
        found = core.get("unk_id")
        return None if found is None else int(found)
    token = core.get("unk_token")
    if token is None:
        return None
    added = {each["content"]: int(each["id"]) for each in description["added_tokens"]}
    number = core["vocab"].get(token, added.get(token))
    if number is None:
        raise InputError(
            f"the tokenizer's unknown token {token!r} is not in its vocabulary; add it there, or "
            "take a tokenizer that has one"
        )
    return int(number)


def leaves_out(description: dict[str, Any]) -> bool:
    """Whether a tokenizer leaves out characters that it does not know."""
    core = description["model"]
    if core["type"] != "BPE" or core.get("unk_token") is not None:
        return False
    vocabulary = core["vocab"]
    if core.get("byte_fallback") and all(f"<0x{byte:02X}>" in vocabulary for byte in range(256)):
        return False
    steps = [*_types(description["pre_tokenizer"]), *_types(description["normalizer"])]
    return "ByteLevel" not in steps or not all(c in vocabulary for c in byte_alphabet())


def byte_alphabet() -> list[str]:
    """The characters that stand for the bytes 0 to 255 in byte-level tokenizers."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [characters[byte] for byte in range(256)]


def _types(step: dict[str, Any] | None) -> list[str]:
    if step is None:
        return []
    inner = step.get("pretokenizers", step.get("normalizers"))
    return [step["type"]] if inner is None else [name for each in inner for name in _types(each)]


def _uncovered(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Positions of the characters other than white space that no token stands for."""
    covered = np.zeros(len(text) + 1, dtype=np.int32)
    bounds = np.array(offsets, dtype=np.int64).reshape(-1, 2)
    np.add.at(covered, bounds[:, 0], 1)
    np.add.at(covered, bounds[:, 1], -1)
    bare = np.flatnonzero(np.cumsum(covered[:-1]) == 0)
    return [int(at) for at in bare if not text[at].isspace()]
