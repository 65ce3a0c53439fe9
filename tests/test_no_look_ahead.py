"""Nothing known at an origin may depend on what comes after it, bit for bit.

Every bar after an origin is replaced by noise, the whole chain is run again, and whatever was
known by the origin must not have changed. Each table's entries are all probed: a new measure,
feature function, kind of model or metric is under test by being in its table.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from support.worlds import DAY, LOG_SIGMA, START, Nearest, make_bars, make_plan, make_task, sessions

from harness.durations import NS_PER_MINUTE, parse_duration
from harness.measures.cascade import CascadePlan, measure
from harness.measures.table import MEASURES
from harness.models.protocol import Forecaster, make_model
from harness.models.table import KINDS
from harness.samples import features as feature_table
from harness.samples.feature_functions import FUNCTIONS, Function
from harness.samples.features import parse_feature
from harness.samples.peers import side_by_side
from harness.samples.rows import LookBack, OriginMeasures, build_samples
from harness.samples.splits import Fitting, Scheme, make_windows
from harness.scores.distribution.adaptive import quantiles_of_rows
from harness.scores.distribution.scores import laws_of_rows
from harness.scores.metrics import METRICS
from harness.scores.regimes import Terciles, mark, parse_condition, z_scores
from harness.scores.risk.forecasts import DecidedTail, tail_forecast
from harness.scores.scoring import score, score_groups, series
from harness.types import F64, I64, Bars, Forecasts, Measured, Rows
from harness.walk.fold_fit import Settings
from harness.walk.residuals.kept import ResidualPlan
from harness.walk.residuals.laws import LAWS, Laws
from harness.walk.residuals.tails import RESIDUALS, Tails
from harness.walk.walk_forward import walk_forward

HOUR = 60 * NS_PER_MINUTE
ORIGINS = 24
TINY_NET = {
    "features": ["log(rv_h)", "log1p(pk_h)"],
    "sequence_length": 3,
    "layers": 1,
    "width": 4,
    "batch": 128,
    "epochs": 2,
    "device": "cpu",
}
TINY_TRANSVOL = {
    **{key: value for key, value in TINY_NET.items() if key != "layers"},
    "heads": 2,
    "encoder_layers": 1,
    "window": 3,
    "factor": 1.0,
    "sequence_length": 4,
}
# How each kind of model is written in the probe: a new kind needs its line.
PARAMS: dict[str, dict[str, object]] = {
    "persistence": {},
    "moving-average": {"window": 3},
    "ewma": {"decay": 0.8},
    "ols": {"features": ["log(rv_h)", "lag(log(rv_h), 6)", "log1p(j_h)"]},
    "wls": {"features": ["log(rv_h)"], "weight": "1 / square(rv_h)", "insanity": True},
    "harq": {
        "features": ["log(rv_h)", "lag(log(rv_h), 6)"],
        "quarticity": "abs(flow_h)",
        "insanity": True,
    },
    "garch": {"backcast": "sample"},
    "gjr": {"dist": "t", "rescale": False},
    "egarch": {},
    "log-ols": {"features": ["log(rv_h)", "lag(log(rv_h), 6)"]},
    "arfima": {"filter": 10},
    "sklearn": {
        "class": "sklearn.tree.DecisionTreeRegressor",
        "params": {"max_leaf_nodes": 8},
        "features": ["log(rv_h)", "log1p(pk_h)"],
        "sequence_length": 3,
    },
    "lightgbm": {
        "features": ["log(rv_h)", "log1p(j_h)"],
        "rounds": 5,
        "min_data_in_leaf": 5,
        "early_stopping": 3,
    },
    "lstm": {**TINY_NET, "attention": True},
    "gru": {**TINY_NET, "standardise": "symbol"},
    "transfer": {
        **TINY_NET,
        "strategy": "full",
        "heads": 2,
        "lesson_batch": 128,
        "lesson_epochs": 2,
    },
    "hybrid": {
        **TINY_NET,
        "form": "dynamic",
        "har": ["log(rv_h)", "mean(log(rv_h), 5)"],
        "heads": 2,
        "lesson_batch": 128,
        "lesson_epochs": 2,
    },
    "transvol": TINY_TRANSVOL,
    "stacked": {
        "first": {"kind": "ols", "features": ["log(rv_h)"]},
        "features": ["log(rv_h)", "log1p(j_h)"],
        "rounds": 5,
        "min_data_in_leaf": 5,
    },
    "deepvol": {
        "layers": 1,
        "width": 4,
        "sequence_length": 30,
        "batch": 2,
        "least_stocks": 1,
        "most_stocks": 1,
        "epochs": 1,
        "rescale": True,
        "device": "cpu",
    },
}
# Nets are probed where the extra that they need is installed.
NETS = tuple(name for name, kind in KINDS.items() if kind.library == "torch")
MISSING = () if importlib.util.find_spec("torch") else NETS
# When a value was known (n,) and the value (n,), by table, entry and column.
Known = dict[tuple[str, str, str], tuple[I64, np.ndarray]]
Measurer = Callable[[Bars, CascadePlan], Measured]


def feature_of(function: Function) -> str:
    """The function with some constants: `mean(rv_4h, 3, 3)`."""
    constants = ["3" if c.whole else "0.8" for c in function.constants]
    column = "ret_4h" if function.name == "negative" else "rv_4h"  # of rv it is always 0
    return f"{function.name}({', '.join([column, *constants])})"


def models_of(horizon: str) -> dict[str, Forecaster]:
    missing = set(KINDS) - set(PARAMS)
    assert not missing, f"add parameters for {sorted(missing)} to PARAMS"
    every, steps, bars = ("1d", 5, 1) if horizon == "5d" else (horizon, 1, 240)
    task = make_task(horizon, every=every, steps=steps, bars=bars)
    kinds = [k for k in KINDS if k not in MISSING and (steps == 1 or not KINDS[k].one_step)]
    return {k: make_model(k, KINDS[k].params(**PARAMS[k]), task) for k in kinds}


def test_a_kind_that_reads_the_target_from_decision_to_decision_says_so():
    task = make_task("4h", every="2h", steps=2, bars=120)
    for name, kind in KINDS.items():
        features = make_model(name, kind.params(**PARAMS[name]), task).features
        assert kind.periods == any("rv_2h" in feature for feature in features), name


class World:
    """A small panel and how its chain is run, from bars to per-window scores."""

    def __init__(self, bars: list[Bars], first_test: int, interval: str | None = None) -> None:
        self.bars, self.first_test = bars, first_test
        self.end = max(int(b.known_at(np.int64(b.n - 1))) for b in bars)
        daily = bars[0].ts is not None
        self.own, self.horizon, days = ("5d", "5d", "20d") if daily else ("4h", "4h", "10d")
        # A GARCH wants a hundred returns.
        self.train, self.test = parse_duration("170d" if daily else "20d"), parse_duration(days)
        self.held_out = parse_duration("20d" if daily else "3d")
        self.plan = make_plan(
            periods=True,
            every="1d" if daily else "4h",
            scales=["3d", "5d"] if daily else ["4h", "1d"],
            horizons=[self.horizon],
            measures=[*MEASURES, "flow"],
            calendar="sessions" if daily else "24/7",
            extra={"flow": "none"},
            interval=interval,
            jump_alpha=0.3,  # a window of three bars seldom rejects at less
            stepwise=["ret"],
            returns=True,
        )

    def known(
        self,
        bars: Iterable[Bars],
        *,
        measurer: Measurer = measure,
        models: Mapping[str, Forecaster] | None = None,
    ) -> Known:
        """Everything the chain gives, and when each number was known."""
        found: Known = {}
        measured = [measurer(b, self.plan) for b in bars]
        # A symbol of twice the values, so that functions across symbols see two.
        other = replace(measured[0], columns={k: 2.0 * v for k, v in measured[0].columns.items()})
        *by_symbol, _ = side_by_side([*measured, other], self.plan, 1e-6)
        for m, d in zip(measured, by_symbol, strict=True):
            for column, values in m.columns.items():
                name = self.plan.columns[column][0]
                found["measure", name, f"{m.symbol} {column}"] = m.known_at, values
            formed = m.known_at[m.origins]
            for name, function in FUNCTIONS.items():
                text = feature_of(function).replace("4h", self.own)
                found["feature", name, m.symbol] = formed, d.feature(parse_feature(text))
        self._walked(found, by_symbol, models or models_of(self.horizon))
        return found

    def _walked(
        self, found: Known, by_symbol: list[OriginMeasures], models: Mapping[str, Forecaster]
    ) -> None:
        length = parse_duration(self.horizon).ns
        texts = dict.fromkeys(f for m in models.values() for f in m.features)
        samples = build_samples(
            by_symbol,
            horizon=self.horizon,
            bars=self.plan.windows[self.horizon],
            target=f"rv_{self.horizon}",
            scale=LOG_SIGMA,
            features=[parse_feature(t) for t in texts],
            look_back=[
                LookBack(m.look_back, [parse_feature(t) for t in m.features])
                for m in models.values()
                if m.look_back
            ],
            returns=True,
        )
        scheme = Scheme(self.first_test, train=self.train, validation=self.held_out)
        spans = [
            make_windows(
                scheme,
                test=self.test,
                step=self.test,
                span_end=self.end,
                embargo=length,
                beyond=beyond,
            )
            for beyond in (False, True)
        ]
        scopes = {name: KINDS[name].scopes[0] if name in KINDS else "pooled" for name in models}
        fittings = {name: Fitting(*spans, scope=scope) for name, scope in scopes.items()}
        tails = Tails((0.05,), RESIDUALS, self.plan.windows[self.horizon], LOG_SIGMA)
        # What is taught comes from the same bars, whose noise must not reach an earlier lesson.
        laws = Laws((0.2, 0.8), LAWS)
        keep = ResidualPlan(tails, laws)
        settings = Settings(length, LOG_SIGMA, keep=keep, source=samples)
        part = walk_forward(models, samples, spans[0], fittings, settings)
        outcome, values_of = series(part, LOG_SIGMA, decided=DecidedTail(tails, 0, 0))
        scores = score(part, LOG_SIGMA, outcome, values_of)
        last = [part.resolved_at[a:b].max() for a, b in itertools.pairwise(part.edges)]
        cuts = np.array([p.cut for p in part.proofs])
        for name in models:
            found["model", name, "forecast"] = part.formed_at, part.yhat[name]
            fit = part.fits[name]
            for stated, values in zip(fit.stated, fit.shifted.T, strict=True):
                found["model", name, stated] = cuts, values
            for metric in METRICS:
                found["metric", metric, name] = np.array(last), scores.by_window(name, metric)
            for law, residuals in enumerate(RESIDUALS):
                risk = tail_forecast(part, name, values_of[name], tails, law, 0)
                found["risk", residuals, f"{name} var"] = part.formed_at, risk.var
                found["risk", residuals, f"{name} es"] = part.formed_at, risk.es
            for place, law in enumerate(LAWS):
                own, row = laws_of_rows(fit, part, place)
                columns = {str(k): own[row, k] for k in (0, 1, 2, 50)}
                for level, quantile in zip(
                    laws.levels, quantiles_of_rows(part, name, laws, place).T, strict=True
                ):
                    columns[f"issued {level}"] = quantile
                for column, quantile in columns.items():
                    known = part.formed_at, part.yhat[name] + quantile
                    found["law", law, f"{name} {column}"] = known
        self._grouped(found, by_symbol, part, np.array(last))

    def _grouped(
        self, found: Known, by_symbol: list[OriginMeasures], part: Forecasts, last: I64
    ) -> None:
        """Which group a forecast is in is known with it; a window's group scores when it ended."""
        regimes = {"calm": parse_condition(f"rv_{self.own} < 1e-3"),
                   "thirds": Terciles(parse_feature(f"log(rv_{self.own})"))}  # fmt: skip
        marked = mark(by_symbol, part, regimes)
        outcome, values = series(part, LOG_SIGMA)
        for name, rows in marked.groups.items():
            kind = "terciles" if name.startswith("thirds") else "when"
            flags = np.zeros(part.y.size)
            flags[rows] = 1.0
            found["regime", kind, name] = part.formed_at, flags
            windows = [rows[part.window[rows] == k] for k in range(last.size)]
            for model, figures in score_groups(outcome, values, windows).items():
                found["regime", "scores", f"{name} {model}"] = last, figures
        for d in by_symbol:
            formed = d.measured.known_at[d.measured.origins]
            size = z_scores(d.feature(parse_feature(f"log(rv_{self.own})")), 10)
            found["regime", "shifts", d.measured.symbol] = formed, size


