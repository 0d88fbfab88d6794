"""The patterns of context that a mixture counts, and the shorter ones they fall back on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CLASSES",
    "Pattern",
    "has_classes",
    "n_patterns",
    "n_patterns_of_tree",
    "patterns",
    "patterns_of_tree",
]

# Classes by their letters in `_PATTERNS`: number of the class tree, and depth of its branches.
CLASSES = {"b": (1, 6), "c": (2, 8), "f": (0, 8), "e": (0, 10)}
# Letters of the classes that each tree leaves out, with what falls back on them: trees that differ
# in their patterns differ more in their errors, so that their average gains more.
_LEFT_OUT = ("ef", "c", "e", "fc")
# In smaller vocabularies classes would be nearly the tokens themselves.
_MIN_VOCAB_WITH_CLASSES = 1 << 10
# Each pattern with its parent: "1c2" is the last token and the class of the one before it.
_PATTERNS = """
1<root c1<root e1<root
2<root 12<1 1c2<1 1f2<1 c1c2<c1 e1e2<e1 b1b2<root
13<1 23<2 123<12 12f3<12 1f2f3<1f2 c1c2c3<c1c2 e1e2e3<e1e2 b1b2b3<b1b2
124<12 1234<123 123f4<123 c1c2c3c4<c1c2c3 b1b2b3b4<b1b2b3
12345<1234 b1b2b3b4b5<b1b2b3b4
"""


@dataclass(frozen=True)
class Pattern:
    """One pattern of context.

    Attributes
    ----------
    name : str
    offsets : tuple of int
        How many tokens back its tokens are.
    letters : tuple of str
        By offset: the letter of the classes, or "" for the token itself.
    parent : str or None
        The pattern it falls back on; None falls back on the uniform distribution.
    """

    name: str
    offsets: tuple[int, ...]
    letters: tuple[str, ...]
    parent: str | None

    @property
    def length(self) -> int:
        """Number of tokens back to the oldest one; 0 without any."""
        return max(self.offsets, default=0)

    @property
    def continuation_offset(self) -> int:
        """The nearest offset that it skips, whose distinct tokens are its continuation counts."""
        return next(k for k in range(1, len(self.offsets) + 2) if k not in self.offsets)

    @property
    def is_ngram(self) -> bool:
        """Whether it is all of the last tokens, as in Kneser-Ney."""
        return not any(self.letters) and self.offsets == tuple(range(1, self.length + 1))


def patterns(max_context: int, *, classed: bool) -> list[Pattern]:
    """Patterns within max_context tokens, each after its parent; with classes if `classed`."""
    selected = [Pattern("root", (), (), None)]
    for entry in _PATTERNS.split():
        name, parent = entry.split("<")
        parts = re.findall(r"([a-z]?)(\d)", name)
        pattern = Pattern(
            name, tuple(int(k) for _, k in parts), tuple(letter for letter, _ in parts), parent
        )
        if pattern.length <= max_context and (classed or not any(pattern.letters)):
            selected.append(pattern)
    for n in range(6, max_context + 1):
        name = "".join(str(k) + "," for k in range(1, n + 1))
        parent = selected[-1].name if n > 6 else "12345"
        selected.append(Pattern(name, tuple(range(1, n + 1)), ("",) * n, parent))
    return selected


def patterns_of_tree(used: Sequence[Pattern], tree: int) -> list[int]:
    """Which of the patterns are used along a tree, by its number; each one's parent is too."""
    left_out = set(_LEFT_OUT[tree % len(_LEFT_OUT)])
    return [i for i, pattern in enumerate(used) if not left_out.intersection(pattern.letters)]


def has_classes(vocab_size: int) -> bool:
    return vocab_size >= _MIN_VOCAB_WITH_CLASSES


def n_patterns(max_context: int, vocab_size: int) -> int:
    """Number of patterns of a mixture."""
    return len(patterns(max_context, classed=has_classes(vocab_size)))


def n_patterns_of_tree(max_context: int, vocab_size: int, tree: int) -> int:
    """Number of patterns used along a tree, by its number."""
    return len(patterns_of_tree(patterns(max_context, classed=has_classes(vocab_size)), tree))
