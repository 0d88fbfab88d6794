"""What a user of Python meets: names, signatures, messages, results for other packages."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import pydoc
import subprocess
import sys
import tomllib
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement

import ngramstat
from ngramstat.api import MeasureOptions
from ngramstat.errors import InputError, InputTypeError, options_as_typed
from ngramstat.runtime import progress
from ngramstat.runtime.progress import Progress, shows_progress

OPTIONS: dict[str, Any] = {
    "lags": [1, 2], "max_context": 1, "replicates": 20, "sequential": False,
    "predictor": "kneser-ney", "threads": 1,
}  # fmt: skip
TOKENS = np.random.default_rng(5).zipf(1.5, 20_000) % 60


@pytest.fixture(scope="module")
def run() -> ngramstat.RunResult:
    return ngramstat.measure(TOKENS, tokens=1e6, **OPTIONS)


def python(code: str) -> str:
    """Output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- names -----------------------------------------------------------------------------------

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def test_all_names_are_there_without_torch_and_other_extras() -> None:
    absent = "{'torch', 'transformers', 'tokenizers', 'matplotlib', 'pandas', 'pyarrow'}"
    code = WITHOUT.format(absent=absent) + (
        "from ngramstat import *\n"
        "import ngramstat, pydoc\n"
        "text = pydoc.render_doc(ngramstat, renderer=pydoc.plaintext)\n"
        "assert all(name in text for name in ('measure(', 'read_losses(', 'validate('))\n"
        "print(sorted(set(dir(ngramstat)) ^ set(ngramstat.__all__)))\n"
        "print(measure.__module__, theories.__name__)\n"
    )
    assert python(code).split("\n")[:2] == ["[]", "ngramstat.api.measurement ngramstat.theories"]


def test_measuring_an_array_needs_no_network_library_and_no_tokenizer() -> None:
    code = (
        "import sys, numpy, ngramstat\n"
        "x = numpy.random.default_rng(0).integers(0, 30, 4000)\n"
        "ngramstat.measure(x, lags=[1], max_context=1, replicates=5, threads=1)\n"
        "names = 'requests httpx urllib3 aiohttp fsspec huggingface_hub tokenizers torch'\n"
        "print(*[name for name in names.split() if name in sys.modules])\n"
    )
    assert python(code).strip() == ""


def test_theories_is_a_function_and_a_package() -> None:
    assert callable(ngramstat.theories)
    from ngramstat.theories.solvable import __name__ as name

    assert name == "ngramstat.theories.solvable"
    assert isinstance(ngramstat.theories, types.ModuleType)
    assert list(inspect.signature(ngramstat.theories).parameters)[:2] == ["run", "corpus"]


def test_theories_of_a_run(run: ngramstat.RunResult) -> None:
    panel = ngramstat.theories(run, corpus=TOKENS, longest=2, threads=1)
    assert isinstance(panel, ngramstat.TheoriesResult)
    with pytest.raises(InputError, match="another corpus"):
        ngramstat.theories(run, corpus=TOKENS[1:])


def test_importing_takes_a_tenth_of_a_second() -> None:
    """Processor time, which other programs do not change, of the fastest of three."""
    code = (
        "import time; start = time.process_time(); import ngramstat; "
        "print(time.process_time() - start)"
    )
    assert min(float(python(code)) for _ in range(3)) < 0.1


def test_an_install_without_extras_is_small_and_has_no_network_library() -> None:
    with open(Path(__file__).parent.parent / "pyproject.toml", "rb") as file:
        todo = tomllib.load(file)["project"]["dependencies"]
    needed: set[str] = set()
    while todo:
        requirement = Requirement(todo.pop())
        marker = requirement.marker
        if requirement.name in needed or (marker and not marker.evaluate({"extra": ""})):
            continue
        needed.add(requirement.name)
        todo += metadata.requires(requirement.name) or []
    assert needed == {"numpy", "scipy", "click", "tqdm", "threadpoolctl"}
    files = [
        Path(str(file.locate()))
        for name in needed
        for file in metadata.files(name) or []
        if file.suffix != ".pyc"
    ]
    assert 50e6 < sum(path.stat().st_size for path in files if path.exists()) < 240e6


