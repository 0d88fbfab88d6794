"""Check that two installations of ngramstat compute the same numbers, as after a refactoring.

    python benchmarks/compare_installations.py run BEFORE/bin/ngramstat --corpora DIR -o before
    python benchmarks/compare_installations.py run AFTER/bin/ngramstat --corpora DIR -o after
    python benchmarks/compare_installations.py compare before after

`run` tokenizes, synthesizes and measures with the given command: TinyStories with both boundaries,
the Wikipedia sample, three synthetic worlds, a validation run (if that installation has torch) and
the panel of theories. `compare` reads all JSON files of both directories: every number, boolean,
null and list of the first must equal that of the second to the last bit. Fields that only the
second has are counted; sentences may differ and are counted. Fields that describe the machine and
the moment (`provenance`, seconds, paths) are ignored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Fields that describe the machine and the moment, at any depth.
SKIPPED = {"provenance", "path", "seconds", "wall_seconds", "started", "tokens_per_second"}

WORLDS = {
    "potts": ["potts", "--beta", "0.9", "--levels", "12", "--tokens", "1e6"],
    "santa-fe": ["santa-fe", "--tokens", "1e6"],
    "rhm": ["rhm", "--v", "16", "--m", "4", "--levels", "8", "--tokens", "1e6"],
}


def commands(corpora: Path, out: Path, *, torch: bool) -> Iterator[list[str]]:
    """Arguments of every call, in order."""
    stories = corpora / "tinystories" / "stories.jsonl.xz"
    sample = corpora / "wikipedia-en" / "sample.jsonl.xz"
    yield ["tokenize", str(stories), "-o", str(out / "stories")]
    yield ["tokenize", str(sample), "-o", str(out / "sample"), "--vocab-size", "2048"]
    forecast = ["--tokens", "1e8,1e12"]
    yield ["measure", str(out / "stories"), "-o", str(out / "stories-stream"), *forecast]
    yield [
        *("measure", str(out / "stories"), "-o", str(out / "stories-document"), *forecast),
        *("--boundary", "document"),
    ]
    yield ["measure", str(out / "sample"), "-o", str(out / "sample-stream"), *forecast]
    for name, options in WORLDS.items():
        yield ["synthesize", *options, "-o", str(out / name)]
        yield [
            *("measure", str(out / name), "-o", str(out / f"{name}-run")),
            *("--boundary", "document" if name != "santa-fe" else "stream"),
            *("--predictor", "kneser-ney"),
        ]
    if torch:
        yield [
            *("validate", str(out / "sample"), "-o", str(out / "validation")),
            *("--measured", str(out / "sample-stream"), "--models", "gpt2", "--size", "0.1M"),
            *("--contexts", "32", "--sizes", "2e4,4e4,8e4,1.6e5", "--budget", "24h"),
            *("--trials", "2", "--no-capacity"),
        ]
    panel = ["theories", str(out / "sample-stream"), "-o", str(out / "theories.json")]
    if torch:
        panel += ["--validation", str(out / "validation")]
    yield panel


def run(command: str, corpora: Path, out: Path) -> None:
    """Run all calls with one installation, with their results in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    python = Path(command).parent / "python"
    probe = subprocess.run([str(python), "-c", "import torch"], capture_output=True, check=False)
    for arguments in commands(corpora, out, torch=probe.returncode == 0):
        print("+", command, *arguments, flush=True)
        subprocess.run([command, *arguments, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def differences(a: Any, b: Any, where: str) -> Iterator[tuple[str, str]]:
    """(kind, place) of every difference; kinds are `value`, `absent`, `new` and `text`."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            if key in SKIPPED:
                continue
            place = f"{where}.{key}"
            if key not in b:
                yield "absent", place
            elif key not in a:
                yield "new", place
            else:
                yield from differences(a[key], b[key], place)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield "value", f"{where} (length {len(a)} and {len(b)})"
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from differences(x, y, f"{where}[{i}]")
    elif isinstance(a, str) and isinstance(b, str):
        if a != b:
            yield ("value" if where.endswith("sha256") else "text"), where
    elif type(a) is not type(b) or a != b:
        yield "value", f"{where}: {a!r} and {b!r}"


def compare(before: Path, after: Path) -> int:
    """Print the differences between two directories; return the number of values that differ."""
    names = sorted(
        path.relative_to(before)
        for path in before.rglob("*.json")
        if "tokenizer" not in path.name
        and "runs" not in path.parts[-2:-1]
        and path.name != "pace.json"  # seconds that training took
    )
    if not names:
        sys.exit(f"{before}: holds no JSON file")
    failed = values = 0
    for name in names:
        if not (after / name).exists():
            print(f"{name}: missing in {after}")
            failed += 1
            continue
        old, new = (json.loads((side / name).read_text()) for side in (before, after))
        values += sum(1 for _ in leaves(old))
        places: dict[str, list[str]] = {"value": [], "absent": [], "new": [], "text": []}
        for kind, place in differences(old, new, str(name)):
            places[kind].append(place)
        wrong = places["value"] + places["absent"]
        failed += len(wrong)
        print(
            f"{name}: {len(wrong)} values differ, {len(places['text'])} sentences differ, "
            f"{len(set(places['new']))} new fields"
        )
        for place in wrong[:20]:
            print("   ", place)
    print(f"{values:,} values compared, {failed} differ")
    return failed


def leaves(value: Any) -> Iterator[Any]:
    """All numbers, booleans and nulls of a JSON value that are compared."""
    if isinstance(value, dict):
        for key, child in value.items():
            if key not in SKIPPED:
                yield from leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from leaves(child)
    elif not isinstance(value, str):
        yield value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    calls = parser.add_subparsers(dest="call", required=True)
    runs = calls.add_parser("run", help="run all calls with one installation")
    runs.add_argument("command", help="path of an installed ngramstat")
    runs.add_argument("--corpora", type=Path, required=True)
    runs.add_argument("-o", "--output", type=Path, required=True)
    both = calls.add_parser("compare", help="compare the results of two installations")
    both.add_argument("before", type=Path)
    both.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.call == "run":
        run(options.command, options.corpora, options.output)
    else:
        sys.exit(compare(options.before, options.after) > 0)


if __name__ == "__main__":
    main()
