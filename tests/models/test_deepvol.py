"""DeepVol: a causal net, masked series, portfolios in its batches, what it learns and from what."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.worlds import LEVEL_SIGMA, LOG_SIGMA, make_task

from harness.durations import parse_duration
from harness.measures.portfolios import draw_portfolio, portfolio_returns
from harness.models.params import DeepVolParams
from harness.models.pretraining import PretrainedModel, TimedPretraining, pretraining_rows
from harness.models.protocol import ModelError, Recursive, make_model
from harness.samples.splits import Scheme, make_folds, make_windows
from harness.types import History, Rows, Samples
from harness.walk.fit_cache import FitCache
from harness.walk.fold_fit import Settings, fit_fold

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
DAY = 86_400_000_000_000
TINY: dict[str, Any] = {
    "trains_on": "panel",
    "layers": 1,
    "width": 8,
    "sequence_length": 60,
    "batch": 8,
    "portfolios": 0.5,
    "least_stocks": 2,
    "most_stocks": 3,
    "epochs": 2,
    "device": "cpu",
}


def model(**changes: Any) -> Any:
    task = make_task("1d", every="1d", steps=1, bars=1, scale=LEVEL_SIGMA)
    return make_model("deepvol", DeepVolParams(**{**TINY, **changes}), task)


def garch_returns(n: int, seed: int, level: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Returns (n,) of a GARCH(1,1) and their sigmas."""
    rng = np.random.default_rng(seed)
    h, returns, sigmas = 1.0, np.empty(n), np.empty(n)
    for t in range(n):
        sigmas[t] = np.sqrt(h)
        returns[t] = sigmas[t] * rng.standard_normal()
        h = 0.05 + 0.15 * returns[t] ** 2 + 0.80 * h
    return level * returns, level * sigmas


def samples(returns: list[np.ndarray], begins: list[int] | None = None) -> Samples:
    """Daily rows of some symbols: the feature is the day's return, the target the next one's size.

    `begins`: the day on which each begins. NaN is a day without a return, which is no row.
    """
    begins = begins or [0] * len(returns)
    edges = np.cumsum([0, *(r.size for r in returns)])
    at, symbol, formed, y = [], [], [], []
    for code, (r, begin) in enumerate(zip(returns, begins, strict=True)):
        following = np.append(np.abs(r[1:]), np.nan)
        rows = np.flatnonzero(np.isfinite(r) & np.isfinite(following))
        at.append(edges[code] + rows)
        symbol.append(np.full(rows.size, code, np.int32))
        formed.append((begin + rows) * DAY)
        y.append(following[rows])
    whole = [np.concatenate(part) for part in (formed, symbol, at, y)]
    order = np.lexsort((whole[1], whole[0]))
    formed_, symbol_, at_, y_ = (part[order] for part in whole)
    values = np.concatenate(returns)[None]
    history = History(values, ("ret_1d",), edges.astype(np.int64))
    rows_ = Rows(values[0, at_][:, None], ("ret_1d",), symbol_, formed_, history, at_)
    names = tuple(f"S{k:02d}" for k in range(len(returns)))
    return Samples("1d", rows_, y_, y_, formed_ + DAY, names, 0, 0, None)


@pytest.fixture(scope="module")
def world() -> Samples:
    return samples([garch_returns(300, seed)[0] for seed in range(5)])


# --- the net


def test_a_net_is_causal_and_says_sigma_is_about_one_before_it_learns():
    import torch

    from harness.models.nets.universal import UniversalNet

    torch.manual_seed(3)
    net = UniversalNet(2, 8)
    returns = torch.randn(2, 40)
    other = returns.clone()
    other[:, 25:] = 9.0
    with torch.no_grad():
        first, second = net(returns)[0], net(other)[0]
    assert first[:, :25].numpy().tobytes() == second[:, :25].numpy().tobytes()
    assert (first[:, 25:] != second[:, 25:]).any()
    assert (first > 1e-5).all() and 0.5 < float(first.detach().mean()) < 2.0