# --- signatures ------------------------------------------------------------------------------


def public_functions() -> list[str]:
    return [name for name in ngramstat.__all__ if inspect.isfunction(getattr(ngramstat, name))]


def test_public_functions_name_all_their_parameters_with_types() -> None:
    assert {"measure", "plan", "predict", "validate", "tokenize"} <= set(public_functions())
    for name in public_functions():
        signature = inspect.signature(getattr(ngramstat, name))
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in signature.parameters.values():
            assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), name
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter.name)


def test_options_are_those_of_one_dataclass() -> None:
    """Each is written in several signatures; names, types and defaults have to be the same."""
    fields = {field.name: field for field in dataclasses.fields(MeasureOptions)}
    seen = set()
    for name in ("measure", "correlations", "entropies", "plan"):
        parameters = inspect.signature(getattr(ngramstat, name)).parameters
        for option in parameters.values():
            if option.name == "corpus":
                continue
            assert option.kind is option.KEYWORD_ONLY
            assert option.default == fields[option.name].default, (name, option.name)
            assert option.annotation == fields[option.name].type, (name, option.name)
            seen.add(option.name)
    assert seen == set(fields)
    halves = set(inspect.signature(ngramstat.correlations).parameters) | set(
        inspect.signature(ngramstat.entropies).parameters
    )
    assert halves < set(inspect.signature(ngramstat.measure).parameters)


def test_help_shows_the_options() -> None:
    text = pydoc.render_doc(ngramstat.measure, renderer=pydoc.plaintext)
    for name in dataclasses.fields(MeasureOptions):
        assert name.name in text
    assert "**" not in text.split("->")[0]


# --- messages --------------------------------------------------------------------------------

