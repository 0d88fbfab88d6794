"""The transformers: parity with NumPy, causality, gradients, initialisation."""

from __future__ import annotations

import numpy as np
import pytest

import reference_lm

torch = pytest.importorskip("torch", reason="needs torch: pip install 'ngramstat[torch]'")

from ngramstat.errors import InputError  # noqa: E402
from ngramstat.lm.models import build, parameters_without_embeddings  # noqa: E402
from ngramstat.lm.rotary import rotate, rotations  # noqa: E402
from ngramstat.lm.run import MODELS  # noqa: E402
from ngramstat.lm.shape import SIZES, Shape, shape_of, size_above  # noqa: E402
from ngramstat.lm.train import loss_of  # noqa: E402

SHAPE = Shape(vocab_size=23, context=9, layers=2, heads=2, width=16)


@pytest.fixture(params=sorted(MODELS))
def name(request):
    return request.param


def scrambled(name, shape=SHAPE):
    """A model whose every parameter, biases and norms too, matters to the result."""
    model = build(name, shape, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def reference(name, model, tokens):
    weights = {k: v.double().numpy() for k, v in model.state_dict().items()}
    if name == "llama":
        return reference_lm.llama(weights, tokens, SHAPE.layers, SHAPE.heads)
    return reference_lm.gpt2(weights, tokens, SHAPE.layers, SHAPE.heads, name == "gpt2-rotary")


def test_losses_equal_a_forward_pass_in_numpy(name):
    model = scrambled(name)
    rng = np.random.default_rng(5)
    targets = rng.integers(23, size=(3, 9))
    with torch.no_grad():
        result = loss_of(model, torch.from_numpy(targets), SHAPE.start).numpy()
        double = loss_of(model.double(), torch.from_numpy(targets), SHAPE.start).numpy()
    for row, mine, exact in zip(targets, result, double, strict=True):
        tokens = np.concatenate([[SHAPE.start], row[:-1]])
        expected = reference_lm.losses(reference(name, model, tokens), row)
        np.testing.assert_allclose(mine, expected, atol=1e-5)
        # loss_of scores in single precision whatever the model's.
        np.testing.assert_allclose(exact, expected, atol=2e-6)


def test_the_model_is_causal(name):
    model = scrambled(name)
    tokens = torch.from_numpy(np.random.default_rng(6).integers(23, size=(2, 9)))
    with torch.no_grad():
        before = model(tokens)
        for j in range(9):
            changed = tokens.clone()
            changed[:, j] = (changed[:, j] + 7) % 23
            after = model(changed)
            assert torch.equal(after[:, :j], before[:, :j])
            assert not torch.equal(after[:, j], before[:, j])


def test_shapes_and_shorter_sequences(name):
    model = scrambled(name)
    tokens = torch.from_numpy(np.random.default_rng(7).integers(23, size=(2, 9)))
    with torch.no_grad():
        whole = model(tokens)
        assert whole.shape == (2, 9, 23)
        torch.testing.assert_close(model(tokens[:, :4]), whole[:, :4])


def test_gradients_equal_finite_differences(name):
    model = scrambled(name).double()
    targets = torch.from_numpy(np.random.default_rng(8).integers(23, size=(2, 9)))

    def loss():
        before = torch.full((2, 1), SHAPE.start)
        logits = model(torch.cat([before, targets[:, :-1]], dim=1))
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    torch.autograd.backward(loss())
    rng = np.random.default_rng(9)
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            flat, gradient = parameter.view(-1), parameter.grad.view(-1)
            # A place that matters: of the embedding, one of a token that occurs.
            place = int(gradient.abs().argmax()) if rng.random() < 0.5 else 0
            old, step = float(flat[place]), 1e-5
            flat[place] = old + step
            above = float(loss())
            flat[place] = old - step
            below = float(loss())
            flat[place] = old
            assert (above - below) / (2 * step) == pytest.approx(
                float(gradient[place]), rel=1e-4, abs=1e-8
            ), label


def test_rotary_scores_depend_only_on_distance():
    generator = torch.Generator().manual_seed(1)
    q, k = (torch.randn(8, generator=generator, dtype=torch.float64) for _ in range(2))
    turns = rotations(40, 8).double()
    turned_q = rotate(q.expand(40, 8), turns)
    turned_k = rotate(k.expand(40, 8), turns)
    scores = turned_q @ turned_k.T
    for distance in (0, 1, 5, 17):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert float((scores[20, 19] - scores[20, 3]).abs()) > 1e-3


def test_initialisation_is_as_published(name):
    shape = Shape(vocab_size=500, context=32, layers=4, heads=2, width=64)
    model = build(name, shape, seed=0)
    for label, parameter in model.named_parameters():
        if label.endswith("bias"):
            assert not parameter.any()
        elif parameter.ndim == 1:
            assert bool((parameter == 1).all())
        else:
            shrunk = name != "llama" and label.endswith("out_proj.weight")
            expected = 0.02 / np.sqrt(2 * 4) if shrunk else 0.02
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.08), label
    # Untrained, every token is about equally likely.
    targets = torch.from_numpy(np.random.default_rng(2).integers(500, size=(4, 32)))
    with torch.no_grad():
        mean = float(loss_of(model, targets, shape.start).mean())
    assert mean == pytest.approx(np.log(500), abs=0.1)


def test_a_seed_fixes_the_weights_without_changing_the_global_generator(name):
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    one = build(name, SHAPE, seed=1)
    assert torch.equal(torch.rand(1), expected)
    two, other = build(name, SHAPE, seed=1), build(name, SHAPE, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


@pytest.mark.parametrize("size", [size for size in SIZES if size not in ("30M", "100M")])
def test_sizes_have_about_the_stated_number_of_parameters(name, size):
    model = build(name, shape_of(size, 50, 16), seed=0)
    nominal = float(size[:-1]) * 1e6
    assert parameters_without_embeddings(model) == pytest.approx(nominal, rel=0.12)


def test_the_largest_sizes_have_about_the_stated_number_of_parameters():
    for size in ("30M", "85M", "100M"):
        layers, heads, width = SIZES[size]
        assert 12 * layers * width**2 == pytest.approx(float(size[:-1]) * 1e6, rel=0.05)
        assert width % (2 * heads) == 0
    assert size_above("10M") == "30M"
    assert size_above("30M") == "85M"
    assert size_above("85M") is None
    assert size_above("100M") is None


def test_impossible_shapes_and_names_are_refused():
    with pytest.raises(InputError, match="multiple of twice the 3 heads"):
        Shape(10, 4, 1, 3, 16)
    with pytest.raises(InputError, match="at least 1"):
        Shape(10, 0, 1, 1, 16)
    with pytest.raises(InputError, match="expected one of"):
        shape_of("7B", 10, 4)
    with pytest.raises(InputError, match="expected one of gpt2"):
        build("mamba", SHAPE, seed=0)