def noised(bars: Bars, origin: int, seed: int) -> Bars:
    """The bars with noise in place of every one that is known only after the origin."""
    rng = np.random.default_rng(seed)
    after = bars.known_at(np.arange(bars.n)) > origin
    jumps = np.exp(rng.normal(0.0, 0.02, bars.n))
    columns = {}
    for name, values in bars.columns.items():
        columns[name] = np.where(after, values * (2.0 * jumps if name == "high" else jumps), values)
    return replace(bars, columns=columns)


def minutes() -> World:
    return World([make_bars(45 * 1_440, seed=1)], START + 23 * DAY)


def panel_of_minutes() -> World:
    late = START + 2 * DAY + 100 * NS_PER_MINUTE
    bars = [make_bars(40 * 1_440, seed=2), make_bars(38 * 1_440, seed=3, symbol="B", start=late)]
    return World(bars, START + 23 * DAY, interval="5m")


def panel_of_sessions() -> World:
    one, two = sessions(200, seed=1), sessions(190, seed=2)
    return World(
        [make_bars(200, seed=4, ts=one), make_bars(190, seed=5, symbol="B", ts=two)],
        START + 200 * DAY,
    )


WORLDS = {f.__name__: f for f in (minutes, panel_of_minutes, panel_of_sessions)}
Probes = list[tuple[int, Known]]


