"""HAR and a net in one forecast: each form is what it says, HAR is its own, lessons are shared."""

from __future__ import annotations

import importlib.util
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.learned import world
from support.worlds import LOG_SIGMA, make_samples, make_task

from harness.models.params import HybridParams, OlsParams, TransferParams
from harness.models.pretraining import pretraining_rows
from harness.models.protocol import Contextual, ModelError, looked_back, make_model
from harness.samples.target_scale import TargetScale
from harness.types import History, Rows

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
FORMS = ("alpha", "dynamic", "residual", "regimes")
TINY: dict[str, Any] = {
    "features": ["x0_1h"],
    "sequence_length": 3,
    "layers": 1,
    "width": 8,
    "heads": 2,
    "dropout": 0.0,
    "epochs": 3,
    "lesson_epochs": 3,
    "lesson_batch": 64,
    "batch": 32,
    "device": "cpu",
}
LEVEL = TargetScale("level", "sigma", "none", 1e-6)


def model(form: str, scale: TargetScale = LOG_SIGMA, **changes: Any) -> Any:
    params = HybridParams(**{**TINY, "har": ["x0_1h", "x1_1h"], **changes}, form=form)
    return make_model("hybrid", params, make_task(scale=scale))


def data(n: int = 150, seed: int = 2) -> tuple[Any, np.ndarray]:
    return world(n, seed=seed)


def fitted(form: str, scale: TargetScale = LOG_SIGMA, **changes: Any) -> Any:
    rows, y = data()
    y = y if scale.is_log else np.exp(y)
    early, late = np.arange(110), np.arange(110, 150)
    held = rows.take(late), y[late]
    return model(form, scale, **changes).fit(rows.take(early), y[early], validation=held, seed=4)


def har_of(scale: TargetScale = LOG_SIGMA) -> tuple[Any, np.ndarray]:
    """Least squares on the same training rows, and its forecasts of all rows."""
    rows, y = data()
    y = y if scale.is_log else np.exp(y)
    ols = make_model("ols", OlsParams(features=["x0_1h", "x1_1h"]), make_task(scale=scale))
    found = ols.fit(rows.take(np.arange(110)), y[:110])
    return found, found.predict(rows)


def untouched(form: str, scale: TargetScale = LOG_SIGMA) -> Any:
    """The model with its net as it begins: a rate of nearly nothing for one epoch."""
    return fitted(form, scale, epochs=1, lesson_epochs=1, lesson_learning_rate=1e-12)


@pytest.mark.parametrize("scale", [LOG_SIGMA, LEVEL], ids=["log", "level"])
@pytest.mark.parametrize("form", ["residual", "regimes"])
def test_what_is_added_to_har_is_nothing_at_first(form, scale):
    rows, _ = data()
    np.testing.assert_allclose(untouched(form, scale).predict(rows), har_of(scale)[1], rtol=2e-5)


@pytest.mark.parametrize("scale", [LOG_SIGMA, LEVEL], ids=["log", "level"])
def test_the_weight_of_alpha_is_the_best_of_the_held_out_rows(scale):
    made, (_, har) = fitted("alpha", scale, loss="log-mse"), har_of(scale)
    rows, y = data()
    late = np.arange(110, 150)
    weight = made.coefficients["weight of HAR"]
    net = replace(made, net=with_weight(made.net, 0.0)).predict(rows)

    def loss(a: float) -> float:
        if scale.is_log:
            found = a * har + (1.0 - a) * net
        else:  # the two are weighed in units of the output
            found = replace(made, net=with_weight(made.net, a)).predict(rows)
        return float(np.mean(np.square(y - (found if scale.is_log else np.log(found)))[late]))

    grid = np.linspace(0.001, 0.999, 61)
    assert weight == pytest.approx(grid[np.argmin([loss(a) for a in grid])], abs=0.02)
    assert made.training.weights["weight of HAR"][0] != pytest.approx(0.5, abs=0.01)


def with_weight(net: Any, weight: float) -> Any:
    """A copy of an `alpha` net with this weight of HAR."""
    changed = deepcopy(net)
    changed.mix.fill_(np.log(weight / (1.0 - weight)) if weight else -np.inf)
    return changed