def test_the_loss_is_the_mean_over_the_steps_that_are_known():
    import torch

    from harness.models.nets.universal import Batch, mean_nll

    one, two = np.array([0.3, -1.0, 2.0]), np.array([0.5, 0.1, -0.7, 1.2, -0.2])
    batch = Batch.of([one, two], torch.device("cpu"))
    assert batch.returns.shape == batch.following.shape == (2, 4)
    assert batch.known.sum() == 2 + 4
    sigma = torch.tensor([[0.5, 1.5, 9.0, 9.0], [1.0, 2.0, 3.0, 4.0]])

    def nll(s: float, r: float) -> float:
        return 0.5 * np.log(2 * np.pi) + np.log(s) + 0.5 * (r / s) ** 2

    wanted = [nll(0.5, -1.0), nll(1.5, 2.0), nll(1, 0.1), nll(2, -0.7), nll(3, 1.2), nll(4, -0.2)]
    assert float(mean_nll(sigma, batch)) == pytest.approx(np.mean(wanted), rel=1e-6)
    late = Batch.of([one, two], torch.device("cpu"), first=[2, 3])
    assert float(mean_nll(sigma, late)) == pytest.approx(np.mean([wanted[1], *wanted[4:]]))


def test_what_is_filled_up_moves_no_gradient():
    import torch

    from harness.models.nets.universal import Batch, UniversalNet, mean_nll

    def gradient(filling: float) -> bytes:
        torch.manual_seed(1)
        net = UniversalNet(1, 4)
        batch = Batch.of([np.ones(4), np.full(9, 0.5)], torch.device("cpu"))
        filled = torch.where(batch.known > 0, batch.following, filling)
        mean_nll(net(batch.returns)[0], replace(batch, following=filled)).backward()
        return net.output.weight.grad.numpy().tobytes()

    assert gradient(0.0) == gradient(50.0)


def test_the_papers_net_has_3_2_million_parameters():
    from harness.models.nets.universal import UniversalNet

    net = UniversalNet(3, 400)
    first = 4 * 400 * (1 + 400 + 2)  # torch has two vectors of intercepts
    assert sum(p.numel() for p in net.parameters()) == first + 2 * 4 * 400 * 802 + 401


def test_a_series_forecasts_do_not_depend_on_what_follows_or_stands_beside_it():
    import torch

    from harness.models.nets.universal import UniversalNet, sigmas

    torch.manual_seed(2)
    net, rng, cpu = UniversalNet(2, 16), np.random.default_rng(1), torch.device("cpu")
    many = [rng.standard_normal(int(n)) for n in rng.integers(100, 700, 40)]
    whole = sigmas(net, many, cpu)
    for k in (0, 17, 39):
        assert sigmas(net, [many[k]], cpu)[0].tobytes() == whole[k].tobytes()
        assert sigmas(net, [many[k][:90]], cpu)[0].tobytes() == whole[k][:90].tobytes()


# --- portfolios


def test_a_portfolio_is_drawn_as_the_paper_says():
    rng, sizes = np.random.default_rng(5), set()
    for _ in range(300):
        members, weights = draw_portfolio(rng, 100, 20, 30)
        sizes.add(members.size)
        assert (np.diff(members) > 0).all() and members[0] >= 0 and members[-1] < 100
        assert (weights > 0.0).all() and weights.sum() == pytest.approx(1.0)
    assert sizes == set(range(20, 31))


def test_a_portfolio_returns_the_weighted_sum_where_all_are_known():
    returns = np.array([[0.1, -0.2], [np.nan, 0.3], [0.0, 0.5]])
    found = portfolio_returns(returns, np.array([0.25, 0.75]))
    assert found[[0, 2]] == pytest.approx([0.025 - 0.15, 0.375])
    assert np.isnan(found[1])


def pool(returns: np.ndarray, **changes: Any) -> Any:
    from harness.models.nets.universal import BatchDesign, Pool

    return Pool(returns, replace(BatchDesign(10, 0.5, 2, 3, 60), **changes))


