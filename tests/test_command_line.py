"""The command line beyond its results: help, defaults, encodings, odd names and values."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.cli.command import Command, Group, GroupWithDefault, names_too
from ngramstat.runtime.files import read_json, write_json
from ngramstat.runtime.text import encoded, readable, shell_word
from test_cli import error, run

QUICK = ["--lags", "1,2", "--replicates", "9"]
HALVES = [*QUICK, "--max-context", "1", "--predictor", "kneser-ney", "--learning-sizes", "1"]
RAW = ["--dtype", "uint16", "--vocab-size", "40"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "tokens.bin"
    np.random.default_rng(0).integers(0, 40, 4000).astype("<u2").tofile(path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Tokens of a text with characters that narrow encodings lack."""
    directory = tmp_path_factory.mktemp("text")
    text = "the café sat on the naïve mat and the γ dog ran after the cat. 你好 " * 60
    (directory / "text.txt").write_text(text, encoding="utf-8")
    run("--quiet", "tokenize", directory / "text.txt", "-o", directory / "c", "--vocab-size", 300)
    return directory / "c"


def members(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group by name, in the order of its help; their modules are imported."""
    context = click.Context(group)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The names of all commands, those of `synthesize` included."""
    found = []
    for name, command in members(group).items():
        if isinstance(command, Command):  # `theories` is one, and has others
            found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


def process(*arguments: object, prefix: tuple[str, ...] = (), **options):
    """The command as a process of its own, for what happens outside of Python's objects."""
    call = [*prefix, sys.executable, *options.pop("python", ()), "-m", "ngramstat"]
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run(
        [*call, *map(str, arguments)], env=environment, stderr=subprocess.PIPE, check=False,
        **{"stdout": subprocess.PIPE, **options},
    )  # fmt: skip


def one_line(done, code: int) -> str:
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    return line


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", commands(), ids="-".join)
def test_every_command_has_a_summary_examples_and_headings(path):
    command: click.Command = main
    for name in path:
        command = members(command)[name]
    assert isinstance(command, Command)
    shown = run(*path, "--help").output
    assert "..." not in command.get_short_help_str(limit=1000).replace("2, ...", "")
    assert len(command.examples) > 0
    examples = shown.split("\nExamples:\n")[1]
    for example in command.examples:
        assert f"  {example}\n" in examples
        assert example.split()[0] == "ngramstat"
    # Every example is one that the options allow.
    for example in command.examples:
        words = example.split()[1:]
        target: click.Command = main
        while isinstance(target, click.Group) and words[0] in members(target):
            target = members(target)[words.pop(0)]
        assert isinstance(target, Command)
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= {name for p in target.params for name in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("path", [(), ("synthesize",), ("counts",), ("index",), ("model",)])
def test_summaries_are_those_of_the_commands_and_not_cut(path):
    """Groups list summaries of their own, so that their help imports none of the commands."""
    group = members(main)[path[0]] if path else main
    words = " ".join(run(*path, "--help").output.split())
    order = [
        words.index(f" {name} {command.get_short_help_str(limit=1000)}")
        for name, command in members(group).items()
    ]
    assert len(order) > 3
    assert order == sorted(order)


def test_options_without_an_effect_are_accepted_and_not_shown(raw, tmp_path):
    for name in ("inspect", "report", "predict"):
        shown = run(name, "--help").output
        assert "--gpu-memory" not in shown
        assert "--backend" not in shown
    run("--threads", 1, "inspect", raw, *RAW, "--backend", "cpu", "--seed", 3)


def test_version_and_module():
    for option in ("-V", "--version"):
        assert ngramstat.__version__ in run(option).output
    done = process("-V")
    assert done.stdout.decode().split() == ["ngramstat,", "version", ngramstat.__version__]


def test_completion():
    shell = {"_NGRAMSTAT_COMPLETE": "bash_complete"}
    shell |= {"COMP_WORDS": "ngramstat mea", "COMP_CWORD": "1"}
    result = CliRunner().invoke(main, env=shell, prog_name="ngramstat")
    assert result.stdout.split() == ["plain,measure"]
    shell |= {"COMP_WORDS": "ngramstat measure --protocol ", "COMP_CWORD": "3"}
    result = CliRunner().invoke(main, env=shell, prog_name="ngramstat")
    assert result.stdout.split() == ["plain,default", "plain,paper"]


@click.group(cls=Group, context_settings={"auto_envvar_prefix": "SHOW"})
def top() -> None:
    """Commands for the tests below."""


@top.command(cls=GroupWithDefault, examples=["show both PLACE"])
@click.argument("place", shell_complete=names_too)
@click.option("--size", default=1, show_default=True)
def both(place: str, size: int) -> None:
    """Show the place and the size."""
    click.echo(f"{place} {size}")


@both.command(examples=["show both other"])
@click.option("--size", default=2)
def other(size: int) -> None:
    """Show the size."""
    click.echo(f"other {size}")


def shown(*words: str, code: int = 0, **options) -> str:
    result = CliRunner().invoke(top, words, prog_name="show", **options)
    assert result.exit_code == code, result.output
    return result.output


def test_a_command_with_commands_of_its_own():
    assert shown("both", "here") == "here 1\n"
    assert (
        shown("both", "here", "--size", "3") == shown("both", "--size", "3", "here") == "here 3\n"
    )
    assert shown("both", "other") == "other 2\n"
    assert shown("both", "./other") == "./other 1\n"
    assert shown("both", "other", "--size", "3") == "other 3\n"
    assert "unexpected extra argument" in shown("both", "here", "other", code=2)
    assert "Missing argument 'PLACE'" in shown("both", code=2)
    # Variables and defaults of the one are not those of the other.
    env = {"SHOW_BOTH_SIZE": "5", "SHOW_BOTH_OTHER_SIZE": "6"}
    assert shown("both", "here", env=env) + shown("both", "other", env=env) == "here 5\nother 6\n"
    given = {"both": {"size": "7", "other": {"size": "8"}}}
    assert shown("both", "here", default_map=given) == "here 7\n"
    assert shown("both", "other", default_map=given) == "other 8\n"


def test_help_and_completion_of_a_command_with_commands_of_its_own():
    text = shown("both", "--help")
    assert text.startswith("Usage: show both [OPTIONS] PLACE\n       show both COMMAND [ARGS]...\n")
    for part in ("--size INTEGER", "Commands:\n  other  Show the size.", "  show both PLACE\n"):
        assert part in text
    assert shown("both", "other", "--help").startswith("Usage: show both other [OPTIONS]\n")
    shell = {"_SHOW_COMPLETE": "bash_complete"}
    for words, expected in [
        ("both o", "other"),
        ("both other --s", "--size"),
        ("both --s", "--size"),
    ]:
        env = {**shell, "COMP_WORDS": f"show {words}", "COMP_CWORD": str(len(words.split()))}
        assert shown(env=env).split() == [f"plain,{expected}"]


# --- defaults -------------------------------------------------------------------------------------


def settings(*arguments: object, **options) -> dict:
    result = CliRunner().invoke(main, [str(a) for a in arguments], **options)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    return {**data["settings"], "threads": data["provenance"]["threads"]}


def test_defaults_from_a_file(raw, tmp_path):
    file = tmp_path / "defaults.toml"
    file.write_text(
        "threads = 2\nquiet = true\n[correlations]\nlags = [1, 3]\nsequential = false\n"
        'replicates = 5\nvocab-size = "40"\ndtype = "uint16"\n',
    )
    command = ["correlations", raw, "--json"]
    found = settings("--config", file, *command)
    assert (found["lags"], found["sequential"], found["replicates"]) == ([1, 3], False, 5)
    assert found["threads"] == 2
    found = settings("--config", file, *command, "--lags", "2", "--threads", "1")
    assert (found["lags"], found["threads"], found["replicates"]) == ([2], 1, 5)
    # The environment comes before the file.
    env = {"NGRAMSTAT_CONFIG": str(file), "NGRAMSTAT_CORRELATIONS_LAGS": "4"}
    assert settings(*command, env=env)["lags"] == [4]
    file.write_text("[correlations]\nno-sequential = true\nlags = 2\n")
    found = settings("--config", file, "--quiet", *command, *RAW)
    assert (found["lags"], found["sequential"]) == ([2], False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("thread = 2", "thread: is no option; see `ngramstat --help`"),
        ("config = 'x'", "config: is no option"),
        ("[measures]\nlags = 1", "measures: is no command"),
        ("[measure]\nlag = 1", "measure.lag: is no option; see `ngramstat measure --help`"),
        ("[synthesize.potts]\nlevel = 1", "synthesize.potts.level: is no option"),
        ("[measure.lags]\na = 1", "measure.lags: is no command"),
        ("quiet = 1", "quiet: is a switch; write true or false"),
        ("threads = [[1]]", "threads: expected a number, a text or a list of these"),
        ("threads = 2 2", "not valid TOML"),
        ("threads = 'many'", "'many' is not a valid integer (from"),
        ('[inspect]\ndtype = "a\\u0000b"', "inspect.dtype: holds a NUL character"),
    ],
)
def test_bad_files_of_defaults(raw, tmp_path, text, message):
    file = tmp_path / "defaults.toml"
    file.write_text(text)
    shown = error("--config", file, "inspect", raw)
    assert message in shown
    assert "defaults.toml" in shown


def test_a_file_of_defaults_that_is_not_there(raw, tmp_path):
    assert "cannot be opened" in error("--config", tmp_path / "absent.toml", "inspect", raw)
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    assert "not UTF-8 at byte 5" in error("--config", tmp_path / "latin.toml", "inspect", raw)


# --- encodings and names --------------------------------------------------------------------------


class Output(io.TextIOWrapper):
    """Standard output with an encoding of its own."""

    def __init__(self, encoding: str, errors: str = "strict") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors)