def origins_of(world: World) -> list[int]:
    """Moments over the test span: off the grid, on it, and at the cuts themselves."""
    rng = np.random.default_rng(6)
    length = world.end - world.first_test
    moments = world.first_test + (length * np.sort(rng.random(ORIGINS - 4))).astype(np.int64)
    moments[::3] -= moments[::3] % (4 * HOUR)
    cuts = [world.test.after(world.first_test, k) for k in range(2)]
    return sorted([*map(int, moments), *cuts, world.first_test - DAY, world.end - DAY])


def probe(world: World, **chain: object) -> tuple[Known, Probes]:
    """What is known from the true bars, and from bars that are noise after each origin."""
    truth = world.known(world.bars, **chain)
    probes = [
        (origin, world.known([noised(b, origin, k) for b in world.bars], **chain))
        for k, origin in enumerate(origins_of(world))
    ]
    return truth, probes


@pytest.fixture(scope="module", params=list(WORLDS))
def probed(request: pytest.FixtureRequest) -> tuple[Known, Probes]:
    return probe(WORLDS[request.param]())


def leaks(truth: Known, probes: Probes, table: str, entry: str) -> list[str]:
    """Where the noise after an origin changed what was known by it.

    Asserts that the probe looked: values known before some origin, others changed after it.
    """
    found, before, after = [], 0, 0
    for key, (times, values) in truth.items():
        if key[:2] != (table, entry):
            continue
        for origin, known in probes:
            again_times, again = known[key]
            old = times <= origin
            before += int(np.isfinite(values[old]).sum())
            if not np.array_equal(again_times, times):
                found.append(f"{key} at {origin}: other times")
            elif again[old].tobytes() != values[old].tobytes():
                found.append(f"{key} at {origin}")
            else:
                after += again[~old].tobytes() != values[~old].tobytes()
    assert before, f"no value of {table} {entry} was known by any origin"
    assert found or after, f"no noise ever reached {table} {entry}"
    return found