def test_a_batch_is_half_stocks_and_half_portfolios_of_their_common_dates():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((400, 4))
    returns[:150, 0] = np.nan  # listed later
    returns[::7, 1] = np.nan  # now and then suspended
    drawn = pool(returns, length=None)
    batch = drawn.draw(np.random.default_rng(3))
    assert len(batch) == 10
    stocks = {s.tobytes() for s in drawn.stocks}
    assert [s.tobytes() in stocks for s in batch] == [True] * 5 + [False] * 5
    assert {s.size for s in batch[:4]} == {250, 400, int(np.isfinite(returns[:, 1]).sum())}
    everywhere = np.isfinite(returns).all(axis=1).sum()
    assert all(everywhere <= s.size <= 400 for s in batch[5:])
    assert {s.size for s in pool(returns).draw(np.random.default_rng(3))} == {61}
    assert np.sqrt(np.mean(np.concatenate(drawn.stocks) ** 2)) == pytest.approx(1.0)
    again = drawn.draw(np.random.default_rng(3))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(batch, again, strict=True))


@pytest.mark.parametrize(
    ("returns", "changes", "words"),
    [
        (np.ones((99, 4)), {}, "series too short: the longest has 99 returns, wanted 100"),
        (np.ones((120, 2)), {}, "too few assets for a portfolio: 2 with 100 returns or more"),
        (np.zeros((120, 3)), {}, "all returns are 0"),
    ],
)
def test_what_no_batch_can_be_made_of_is_named(returns, changes, words):
    with pytest.raises(ModelError, match=words):
        pool(returns, **changes)


def test_stocks_that_never_met_make_no_portfolio():
    returns = np.full((300, 2), np.nan)
    returns[:150, 0], returns[150:, 1] = 0.01, 0.02
    met = pool(returns, least=2, most=2)
    with pytest.raises(ModelError, match="none of 100 portfolios of 2 to 2 assets has 100 dates"):
        met.draw(np.random.default_rng(1))
    assert len(pool(returns, portfolios=0.0).draw(np.random.default_rng(1))) == 10


# --- the model


def test_it_learns_the_volatility_of_series_that_it_never_saw():
    taught = samples([garch_returns(800, seed)[0] for seed in range(12)])
    net = model(width=16, epochs=6, batch=16, sequence_length=200).fit(taught.rows, taught.y)
    returns, sigmas = garch_returns(800, 99)
    unseen = samples([returns])
    forecast = net.predict(unseen.rows)
    actual, value = sigmas[1:], returns[1:]

    def nll(sigma: Any) -> float:
        return float(np.mean(np.log(sigma) + 0.5 * (value / sigma) ** 2))

    constant = np.sqrt(np.mean(value**2))
    assert nll(forecast) < nll(constant) - 0.5 * (nll(constant) - nll(actual))
    assert np.corrcoef(np.log(forecast[20:]), np.log(actual[20:]))[0, 1] > 0.8
    told = net.training
    assert told.parameters == sum(w.size for w in net.weights().values()) - 1
    assert len(told.train_loss) == 6 and told.train_loss[-1] < told.train_loss[0]


def test_the_same_seed_gives_the_same_bytes_and_another_others(world):
    one, two, other = (model().fit(world.rows, world.y, seed=s) for s in (1, 1, 2))
    assert one.predict(world.rows).tobytes() == two.predict(world.rows).tobytes()
    assert one.predict(world.rows).tobytes() != other.predict(world.rows).tobytes()


def test_only_returns_of_training_rows_train_it(world):
    train = np.flatnonzero(world.rows.formed_at < 200 * DAY)
    values = world.rows.history.values.copy()
    for begin in world.rows.history.begins[:-1]:
        values[0, begin + 200 : begin + 300] = 0.5
    history = replace(world.rows.history, values=values)
    later = replace(world.rows, history=history, X=values[0, world.rows.at][:, None])
    one, two = (model().fit(rows.take(train), world.y[train]) for rows in (world.rows, later))
    assert all(one.weights()[k].tobytes() == w.tobytes() for k, w in two.weights().items())
    at_hand = world.rows.take(train)
    assert one.predict(at_hand).tobytes() == two.predict(later.take(train)).tobytes()