def shown_in(encoding: str, monkeypatch, *arguments: object) -> bytes:
    out = Output(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments], prog_name="ngramstat")
    assert stop.value.code == 0
    out.flush()
    return out.buffer.getvalue()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_encodings_that_lack_a_character(corpus, monkeypatch, encoding):
    text = shown_in(encoding, monkeypatch, "inspect", corpus).decode(encoding)
    gamma = " \N{GREEK SMALL LETTER GAMMA}" if encoding == "utf-8" else " \\u03b3"
    assert gamma in text or gamma.strip() in text
    assert "caf\xe9" in text or "\xe9" in text
    data = json.loads(shown_in(encoding, monkeypatch, "inspect", corpus, "--json").decode(encoding))
    assert any("\N{GREEK SMALL LETTER GAMMA}" in token for token in data["first_text"])


def test_text_that_cannot_be_encoded_is_escaped(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    assert encoded(f"{name} \N{GREEK SMALL LETTER GAMMA}") == b"caf\\xe9 \xce\xb3"
    assert readable("\ud800 x") == "\\ud800 x"
    assert "\N{GRINNING FACE}".encode("latin-1", "ngramstat.escaped") == b"\\U0001f600"
    write_json(tmp_path / "a.json", {"path": name})
    assert read_json(tmp_path / "a.json") == {"path": name}
    assert (tmp_path / "a.json").read_bytes() == b'{\n  "path": "caf\\udce9"\n}\n'
    assert shell_word(name) == "$'caf\\xe9'"
    assert shell_word("a b") == "'a b'"
    assert shell_word("\ud800") == "'\\ud800'"
    word = shell_word(os.fsdecode(b"it's \xe9"))
    shown = subprocess.run(
        ["bash", "-c", f"printf %s {word}"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert shown.stdout == b"it's \xe9"


def test_names_that_are_not_utf8(tmp_path):
    place = Path(os.fsdecode(bytes(tmp_path) + b"/d\xe9p\xf4t"))
    place.mkdir()
    text = place / os.fsdecode(b"caf\xe9.txt")
    text.write_text("the cat sat on the mat and the dog ran after the cat. " * 100)
    run("--quiet", "tokenize", text, "-o", place / "c", "--vocab-size", "290")
    assert read_json(place / "c" / "corpus.json")["sources"][0]["name"] == r"caf\xe9.txt"
    assert r"d\xe9p\xf4t" in run("inspect", place / "c").output
    data = json.loads(run("inspect", place / "c", "--json").output)
    assert os.fsencode(data["path"]) == bytes(place / "c")
    np.arange(2000).astype("<u2").tofile(place / "raw.bin")
    more = ["--dtype", "uint16", *HALVES]
    run("--quiet", "correlations", place / "raw.bin", "--dtype", "uint16", *QUICK,
        "-o", place / "c.json")  # fmt: skip
    assert ngramstat.RunResult.load(place / "c.json").corpus["path"] == str(place / "raw.bin")
    run("--quiet", "measure", place / "c", "-o", place / "run", *more[2:])
    for name in ("summary.txt", "report.html"):
        assert r"d\xe9p\xf4t" in (place / "run" / name).read_text(encoding="utf-8")
    run("--quiet", "theories", place / "run", "--longest", "2")
    run("report", place / "run")
    assert "cannot be opened" in error("inspect", place / "absent")


# --- streams that fail ----------------------------------------------------------------------------


class Full(io.TextIOBase):
    """A stream on a full disk, or a pipe whose reader has gone."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, code: int) -> None:
        self.code = code

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text:
            raise OSError(self.code, os.strerror(self.code))
        return 0


def test_standard_output_that_cannot_be_written(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full(errno.ENOSPC))
    with pytest.raises(SystemExit) as stop:
        main(["--quiet", "correlations", str(raw), *RAW, *QUICK, "-o", str(tmp_path / "c.json")])
    assert stop.value.code == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("Error: standard output: No space left on device")
    assert ngramstat.RunResult.load(tmp_path / "c.json").correlations is not None
    monkeypatch.setattr(sys, "stdout", Full(errno.EPIPE))
    with pytest.raises(SystemExit) as stop:
        main(["inspect", str(raw), *RAW])
    assert stop.value.code == 1
    assert capsys.readouterr().err == ""


def test_standard_error_that_cannot_be_written(raw, tmp_path, monkeypatch, capsys):
    for stream in (Full(errno.ENOSPC), None):
        monkeypatch.setattr(sys, "stderr", stream)
        path = tmp_path / "c.json"
        with pytest.raises(SystemExit) as stop:
            main(["correlations", str(raw), *RAW, *QUICK, "-o", str(path)])
        assert stop.value.code == 0
        assert ngramstat.RunResult.load(path).correlations is not None
        path.unlink()
        with pytest.raises(SystemExit) as stop:
            main(["inspect", str(tmp_path / "absent")])
        assert stop.value.code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_device(raw):
    with open("/dev/full", "wb") as full:
        assert "No space left" in one_line(process("inspect", raw, *RAW, stdout=full), 1)


def test_strict_interpreters(corpus, tmp_path):
    """Warnings as errors, no docstrings, no HOME, no directory for temporary files."""
    done = process(
        "--quiet", "measure", corpus, *HALVES, "-o", tmp_path / "run",
        python=("-W", "error", "-OO", "-bb"),
        env={"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()
    done = process("inspect", "--help", python=("-OO",))
    assert b"Examples:" in done.stdout


# --- odd values and refusals ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["entropies", "{raw}", "--held-out", "nan"], "held_out=nan: must be a finite"),
        (["entropies", "{raw}", "--held-out", "0.6"], "held-out fraction 0.6: must be above 0"),
        (["measure", "{raw}", "-o", "r", "--held-out", "nan"], "held_out=nan: must be a finite"),
        (["predict", "r", "--loss", "1e7:nan"], "'1e7:nan': tokens and the loss in nats must"),
        (["predict", "r", "--loss", "1e7:inf"], "tokens and the loss in nats must be positive"),
        (["predict", "r", "--loss", "1e7:-2"], "tokens and the loss in nats must be positive"),
        (["predict", "r", "--loss", "0:3"], "tokens and the loss in nats must be positive"),
        (["correlations", "{raw}", "--level", "nan"], "level=nan: must be a finite number"),
        (["inspect", "x" * 400], "File name too long"),
        (["tokenize", "x" * 400, "-o", "c"], "File name too long"),
        (["measure", "{raw}", "-o", "x" * 400], "File name too long"),
        (["correlations", "{raw}", "-o", "x/" * 3000], "File name too long"),
        (["inspect", "a\0b"], "holds a NUL character"),
        (["measure", "{raw}", "-o", "a\0b"], "holds a NUL character"),
    ],
)  # fmt: skip
def test_odd_values(raw, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    command, *rest = [a.replace("{raw}", str(raw)) for a in arguments]
    store = RAW if str(raw) in rest else []
    shown = error(command, *rest, *store)
    assert message in shown
    assert len(shown) < 2000


def test_lags_without_pairs_are_refused_before_the_work(raw, tmp_path, monkeypatch):
    from ngramstat.stages import correlations as lag_stage

    monkeypatch.setattr(lag_stage, "measure_lags", lambda *_, **__: pytest.fail("was measured"))
    for command in (["measure", "-o", tmp_path / "run"], ["correlations"], ["plan"]):
        shown = error("--quiet", *command, raw, *RAW, "--lags", "1:24,3999,5000", "--replicates", 9)
        assert "lags 3999, 5000: no pairs of tokens that far apart" in shown
        assert "use --lags of at most 39" in shown
    assert not (tmp_path / "run" / "run.json").exists()
    corpus = ngramstat.Corpus.open(raw, dtype="uint16")
    with pytest.raises(ngramstat.InputError, match="use lags of at most 39"):
        ngramstat.correlations(corpus, lags=[1, 4000])


def test_a_vocabulary_too_large_for_the_memory(tmp_path, monkeypatch):
    from ngramstat.stages import sample

    wide = tmp_path / "wide.bin"
    np.arange(2000).astype("<u4").tofile(wide)
    monkeypatch.setattr(sample, "token_counts", lambda *_, **__: pytest.fail("was allocated"))
    for command in (["plan"], ["entropies"], ["correlations"]):
        shown = error("--quiet", "--memory-limit", "4G", *command, wide, "--dtype", "uint32",
                      "--vocab-size", "4e9")  # fmt: skip
        assert "a vocabulary of 4,000,000,000 items need" in shown
        assert "check --vocab-size and --dtype, or raise --memory-limit" in shown


@pytest.mark.parametrize("place", ["absent/c.json", "."])
def test_output_that_cannot_be_written_is_refused_before_the_work(
    raw, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(tmp_path)
    for command in ("correlations", "entropies", "inspect", "plan"):
        shown = error(command, raw, *RAW, "-o", place)
        assert shown.startswith(f"Error: {place}: ")


def test_paths_that_the_system_refuses_are_one_line(raw, tmp_path, monkeypatch):
    def refuse(self) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run/theories.json")

    monkeypatch.setattr(ngramstat.RunResult, "load", refuse)
    shown = error("report", tmp_path)
    assert shown.startswith("Error: run/theories.json: Permission denied")


@pytest.mark.parametrize("name", ["tokenize", "convert", "measure"])
def test_control_c_says_whether_the_command_resumes(tmp_path, monkeypatch, name):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(members(main)[name], "invoke", interrupt)
    options = ["--to", "corpus"] if name == "convert" else []
    done = run(name, "a", "-o", tmp_path / "out", *options, code=130)
    ending = "resume" if name == "measure" else "start over"
    assert done.stderr.strip().endswith(f"run the same command again to {ending}")
    assert ("Nothing was written" in done.stderr) == (name != "measure")


def test_commands_that_resume():
    resuming = {name for name, called in members(main).items() if getattr(called, "resumes", False)}
    assert resuming == {"measure", "read", "validate", "quickstart"}


def test_options_of_training_are_refused_with_a_tokenizer(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    for option in (("--vocab-size", "500"), ("--pre-tokenizer", "byte-level")):
        message = error(
            "tokenize", tmp_path / "a.txt", "-o", tmp_path / "c", "--tokenizer", "t.json", *option
        )
        assert message.startswith(f"Error: {option[0]}")
        assert "only for a tokenizer to be trained" in message
    assert not (tmp_path / "c").exists()
