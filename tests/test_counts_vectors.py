"""PPMI, truncated SVD, word vectors and their files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.sparse as sp

import ngramstat
from ngramstat import WordVectors
from ngramstat.cli import main
from ngramstat.counts import association
from ngramstat.errors import InputError
from ngramstat.linear_algebra.lanczos import truncated_svd

COLOURS, ANIMALS = ["red", "green", "blue"], ["cat", "dog", "cow"]


def plain_ppmi(counts, shift, smoothing):
    """Loops over all pairs, from the definition."""
    total = counts.sum()
    shares = counts.sum(axis=0) ** smoothing / (counts.sum(axis=0) ** smoothing).sum()
    expected = np.zeros(counts.shape)
    for a, b in np.argwhere(counts > 0):
        joint, row = counts[a, b] / total, counts[a].sum() / total
        expected[a, b] = max(0.0, math.log(joint / (row * shares[b])) - math.log(shift))
    return expected


@pytest.mark.parametrize("block", [1 << 20, 5])
def test_ppmi_is_its_definition(monkeypatch, block):
    monkeypatch.setattr(association, "_BLOCK", block)
    rng = np.random.default_rng(0)
    for _ in range(20):
        shape = tuple(rng.integers(1, 12, 2))
        counts = rng.integers(0, 4, shape) * rng.integers(0, 30, shape)
        shift, smoothing = rng.choice([1, 1.5, 5]), rng.choice([1, 0.75])
        for kind in (np.uint64, np.float64):
            matrix = sp.csr_array(counts.astype(kind))
            found = ngramstat.ppmi(matrix, shift=shift, context_smoothing=smoothing)
            expected = plain_ppmi(counts.astype(float), shift, smoothing)
            np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12, atol=1e-12)
            assert found.data.size == 0 or found.data.min() > 0
            assert (matrix.toarray() == counts).all()


def test_ppmi_takes_other_layouts_and_stored_zeros():
    counts = np.array([[3, 0, 1], [0, 2, 2], [5, 1, 0]])
    expected = ngramstat.ppmi(sp.csr_array(counts)).toarray()
    rows, columns = np.indices((3, 3)).reshape(2, 9)
    halves = np.concatenate([counts.ravel() / 2] * 2)  # duplicates, and zeros that are stored
    twice = sp.coo_array((halves, (np.tile(rows, 2), np.tile(columns, 2))))
    for other in (sp.csc_matrix(counts), sp.coo_array(counts), twice):
        np.testing.assert_allclose(ngramstat.ppmi(other).toarray(), expected, atol=1e-15)
    empty = ngramstat.ppmi(sp.csr_array((3, 4), dtype=np.uint64))
    assert empty.shape == (3, 4)
    assert empty.nnz == 0


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (np.eye(3), {}, "sparse"),
        (sp.csr_array([[1.0, -1.0]]), {}, "negative"),
        (sp.csr_array([[1.0, np.inf]]), {}, "finite"),
        (sp.csr_array([[1j]]), {}, "real"),
        (sp.csr_array([[1.0]]), {"shift": 0.5}, "at least 1"),
        (sp.csr_array([[1.0]]), {"context_smoothing": 0}, "over 0"),
        (sp.csr_array([[1.0]]), {"context_smoothing": 1.1}, "at most 1"),
    ],
)
def test_ppmi_refuses_what_it_cannot_use(matrix, options, message):
    with pytest.raises(InputError, match=message):
        ngramstat.ppmi(matrix, **options)


class Sparse:
    def __init__(self, matrix):
        self.matrix, self.shape = matrix, matrix.shape

    def multiply(self, x):
        return self.matrix @ x

    def multiply_transposed(self, x):
        return self.matrix.T @ x


@pytest.mark.parametrize("shape", [(300, 260), (30, 400), (260, 300), (2, 1)])
@pytest.mark.parametrize("k", [1, 8, 21])
def test_truncated_svd_is_that_of_lapack(shape, k):
    rng = np.random.default_rng(3)
    matrix = sp.random_array(shape, density=0.05, rng=rng, format="csr") + sp.eye_array(*shape)
    found = truncated_svd(Sparse(sp.csr_array(matrix)), k, tolerance=1e-9)
    u, values, vt = np.linalg.svd(matrix.toarray(), full_matrices=False)
    k = min(k, *shape)
    np.testing.assert_allclose(found.values, values[:k], rtol=1e-10)
    np.testing.assert_allclose(np.abs((found.left * u[:, :k]).sum(axis=0)), 1, rtol=1e-6)
    np.testing.assert_allclose(np.abs((found.right * vt[:k].T).sum(axis=0)), 1, rtol=1e-6)
    assert (found.left[np.abs(found.left).argmax(axis=0), np.arange(k)] > 0).all()


def test_truncated_svd_of_low_rank():
    rng = np.random.default_rng(4)
    factors = rng.standard_normal((250, 3)), rng.standard_normal((3, 240))
    found = truncated_svd(Sparse(sp.csr_array(factors[0] @ factors[1])), 10)
    expected = np.linalg.svd(factors[0] @ factors[1], compute_uv=False)[:3]
    np.testing.assert_allclose(found.values[:3], expected, rtol=1e-10)
    assert found.values[3:].max() < 1e-9 * expected[0]


@pytest.fixture(scope="module")
def corpus():
    """Colours follow one word and animals another, so that their vectors tell them apart."""
    rng = np.random.default_rng(5)
    texts = []
    for _ in range(300):
        colour, animal = rng.choice(COLOURS), rng.choice(ANIMALS)
        texts.append(f"the paint is {colour} and the pet was a {animal} today")
    return ngramstat.Corpus.from_texts(texts, vocab_size=320)


@pytest.fixture(scope="module")
def vectors(corpus):
    return ngramstat.word_vectors(corpus, dimensions=12, window=3, threads=1)


def test_neighbours_are_of_the_same_kind(vectors):
    for words in (COLOURS, ANIMALS):
        for word in words:
            nearest = vectors.neighbours(f" {word}", 2)
            assert {n.text for n in nearest} == {f" {other}" for other in words if other != word}
            assert nearest[0].similarity >= nearest[1].similarity > 0.5
            assert vectors.token(nearest[0].text) == nearest[0].token
    by_vector = vectors.neighbours(vectors[" red"] * 3, 1)
    assert by_vector[0].text == " red"
    assert by_vector[0].similarity == pytest.approx(1, abs=1e-6)
    assert vectors.token("\\x20red") == vectors.token(" red")
    known = np.count_nonzero(vectors.vectors.any(axis=1))
    assert len(vectors.neighbours(" red", 10_000)) == known - 1


def test_vectors_are_scaled_singular_vectors_and_the_same_in_every_run(corpus, vectors):
    matrix = ngramstat.cooccurrence(corpus, window=3, symmetric=True)
    information = ngramstat.ppmi(matrix, context_smoothing=0.75).toarray()
    values = np.linalg.svd(information, compute_uv=False)[:12]
    np.testing.assert_allclose(vectors.singular_values, values, rtol=1e-6)
    whole = ngramstat.word_vectors(corpus, matrix=matrix, dimensions=12, exponent=1, threads=2)
    products = whole.vectors @ whole.vectors.T
    u, s, _ = np.linalg.svd(information)
    expected = (u[:, :12] * s[:12] ** 2) @ u[:, :12].T
    np.testing.assert_allclose(products, expected, atol=1e-4 * expected.max())
    again = ngramstat.word_vectors(corpus, dimensions=12, window=3, threads=2)
    assert (again.vectors == vectors.vectors).all()
    assert again.names == vectors.names


def test_files_read_back_to_the_bit(tmp_path, vectors):
    for name, to in (("v.txt", None), ("v.safetensors", None), ("v.dat", "word2vec")):
        vectors.save(tmp_path / name, to=to)
        again = WordVectors.load(tmp_path / name)
        assert again.vectors.dtype == np.float32
        assert (again.vectors == vectors.vectors).all()
        assert again.names == vectors.names
        if name == "v.safetensors":
            assert (again.singular_values == vectors.singular_values).all()
        assert again.neighbours(" cat", 3) == vectors.neighbours(" cat", 3)
    lines = (tmp_path / "v.txt").read_text(encoding="utf-8").split("\n")
    assert lines[0] == f"{len(vectors)} 12"
    assert all(len(line.split()) == 13 for line in lines[1:-1])
    assert len(lines) == len(vectors) + 2


def test_safetensors_reads_ours(tmp_path, vectors):
    library = pytest.importorskip("safetensors.numpy")
    vectors.save(tmp_path / "v.safetensors")
    arrays = library.load_file(tmp_path / "v.safetensors")
    assert (arrays["vectors"] == vectors.vectors).all()
    assert (arrays["singular_values"] == vectors.singular_values).all()
    with pytest.importorskip("safetensors").safe_open(tmp_path / "v.safetensors", "np") as file:
        assert tuple(json.loads(file.metadata()["names"])) == vectors.names


def test_damaged_files_are_refused(tmp_path):
    vectors = WordVectors(np.ones((3, 2), np.float32), ("a", "b", "c"), np.array([2.0, 1.0]))
    for name in ("v.txt", "v.safetensors"):
        path = tmp_path / name
        vectors.save(path)
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(InputError, match=name):
                WordVectors.load(path)
        for at in range(len(whole)):
            for flip in (1, 0x80):
                path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
                try:
                    other = WordVectors.load(path)
                except InputError:
                    continue
                assert other.vectors.shape == (3, 2)
                assert np.isfinite(other.vectors).all()
    for text, message in (
        ("a 1 2\n", "does not begin"),
        ("2 2\na 1 2\na 1 2\n", "twice"),
        ("1 2\na 1\n", "line 2"),
        ("1 2\na 1 x\n", "line 2"),
        ("1 2\na 1 nan\n", "finite"),
        ("1 2\na 1 2\nb 1 2\n", "more lines"),
        ("9999999999 9999999999\n", "too short"),
    ):
        (tmp_path / "w.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            WordVectors.load(tmp_path / "w.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"exponent": -1}, "negative"),
        ({"matrix": sp.csr_array((3, 3), dtype=np.uint64)}, "3 rows"),
        ({"matrix": sp.csr_array((299, 299), dtype=np.uint64), "window": 2}, "already"),
        ({"matrix": sp.csr_array((299, 299), dtype=np.uint64), "weights": [1]}, "already"),
        ({"shift": 1e9}, "by chance"),
    ],
)
def test_arguments_that_cannot_be_used(corpus, options, message):
    with pytest.raises(InputError, match=message):
        ngramstat.word_vectors(corpus, **options)


def test_questions_that_have_no_answer(corpus, vectors):
    with pytest.raises(InputError, match="needs a corpus or a matrix"):
        ngramstat.word_vectors()
    with pytest.raises(InputError, match="memory_limit allows; give fewer dimensions"):
        ngramstat.word_vectors(matrix=sp.eye_array(1000, format="csr"), memory_limit="1M")
    for token, message in (
        ("red", "' the'"),
        (-1, "between"),
        (10_000, "between"),
        ([1, 2], "vector"),
    ):
        with pytest.raises(InputError, match=message):
            vectors.neighbours(token)
    unused = next(token for token in range(len(vectors)) if not vectors.vectors[token].any())
    with pytest.raises(InputError, match="no co-occurrences"):
        vectors.neighbours(unused)
    ids = ngramstat.word_vectors(np.tile([0, 1, 2, 1], 50), dimensions=2)
    assert ids.neighbours(0, 1)[0].text == "2"


def test_command(tmp_path, corpus, vectors, capsys):
    corpus_dir = tmp_path / "corpus"
    texts = tmp_path / "texts.txt"
    texts.write_text("the red cat and the green dog saw the blue cow\n" * 50)
    quiet = {"standalone_mode": False}
    main(["tokenize", str(texts), "--document", "line", "--vocab-size", "300", "-o",
          str(corpus_dir), "--quiet"], **quiet)  # fmt: skip
    for matrix in (tmp_path / "m", tmp_path / "m.npz"):
        to = "npz" if matrix.suffix else "mapped"
        main(["counts", "pairs", str(corpus_dir), "--window", "5", "--symmetric", "--to", to,
              "-o", str(matrix), "--quiet"], **quiet)  # fmt: skip
        capsys.readouterr()
        for name, extra in (("a.txt", []), ("b.txt", ["--matrix", str(matrix)])):
            main(["counts", "vectors", str(corpus_dir), "--dimensions", "4", "--json", "--quiet",
                  "-o", str(tmp_path / name), *extra], **quiet)  # fmt: skip
        first, second = capsys.readouterr().out.strip().split("\n}\n")
        assert json.loads(first + "}")["singular_values"] == json.loads(second)["singular_values"]
        assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()
    (tmp_path / "other.npz").write_bytes(b"PK")
    with pytest.raises(SystemExit):
        main(["counts", "vectors", str(corpus_dir), "--matrix", str(tmp_path / "other.npz"),
              "-o", str(tmp_path / "c.txt")])  # fmt: skip
    assert "other.npz" in capsys.readouterr().err