def test_the_state_runs_through_all_history_and_a_missing_return_leaves_none():
    returns = garch_returns(260, 1)[0]
    holed = np.insert(returns, [50, 120, 120], np.nan)
    whole, gaps = samples([returns]), samples([holed])
    net = model(portfolios=0.0).fit(whole.rows, whole.y)
    last = net.predict(whole.rows.take(np.array([258])))
    same = int(np.flatnonzero(gaps.rows.at == gaps.rows.at.max())[0])
    assert net.predict(gaps.rows.take(np.array([same]))).tobytes() == last.tobytes()
    cold = samples([returns[250:]])
    assert net.predict(cold.rows)[-1] != last[0]


def test_other_symbols_and_another_order_change_no_forecast(world):
    net = model().fit(world.rows, world.y)
    whole = net.predict(world.rows)
    alone = np.flatnonzero(world.rows.symbol == 3)
    assert net.predict(world.rows.take(alone)).tobytes() == whole[alone].tobytes()
    order = np.random.default_rng(1).permutation(whole.size)
    assert net.predict(world.rows.take(order)).tobytes() == whole[order].tobytes()


def test_rescaling_puts_forecasts_on_the_level_of_the_training_rows(world):
    plain, moved = (model(rescale=r).fit(world.rows, world.y) for r in (False, True))
    assert plain.coefficients == {}
    factor = moved.coefficients["offset"]
    assert moved.predict(world.rows) == pytest.approx(factor * plain.predict(world.rows))
    assert moved.predict(world.rows).mean() == pytest.approx(world.y.mean())


def test_with_patience_the_best_weights_on_what_is_held_out_are_kept(world):
    early = np.flatnonzero(world.rows.formed_at < 200 * DAY)
    late = np.flatnonzero(world.rows.formed_at >= 202 * DAY)
    net = model(patience=1, epochs=8, learning_rate=0.5)
    assert net.validates and not model().validates
    held_out = world.rows.take(late), world.y[late]
    fitted = net.fit(world.rows.take(early), world.y[early], validation=held_out)
    told = fitted.training
    assert told.best == 1 + int(np.argmin(told.validation_loss))
    assert told.epochs == min(told.best + 1, 8)
    unit = fitted.trained.unit
    forecast, value = fitted.predict(world.rows.take(late)) / unit, world.y[late] / unit
    nll = 0.5 * np.log(2 * np.pi) + np.log(forecast) + 0.5 * (value / forecast) ** 2
    assert min(told.validation_loss) == pytest.approx(nll.mean(), rel=0.02)  # purged: 2 days apart


def test_a_horizon_of_several_steps_and_a_loss_that_is_no_number_are_named(world, monkeypatch):
    far = make_model("deepvol", DeepVolParams(**TINY), make_task("5d", every="1d", steps=5, bars=1))
    with pytest.raises(ModelError, match="horizon: got 5d, wanted one that ends at the next"):
        far.fit(world.rows, world.y)
    nothing = float("nan")
    monkeypatch.setattr(
        "harness.models.nets.universal.gaussian_nll", lambda sigma, _: sigma * nothing
    )
    with pytest.raises(ModelError, match="the loss of epoch 1 is not a number"):
        model().fit(world.rows, world.y)


def test_an_estimate_grows_with_epochs_and_leaves_pretraining_out(
    world,
):
    own = model(epochs=50).estimate(1_000, 0)
    assert own.most == own.typical > 0.0
    given = pretraining_rows(world, ("ret_1d",), int(world.resolved_at.max()), DAY, holds_out=False)
    pupil = model(trains_on="source", epochs=50)
    assert isinstance(pupil, PretrainedModel) and isinstance(pupil, TimedPretraining)
    assert pupil.pretraining_time(given).most > 3.0 * pupil.estimate(1_000, 0).most


# --- lessons