@pytest.mark.parametrize("name", [*MEASURES, "flow"])
def test_no_measure_looks_ahead(probed, name):
    assert not leaks(*probed, "measure", name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_feature_function_looks_ahead(probed, name):
    assert not leaks(*probed, "feature", name)


@pytest.mark.parametrize("name", KINDS)
def test_no_model_looks_ahead(probed, name):
    if name in MISSING:
        pytest.skip("torch is not installed")
    if KINDS[name].one_step and not any(key[:2] == ("model", name) for key in probed[0]):
        pytest.skip("the horizon of this world is beyond the next decision")
    assert not leaks(*probed, "model", name)


@pytest.mark.parametrize("name", METRICS)
def test_no_score_of_a_finished_window_looks_ahead(probed, name):
    assert not leaks(*probed, "metric", name)


@pytest.mark.parametrize("name", ["when", "terciles", "shifts", "scores"])
def test_no_regime_and_no_score_by_group_looks_ahead(probed, name):
    assert not leaks(*probed, "regime", name)


@pytest.mark.parametrize("name", RESIDUALS)
def test_no_value_at_risk_and_no_shortfall_looks_ahead(probed, name):
    assert not leaks(*probed, "risk", name)


@pytest.mark.parametrize("name", LAWS)
def test_no_quantile_of_a_forecast_looks_ahead(probed, name):
    known = [v for (table, law, _), (_, v) in probed[0].items() if (table, law) == ("law", name)]
    assert any(np.isfinite(values).any() for values in known)
    assert not leaks(*probed, "law", name)


def test_there_are_origins_enough(probed):
    assert len({origin for origin, _ in probed[1]}) >= 20


# Enough to show that the probe itself sees a leak.
FEW = {kind: model for kind, model in models_of("4h").items() if kind in ("persistence", "ols")}


def leaking_measure(bars: Bars, plan: CascadePlan) -> Measured:
    """Realised volatility over its mean of the whole sample."""
    found = measure(bars, plan)
    rv = found.columns["rv_4h"]
    return replace(found, columns={**found.columns, "rv_4h": rv / np.nanmean(rv)})


def test_the_probe_catches_a_measure_scaled_by_the_whole_sample():
    truth, probes = probe(minutes(), measurer=leaking_measure, models=FEW)
    assert leaks(truth, probes, "measure", "rv")
    assert leaks(truth, probes, "model", "ols")
    assert not leaks(truth, probes, "measure", "pk")


def test_the_probe_catches_a_feature_that_selects_on_the_whole_sample(monkeypatch):
    def ranked(x: F64) -> F64:
        return np.argsort(np.argsort(x)) / x.size

    entry = Function("ranked", "share of the sample below", ranked)
    monkeypatch.setitem(feature_table.FUNCTIONS, "ranked", entry)
    truth, probes = probe(minutes(), models=FEW)
    assert leaks(truth, probes, "feature", "ranked")
    assert not leaks(truth, probes, "feature", "log")


class Centred(Nearest):
    """Forecasts about the mean of the test rows, most of which are not known yet."""

    def predict(self, rows: Rows) -> F64:
        return rows.X[:, 0] - rows.X[:, 0].mean()


def test_the_probe_catches_a_model_that_looks_along_its_test_rows():
    models = {"centred": Centred(("log(rv_4h)",)), "nearest": Nearest(("log(rv_4h)",))}
    truth, probes = probe(minutes(), models=models)
    assert leaks(truth, probes, "model", "centred")
    assert not leaks(truth, probes, "model", "nearest")


def test_a_kind_without_parameters_for_the_probe_is_asked_for(monkeypatch):
    monkeypatch.delitem(PARAMS, "ols")
    with pytest.raises(AssertionError, match=r"add parameters for \['ols'\] to PARAMS"):
        models_of("4h")