def test_a_weight_of_one_is_har_itself():
    torch = pytest.importorskip("torch")
    rows, _ = data()
    made = fitted("alpha")
    with torch.no_grad():
        made.net.mix.fill_(40.0)
    np.testing.assert_allclose(made.predict(rows), har_of()[1], rtol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_har_is_that_of_the_training_rows_and_is_stated(form):
    made, (har, _) = fitted(form), har_of()
    for name, value in har.coefficients.items():
        assert made.coefficients[name] == value
    weights = made.training.weights
    assert tuple(weights) == made.weighted
    for name, path in weights.items():
        assert len(path) == made.training.epochs and all(0.0 < w < 1.0 for w in path)
        assert made.coefficients[name] == path[made.training.best - 1]
    if form == "regimes":
        np.testing.assert_allclose(np.sum(list(weights.values()), axis=0), 1.0, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_hybrid_learns_what_har_cannot_see(form):
    """The target's part in x0 two decisions ago is in the sequence and not among HAR's features."""
    rows, _ = data(400)
    past = rows.columns(("x0_1h",)).sequences(3)[:, 0, 0]
    y = 0.3 * rows.columns(("x1_1h",)).X[:, 0] + 0.8 * past
    early, late, last = np.arange(250), np.arange(250, 320), np.arange(320, len(y))
    held = rows.take(late), y[late]
    made = model(form, epochs=60, lesson_epochs=60, lesson_learning_rate=1e-2, lesson_batch=32)
    made = made.fit(rows.take(early), y[early], validation=held, seed=1)
    ols = make_model("ols", OlsParams(features=["x0_1h", "x1_1h"]), make_task(scale=LOG_SIGMA))
    har = ols.fit(rows.take(early), y[early])
    test = rows.take(last)
    errors = [np.mean(np.square(y[last] - m.predict(test))) for m in (made, har)]
    assert errors[0] < 0.5 * errors[1]


def overlapping(n: int, length: int = 22) -> tuple[Rows, np.ndarray]:
    """A volatility over days that overlap, of which HAR knows all but one, and its mean of 5."""
    squares = np.random.default_rng(5).standard_normal(n + 60) ** 2
    x = 0.5 * np.log(np.convolve(squares, np.ones(length), "valid"))
    values = np.stack((x, np.convolve(x, np.full(5, 0.2))[: x.size]))
    at = np.arange(30, n + 30)
    history = History(values, ("x0_1h", "x1_1h"), np.array([0, x.size], np.int64))
    given = np.asfortranarray(values[:, at].T)
    symbol, formed = np.zeros(n, np.int32), at.astype(np.int64)
    return Rows(given, history.names, symbol, formed, history, at), x[at + 1]


def test_the_gate_does_not_run_to_har_before_the_net_has_learned():
    """HAR knows 19 parts of 20 at once: the gate used to end at 0.999 and the net never learned."""
    rows, y = overlapping(900)
    early, late = np.arange(600), np.arange(600, 900)
    made = model("dynamic", layers=1, width=32, lesson_epochs=12, lesson_batch=16, patience=12)
    held = rows.take(late), y[late]
    made = made.fit(rows.take(early), y[early], validation=held, seed=0)
    assert all(0.01 < weight < 0.99 for weight in made.training.weights["weight of HAR"])
    har = made.har.predict(rows.take(late))
    error, by_har = (np.mean(np.square(y[late] - f)) for f in (made.predict(rows.take(late)), har))
    assert error < 1.05 * by_har
    assert made.coefficients["sd of the net / sd of HAR"] == pytest.approx(1.0, abs=0.2)
    assert made.coefficients["sd of the weight of HAR"] > 0.0


@pytest.mark.parametrize("form", FORMS)
def test_a_hybrid_learns_what_no_line_can_see(form):
    """The sign of x1 less its line: a net whose last step is one of twenty saw nothing of it."""
    rows, _ = world(700, seed=4)
    x = rows.columns(("x0_1h", "x1_1h")).X
    y = 0.3 * x[:, 0] + 0.5 * np.sign(x[:, 1]) + 0.1 * np.random.default_rng(1).normal(size=700)
    early, late, last = np.arange(400), np.arange(400, 500), np.arange(500, 700)
    keys = {"lesson_epochs": 25, "lesson_batch": 16, "width": 16, "lesson_learning_rate": 5e-3}
    made = model(form, features=["x0_1h", "x1_1h"], sequence_length=5, **keys)
    held = rows.take(late), y[late]
    made = made.fit(rows.take(early), y[early], validation=held, seed=1)
    test = rows.take(last)
    errors = [np.mean(np.square(y[last] - m.predict(test))) for m in (made, made.har)]
    assert errors[0] < 0.6 * errors[1]


def test_the_parts_are_stated_where_no_row_is_held_out():
    rows, y = data()
    found = model("dynamic").fit(rows, y, seed=4).coefficients
    assert 0.0 < found["weight of HAR"] < 1.0 and found["sd of the net / sd of HAR"] > 0.0


@pytest.mark.parametrize("form", ["residual", "regimes"])
def test_what_the_net_adds_is_stated_in_standard_deviations_of_har(form):
    made, (_, har) = fitted(form), har_of()
    rows, _ = data()
    late = np.arange(110, 150)
    added = (made.predict(rows) - har)[late].std() / har[late].std()
    assert made.coefficients["sd of the net / sd of HAR"] == pytest.approx(added, rel=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_same_seed_same_bytes_and_later_rows_change_none(form):
    rows, _ = data()
    first, again, other = fitted(form), fitted(form), fitted(form)
    assert first.predict(rows).tobytes() == again.predict(rows).tobytes()
    part = rows.take(np.arange(40))
    assert other.predict(part).tobytes() == first.predict(rows)[:40].tobytes()


def test_it_looks_back_over_its_sequence_alone():
    made = model("alpha", har=["x0_1h", "x1_1h"])
    assert isinstance(made, Contextual)
    assert made.features == ("x0_1h", "x1_1h")
    assert looked_back(made) == ("x0_1h",) and made.context == ("x0_1h", "x1_1h")
    rows, _ = data()
    whole = fitted("dynamic")
    changed = replace(rows, X=np.where(np.arange(len(rows.X))[:, None] == 60, 9.0, rows.X))
    moved = whole.predict(changed) != whole.predict(rows)
    assert moved[60] and moved.sum() == 1  # features at one decision are in no other's context


def test_constant_context_is_a_named_error():
    rows, y = data()
    flat = replace(rows, X=np.column_stack((rows.X[:, :1], np.ones(len(y)), rows.X[:, 2:])))
    with pytest.raises(ModelError, match="x1_1h is constant"):
        model("alpha").fit(flat, y, seed=1)


def test_the_pretraining_is_that_of_the_net_without_har_and_trains_the_encoder():
    rows, y = world(200, seed=9)
    source = replace(make_samples(200, seed=3), rows=rows, y=y, resolved_at=rows.formed_at + 1)
    given = pretraining_rows(source, ("x0_1h",), int(rows.formed_at[-1]) + 1, 1)
    alone = make_model(
        "transfer", TransferParams(**TINY, strategy="full"), make_task(scale=LOG_SIGMA)
    )
    hybrid = model("residual", strategy="frozen")
    assert hybrid.wants_pretraining and not model("residual").wants_pretraining
    assert hybrid.pretraining_key == alone.pretraining_key
    pretrained, other = (m.pretrained(given, seed=7) for m in (hybrid, alone))
    assert all(pretrained.weights[k].tobytes() == w.tobytes() for k, w in other.weights.items())
    assert len(pretrained.train_loss) == pretrained.epochs == len(pretrained.validation_loss)
    mine, target = data()
    held = mine.take(np.arange(110, 150)), target[110:]
    made = hybrid.with_pretrained(pretrained).fit(
        mine.take(np.arange(110)), target[:110], validation=held, seed=4
    )
    for name, weights in made.weights().items():
        if name.startswith("encoder."):
            assert weights.tobytes() == pretrained.weights[name].tobytes()
    assert made.training.lesson_validation_loss == pretrained.validation_loss