def walk(world: Samples, tmp_path: Any, monkeypatch: Any, **changes: Any) -> tuple[Any, list[int]]:
    """A fit on the world taught by five other series, and the seeds of the lessons given."""
    from harness.models.deepvol import DeepVol

    pretraining: list[int] = []
    teach = DeepVol.pretrained

    def counted(self: Any, given: Any, *, seed: int = 0) -> Any:
        pretraining.append(seed)
        return teach(self, given, seed=seed)

    monkeypatch.setattr(DeepVol, "pretrained", counted)
    source = samples([garch_returns(300, 50 + seed)[0] for seed in range(5)])
    days, scheme = parse_duration("90d"), Scheme(200 * DAY, train_from=0)
    (window,) = make_windows(scheme, test=days, step=days, span_end=299 * DAY, embargo=DAY)
    fold = make_folds(world, [window])[0]
    net = model(trains_on="source", **changes)
    store = FitCache(tmp_path, {"net": net.pretraining_key})
    usual = Settings(DAY, LEVEL_SIGMA, seed=1, store=store, source=source)

    def fit(world: Samples = world, **settings: Any) -> Any:
        return fit_fold("net", net, world, replace(usual, **settings), fold)

    return fit, pretraining


def test_a_pretrained_model_forecasts_with_what_it_learned_and_a_rerun_learns_nothing(
    world, tmp_path, monkeypatch
):
    fit, pretraining = walk(world, tmp_path, monkeypatch)
    first = fit()
    assert pretraining == [1] and first.report.training.train_loss
    again = fit()
    assert pretraining == [1] and again.yhat.tobytes() == first.yhat.tobytes()
    assert again.report.kept == 1
    assert again.report.training.train_loss == first.report.training.train_loss
    # The panel's rows teach nothing: other training rows, the same weights.
    assert fit(store=None, seed=2).yhat.tobytes() != first.yhat.tobytes()


def test_a_changed_return_before_the_test_changes_the_forecasts_but_no_pretraining(
    world, tmp_path, monkeypatch
):
    fit, pretraining = walk(world, tmp_path, monkeypatch)
    first = fit()
    values = world.rows.history.values.copy()
    values[0, 195] += 0.03  # of a row that is no test row: the state runs through it
    X = values[0, world.rows.at][:, None]
    history = replace(world.rows.history, values=values)
    moved = replace(world, rows=replace(world.rows, X=X, history=history))
    second = fit(world=moved)
    assert pretraining == [1]
    assert second.yhat.tobytes() != first.yhat.tobytes()
    assert second.report.kept == 0


def test_what_resolves_after_the_cut_less_the_embargo_teaches_nothing(world, tmp_path, monkeypatch):
    fit, _ = walk(world, tmp_path, monkeypatch)
    source = samples([garch_returns(300, 50 + seed)[0] for seed in range(5)])
    late = source.rows.formed_at > 199 * DAY
    X = np.where(late[:, None], 9.0, source.rows.X)
    other = replace(source, rows=replace(source.rows, X=X))
    first, second = (fit(store=None, source=s) for s in (source, other))
    assert first.yhat.tobytes() == second.yhat.tobytes()
    early = np.where(source.rows.formed_at[:, None] < 50 * DAY, 0.1, source.rows.X)
    third = fit(store=None, source=replace(source, rows=replace(source.rows, X=early)))
    assert third.yhat.tobytes() != first.yhat.tobytes()


def test_a_pretraining_holds_rows_out_for_a_pretrained_model_with_patience_alone(world):
    limit = int(world.resolved_at.max())
    whole = pretraining_rows(world, ("ret_1d",), limit, DAY, holds_out=False)
    assert whole.y.size == world.y.size and not whole.held_out_y.size
    apart = pretraining_rows(world, ("ret_1d",), limit, DAY)
    assert apart.held_out_y.size > 400
    assert (
        model(trains_on="source", patience=2).holds_out and not model(trains_on="source").holds_out
    )
    assert isinstance(model(), Recursive)
    words = {
        model(trains_on=t, rescale=r).pretraining_key
        for t in ("source", "panel")
        for r in (True, False)
    }
    assert len(words) == 1
    assert model(width=9).pretraining_key not in words


def test_a_log_target_is_the_logarithm_of_the_same_forecast(world):
    task = make_task("1d", every="1d", steps=1, bars=1, scale=LOG_SIGMA)
    log = make_model("deepvol", DeepVolParams(**TINY), task).fit(world.rows, world.y)
    level = model().fit(world.rows, world.y)
    assert np.exp(log.predict(world.rows)) == pytest.approx(level.predict(world.rows))