BAD_OPTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "lags as text": ({"lags": "1,2"}, TypeError, "lags='1,2': must be whole numbers, not str"),
    "half a lag": ({"lags": [1.5]}, TypeError, "lags=1.5: must be a whole number, not float"),
    "falling lags": ({"lags": [2, 1]}, ValueError, r"lags=\[2, 1\]: need increasing"),
    "context as text": ({"max_context": "3"}, TypeError, "max_context='3': must be a whole number"),
    "level as text": ({"level": "a"}, TypeError, "level='a': must be a finite number, not str"),
    "level in percent": ({"level": 95}, ValueError, "level=95.0: must be at least 0.5 and below 1"),
    "level nan": ({"level": float("nan")}, TypeError, "level=nan: must be a finite number"),
    "boundary": ({"boundary": "doc"}, ValueError, "boundary 'doc': expected one of stream, doc"),
    "boundary as number": ({"boundary": 3}, TypeError, "boundary=3: must be a string, not int"),
    "window": ({"beta_window": (5, 2)}, ValueError, r"beta_window=\(5, 2\): must be \(low, high\)"),
    "threads": ({"threads": 1.5}, TypeError, "threads=1.5: must be a whole number"),
    "replicates": ({"replicates": -1}, ValueError, "replicates=-1: cannot be negative"),
    "tokens as text": ({"tokens": "1e9"}, TypeError, "tokens='1e9': must be numbers, not str"),
    "no tokens": ({"tokens": 0}, ValueError, "tokens: needs positive numbers, got 0"),
    "held out nan": ({"held_out": float("nan")}, TypeError, "held_out=nan: must be a finite"),
    "seeds": ({"seed": 3, "rng": 4}, ValueError, "seed=3 and rng=4: are two seeds"),
    "no seed": ({"seed": None}, TypeError, "seed=None: must be a whole number, not NoneType"),
    "no generator": ({"rng": "a"}, TypeError, "rng='a': must be an integer or a numpy.random.Gen"),
    "a word for a flag": ({"sequential": "no"}, TypeError, "sequential='no': must be True or Fal"),
    "progress": ({"progress": "yes"}, TypeError, "progress='yes': must be True, False or None"),
    "output": ({"output": 3}, TypeError, "output=3: must be a path, not int"),
    "flags": (
        {"matrix_free": True, "sequential": True}, ValueError, "needs sequential=False$",
    ),
    "documents": ({"boundary": "document"}, ValueError, "use boundary='stream', or give the sep"),
    "memory": ({"memory_limit": "1M"}, ValueError, "raise memory_limit"),
    "unknown": ({"lag": 3}, TypeError, "unexpected keyword argument 'lag'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_are_refused_in_terms_of_python(case: str) -> None:
    options, kind, message = BAD_OPTIONS[case]
    with pytest.raises(kind, match=message) as caught:
        ngramstat.measure(TOKENS, **{**OPTIONS, **options})
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


def test_messages_name_options_on_the_command_line_and_arguments_in_python() -> None:
    message = (
        "give --vocab-size or --dtype uint16|uint32, --overwrite, --no-sequential or --backend cpu;"
        " see `ngramstat plan --lags 1`, a-- and --document file or line of --held-out PATH"
    )
    error = InputError(message)
    assert str(error) == (
        "give vocab_size or dtype='uint16' or 'uint32', overwrite=True, sequential=False or "
        "backend='cpu'; see `ngramstat plan --lags 1`, a-- and document='file' or 'line' of "
        "held_out PATH"
    )
    with options_as_typed():
        assert str(error) == message
    assert "--" not in str(error).replace("--lags", "").replace("a--", "")


def test_notes_go_through_logging(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    ngramstat.correlations([0, 1] * 50, lags=[1], replicates=0, sequential=False)
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.INFO, logger="ngramstat"):
        ngramstat.correlations([0, 1] * 50, lags=[1], replicates=0, sequential=False)
    assert "vocabulary of 2 inferred from the largest id" in caplog.text


# --- runs ------------------------------------------------------------------------------------


def test_a_generator_stands_for_a_seed(run: ngramstat.RunResult) -> None:
    first = ngramstat.entropies(TOKENS, rng=np.random.default_rng(1), **_entropy_options())
    drawn = int(np.random.default_rng(1).integers(1 << 32))
    again = ngramstat.entropies(TOKENS, seed=drawn, **_entropy_options())
    number = ngramstat.entropies(TOKENS, rng=drawn, **_entropy_options())
    assert first == again == number
    assert first != run.entropies


def _entropy_options() -> dict[str, Any]:
    return {k: v for k, v in OPTIONS.items() if k not in ("lags", "sequential")}


def test_a_run_is_loaded_from_its_directory_or_file(
    run: ngramstat.RunResult, tmp_path: Path
) -> None:
    run.save(tmp_path / "run.json")
    for path in (tmp_path, tmp_path / "run.json", str(tmp_path)):
        assert ngramstat.RunResult.load(path) == run
        assert ngramstat.load_run(path) == run
    (tmp_path / "unfinished" / "parts").mkdir(parents=True)
    with pytest.raises(InputError, match="the run is unfinished"):
        ngramstat.RunResult.load(tmp_path / "unfinished")
    with pytest.raises(InputTypeError, match="run=3: must be a path"):
        ngramstat.load_run(3)  # type: ignore[arg-type]


def test_predict_takes_a_run_its_path_or_its_halves(
    run: ngramstat.RunResult, tmp_path: Path
) -> None:
    c, e = run.correlations, run.entropies
    assert c is not None
    assert e is not None
    run.save(tmp_path / "run.json")
    for of in (run, tmp_path, str(tmp_path / "run.json")):
        predicted = ngramstat.predict(of, tokens=1e9)
        assert isinstance(predicted, ngramstat.RunResult)
        assert predicted.prediction is not None
        assert [point.tokens for point in predicted.prediction.horizon] == [1e9]
        assert {point.tokens for point in predicted.forecast} == {1e9}
        assert predicted.answer is not None
    alone = ngramstat.predict(c, e, tokens=[1e9])
    assert isinstance(alone, ngramstat.Prediction)
    assert alone == ngramstat.predict(correlations=c, entropies=e, tokens=1e9)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "run: needs a RunResult, its path, or a CorrelationResult, not NoneType"),
        ((3,), {}, "run: needs a RunResult, its path"),
        (("run",), {"tokens": "x"}, "tokens='x': must be numbers, not str"),
        (("run",), {"losses": [1, 2]}, r"losses=\[1, 2\]: must be pairs"),
        (("run",), {"context": "long"}, "context='long': must be a whole number"),
    ],
)
def test_predict_refuses(arguments: tuple[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        ngramstat.predict(*arguments, **options)


def test_predict_of_halves_refuses_what_only_runs_have(run: ngramstat.RunResult) -> None:
    with pytest.raises(InputTypeError, match="entropies: needs the EntropyResult"):
        ngramstat.predict(run.correlations)
    with pytest.raises(InputError, match="reader: needs a run"):
        ngramstat.predict(run.correlations, run.entropies, reader="reader.csv")
    with pytest.raises(InputError, match="curves: needs what read_curves returns"):
        ngramstat.predict(run.correlations, run.entropies, curves="curves.csv")
    with pytest.raises(InputTypeError, match="predict takes a run alone"):
        ngramstat.predict(run, run.entropies)


# --- results for other packages --------------------------------------------------------------


def test_results_are_tables_of_arrow(run: ngramstat.RunResult) -> None:
    pa = pytest.importorskip("pyarrow")
    for result in (run, run.correlations, run.entropies, run.prediction, run.answer):
        assert result is not None
        table = result.to_arrow()
        assert table == pa.table(result)
        header, rows = result._rows()
        assert table.column_names == header
        assert table.num_rows == len(rows)
    norms = pa.table(run.correlations)["norm"]
    assert norms.to_pylist() == run.correlations.norm.tolist()


def test_what_was_not_computed_is_null_in_tables(run: ngramstat.RunResult) -> None:
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    missing = np.isnan(run.entropies.limit)
    assert missing.any()
    assert [x is None for x in run.entropies.to_arrow()["limit"].to_pylist()] == missing.tolist()
    assert [x is None for x in run.entropies.to_polars()["limit"].to_list()] == missing.tolist()
    assert polars.DataFrame(run.entropies).equals(run.entropies.to_polars())
    assert polars.DataFrame(run).equals(run.to_polars())
    assert "null" not in {str(field.type) for field in run.entropies.to_arrow().schema}
    assert polars.Null not in run.entropies.to_polars().dtypes


def test_results_are_labelled_arrays(run: ngramstat.RunResult) -> None:
    pytest.importorskip("xarray")
    both = run.to_xarray()
    assert both["norm"].sel(lag=2).item() == run.correlations.norm[1]
    assert both["singular_values"].dims == ("lag", "rank")
    assert both["held_out"].dims == ("context",)
    assert both["learning_curve"].dims == ("training_tokens", "context")
    assert both.attrs["gamma_finite_reportable"] == int(run.entropies.gamma_finite.reportable)
    fields = {
        field.name
        for half in (run.correlations, run.entropies)
        for field in dataclasses.fields(half)
        if isinstance(getattr(half, field.name), np.ndarray)
    }
    assert fields - {"lags", "context"} <= set(both.data_vars)
    beta = run.correlations.beta.to_xarray()
    assert beta.sizes["row"] == 1 + len(run.correlations.beta.alternatives)
    assert run.answer.to_xarray().sizes["row"] > 5


@pytest.mark.parametrize(
    ("package", "method"),
    [("xarray", "to_xarray"), ("polars", "to_polars"), ("pyarrow", "to_arrow")],
)
def test_a_missing_package_names_its_extra(
    run: ngramstat.RunResult, monkeypatch: pytest.MonkeyPatch, package: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ngramstat.NgramstatError, match=rf"{package}.*pip install 'ngramstat\["):
        getattr(run, method)()


# --- progress --------------------------------------------------------------------------------


class Kernel:
    """IPython in the kernel of a notebook."""

    @staticmethod
    def get_ipython() -> Any:
        return types.SimpleNamespace(kernel=object())


def test_progress_is_on_in_notebooks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert shows_progress(None) is False
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert shows_progress(None) is False
    monkeypatch.setitem(sys.modules, "IPython", Kernel)
    assert shows_progress(None) is True
    assert shows_progress(False) is False


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_has_bars(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", Kernel)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    with Progress(10, "work", unit="tok") as bar:
        bar.advance(10)
    assert "work: 100%" in "".join(capsys.readouterr())
