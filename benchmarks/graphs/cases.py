"""The sources without any power law in C(t) and H(n): walks on graphs and n-gram languages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ngramstat.synthetic import GraphWalk, NgramLanguage, World

__all__ = ["CASES", "Case"]

# Nodes and edges of the graphs of Barkeshli et al., arXiv 2601.10684.
SIZES = ((1_000, 5_000), (8_000, 50_000), (50_000, 2_000_000))
# Nearly all tokens have a token before them, and a million tokens make a thousand documents.
_DOCUMENT = 1000


@dataclass(frozen=True)
class Case:
    """One source.

    Attributes
    ----------
    name : str
    family : str
        What the walk or the language is.
    order : int
        k: tokens depend on k - 1 tokens before them.
    graph : dict
        Parameters of the graph; empty for a language.
    sizes : (first, last)
        Powers of two: numbers of training tokens of the learning curve.
    refusal_draws : int
    models : bool
        Whether a transformer is trained on it, too.
    """

    name: str
    family: str
    order: int
    graph: dict[str, object]
    sizes: tuple[int, int]
    refusal_draws: int
    models: bool

    def world(self, text: Path | None, draw: int) -> World:
        """The source; graphs are drawn anew with every draw, languages are those of the text."""
        if self.graph:
            return GraphWalk(rules_seed=draw, document_length=_DOCUMENT, **self.graph)  # type: ignore[arg-type]
        if text is None:
            raise SystemExit(f"{self.name}: needs --text CORPUS")
        return NgramLanguage.open(text, self.order, separators=False)


def _graphs() -> list[Case]:
    families: dict[str, dict[str, object]] = {
        "Erdős–Rényi": {"ensemble": "erdos-renyi"},
        "Barabási–Albert": {"ensemble": "barabasi-albert"},
        "biased walk": {"ensemble": "barabasi-albert", "rank_exponent": 1.0},
    }
    cases = []
    for family, settings in families.items():
        for (nodes, edges), draws in zip(SIZES, (40, 10, 2), strict=True):
            short = f"{nodes // 1000}k, {edges // 1000}k"
            graph = {"nodes": nodes, "edges": edges, **settings}
            # From a quarter of the nodes to twenty times the edges, as far as minutes allow.
            first = (nodes // 4).bit_length()
            last = min((20 * edges).bit_length(), 22)
            cases.append(Case(f"{family}, {short}", family, 2, graph, (first, last), draws,
                              nodes == SIZES[0][0]))  # fmt: skip
    return cases


CASES = [
    *_graphs(),
    *(
        Case(name, name, order, {}, (12, 20), 20, True)
        for name, order in (("bigram language", 2), ("trigram language", 3),
                            ("4-gram language", 4))
    ),
]  # fmt: skip
