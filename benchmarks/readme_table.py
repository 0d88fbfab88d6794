"""Write the speed table of the README from the committed results.

python benchmarks/readme_table.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
TITLES = {
    "pairs": "count the pairs at one lag",
    "suffixes": "sort all suffixes",
    "ngrams": "count n-grams to depth 32",
    "kneser-ney": "Kneser-Ney of order 5, train and score",
}


def _cell(arm: dict[str, Any], unit: float = 1.0) -> str:
    low, high = (x * unit for x in arm["range"])
    middle = arm["nanoseconds_per_item"] * unit
    spread = f" ({low:.3g}-{high:.3g})" if arm["rounds"] > 1 else ""
    return f"{middle:.3g}{spread} ns, {arm['peak_bytes'] / 1e9:.1f} GB"


def table(speed: dict[str, Any]) -> str:
    """All arms that were run, each with its ratio to ours on two threads."""
    lines = [
        "| work | who | time per item, peak memory | against ours on 2 threads |",
        "|---|---|---|---|",
    ]
    for case, result in speed["cases"].items():
        arms = result["arms"]
        ours = next(
            arm["nanoseconds_per_item"]
            for name, arm in arms.items()
            if name.startswith("ngramstat") and "2 threads" in name
        )
        first = True
        for name, arm in arms.items():
            if "missing" in arm:
                continue
            ratio = arm["nanoseconds_per_item"] / ours
            lines.append(
                f"| {TITLES[case] if first else ''} | {name} | {_cell(arm)} | {ratio:.1f} |"
            )
            first = False
    machines = [result["machine"] for result in speed["cases"].values()]
    commits = ", ".join(dict.fromkeys(m["commit"][:9] for m in machines))
    cpu = machines[0].get("cpu", machines[0]["platform"])
    lines += [
        "",
        f"{speed['tokens'] / 1e6:.0f} M tokens of Wikipedia, V = {speed['vocab_size']:,}; "
        f"{machines[0]['cores']} cores ({cpu}), commits {commits}; medians (and range) of "
        "interleaved runs, answers compared while timing.",
    ]
    return "\n".join(lines)


def with_table(readme: str, speed: dict[str, Any]) -> str:
    """The text of the README with the table made from these results."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table(speed)}\n{END}{tail}"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    speed = json.loads((HERE / "results" / "speed.json").read_text())
    README.write_text(with_table(README.read_text(), speed))


if __name__ == "__main__":
    main()
