"""Sentences about how a text became tokens, from what a corpus records (`Corpus.tokenization`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ngramstat.corpus.tokenizing.unknown import unknown_finding

__all__ = ["tokenization_facts", "tokenization_problems"]


def tokenization_problems(record: Mapping[str, Any] | None) -> list[str]:
    """What may be wrong with the tokens of a text, one sentence each."""
    problems = []
    unknown = unknown_finding(record)
    if unknown is not None:
        problems.append(unknown)
    cuts = int((record or {}).get("forced_cuts") or 0)
    if cuts:
        first = (record or {}).get("first_forced_cut")
        problems.append(
            f"{cuts:,} stretches of text so long that they had to be cut where tokens may depend "
            f"on the cut{'' if first is None else f', the first at {first}'}"
        )
    return problems


def tokenization_facts(record: Mapping[str, Any] | None) -> list[str]:
    """On what a tokenizer was trained, and what encoded the text, one sentence each."""
    facts = []
    training = (record or {}).get("training")
    if training and training["bytes"] < training["of_bytes"]:
        facts.append(
            f"the tokenizer was trained on {training['bytes']:,} of {training['of_bytes']:,} bytes "
            "of text, spread evenly; --train-bytes changes that"
        )
    if training and training["cut_words"]:
        facts.append(
            f"for training, stretches without white space were cut in {training['cut_words']:,} "
            "places because of their length"
        )
    engine = (record or {}).get("engine")
    if engine and engine["reason"]:
        facts.append(f"encoded by {engine['name']}: {engine['reason']}")
    elif engine:
        facts.append(
            f"encoded by {engine['name']}, which gave the ids of tokenizers on a sample of "
            f"{engine['compared_characters']:,} characters in {engine['compared_texts']:,} texts"
        )
    return facts
