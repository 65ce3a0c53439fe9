"""Numbers that other software published, and how this code computes them.

`harness verify --published` and the tests compare both. The series are under HARNESS_DATA, except
those that come with the arch package; several may not be redistributed, so none is in the project.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harness.errors import HarnessError
from harness.measures.estimate import estimate
from harness.panel.spec import PanelSpec
from harness.reanalysis.published_fits import (
    bars_of_returns,
    har,
    in_sample,
    panel_of,
    parquet,
    r_squared,
    rolled,
    volatility_model,
)
from harness.reanalysis.published_walk import harq_over_har
from harness.samples.target_scale import TargetScale
from harness.types import F64

# The errors of a file that is damaged, or is another one of the same name.
_UNREADABLE = (
    HarnessError, pl.exceptions.PolarsError, OSError, ValueError, TypeError, LookupError,
    ArithmeticError,
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """Figures of one source from one file, and the function that computes them in that order.

    `file` is under HARNESS_DATA, None for data that is always available. `figures` are (what,
    value); ours agree within `rel` of the value or `abs`, about half a unit of the last published
    digit.
    """

    name: str
    source: str
    file: str | None
    figures: Sequence[tuple[str, float]]
    make: Callable[[Path], Sequence[float]]
    rel: float = 0.0
    abs: float = 0.0


@dataclass(frozen=True)
class Checked:
    """A published figure and ours, `got`; `ok` says whether they agree.

    `skipped` says why ours was not computed (`ok` is None), `failed` why it could not be (`ok` is
    False); `got` is None then.
    """

    what: str
    source: str
    wanted: float
    got: float | None = None
    ok: bool | None = None
    skipped: str | None = None
    failed: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `harness verify --published --json` shows it."""
        difference = None if self.got is None else self.got - self.wanted
        return {**vars(self), "difference": difference}


def check_published(data: Path | None = None) -> list[Checked]:
    """All figures of all references; `data` defaults to HARNESS_DATA."""
    if data is None and (folder := os.environ.get("HARNESS_DATA")):
        data = Path(folder)
    return [checked for reference in REFERENCES for checked in check(reference, data)]


def check(reference: Reference, data: Path | None) -> list[Checked]:
    """The figures of one reference, each with ours, or with why there is none.

    A file that is unreadable, or another one of the same name, fails only its own figures.
    """
    r, file = reference, Path()
    if r.file is not None:
        if data is None:
            return _without(r, skipped=f"{r.name}: HARNESS_DATA is not set")
        file = data.resolve() / r.file
        if not file.is_file():
            return _without(r, skipped=f"{r.name}: {r.file} is not under {data}")
    try:
        made = r.make(file)
    except _UNREADABLE as error:
        why = " ".join(str(error).split())[:200]
        return _without(r, ok=False, failed=f"{r.name}: {r.file or 'its data'}: {why}")
    return [
        Checked(f"{r.name}: {what}", r.source, wanted, float(got), _agrees(r, wanted, float(got)))
        for (what, wanted), got in zip(r.figures, made, strict=True)
    ]


def _without(reference: Reference, **why: Any) -> list[Checked]:
    """The figures of a reference without ours, and why."""
    r = reference
    return [Checked(f"{r.name}: {what}", r.source, wanted, **why) for what, wanted in r.figures]


def _agrees(reference: Reference, wanted: float, got: float) -> bool:
    return abs(got - wanted) <= max(reference.rel * abs(wanted), reference.abs)


def _har_spy(file: Path) -> list[float]:
    spec = panel_of(parquet(file), {"rvar": ("RV5", "variance")})
    return in_sample(spec, "rvar", har("rvar"))[0]


def _har_sp500(file: Path) -> list[float]:
    """HAR, and the ratio of MSE of HARJ, which adds the last day's jump variation, to HAR."""
    spec = panel_of(parquet(file), {"rvar": ("RV", "variance"), "jump": ("RJ", "none")})
    found, y, e = in_sample(spec, "rvar", har("rvar"))
    _, _, with_jump = in_sample(spec, "rvar", [*har("rvar"), "jump_1d"])
    return [*found, y.size, float(np.mean(with_jump**2) / np.mean(e**2))]


def _fit_sp500(file: Path) -> list[float]:
    spec = panel_of(parquet(file), {"rvar": ("RV", "variance")})
    return [r_squared(*in_sample(spec, "rvar", har("rvar"))[1:])]


def _harq_spy(file: Path) -> list[float]:
    """The package centres RQ by its mean over all days, this code by that of the training rows.

    The training rows lack the first month and the last day. Forecasts do not depend on the centre.
    """
    spec = panel_of(parquet(file), {"rvar": ("RV5", "variance"), "quart": ("RQ5", "none")})
    found = _harq_coefficients(spec)
    mean = pl.read_parquet(file)["RQ5"].mean()
    assert isinstance(mean, float), "RQ5 is a column of numbers"
    centre = float(np.sqrt(mean))
    return [found[0], found[1] + found[4] * centre, *found[2:]]


def _harq_plain(file: Path) -> list[float]:
    spec = panel_of(parquet(file), {"rvar": ("RV5", "variance"), "quart": ("RQ5", "none")})
    return [_harq_coefficients(spec)[1]]


def _harq_coefficients(spec: PanelSpec) -> list[float]:
    more = {"quarticity": "quart_1d", "centre": "none"}
    return in_sample(spec, "rvar", har("rvar"), kind="harq", **more)[0]


def _rolled_sp500(file: Path) -> list[float]:
    extra = {"rvar": ("RV", "variance"), "quart": ("RQ", "none"), "bvar": ("BPV", "none")}
    spec = panel_of(parquet(file), extra)
    harq = {"features": har("rvar"), "insanity": True, "quarticity": "quart_1d"}
    level = rolled(
        spec,
        TargetScale("level", "variance", "none", 1e-6),
        {
            "har": ("ols", {"features": har("rvar"), "insanity": True}),
            "char": ("ols", {"features": har("bvar"), "insanity": True}),
            "harq": ("harq", harq),
            "walk": ("persistence", {}),
        },
    )
    logs = ["log(rvar_1d)", "mean(log(rvar_1d), 5)", "mean(log(rvar_1d), 22)"]
    asked = {"log": ("ols", {"features": logs, "insanity": True})}
    log = rolled(spec, TargetScale("log", "variance", "naive", 1e-6), asked)
    return [*level["har"], *level["harq"], *log["log"], *level["walk"]]


def _walk_sp500(file: Path) -> list[float]:
    extra = {"rvar": ("RV", "variance"), "quart": ("RQ", "none")}
    return harq_over_har(panel_of(parquet(file), extra))


def _char_sp500(file: Path) -> list[float]:
    spec = panel_of(parquet(file), {"rvar": ("RV", "variance"), "bvar": ("BPV", "none")})
    asked = {
        name: ("ols", {"features": har(of), "insanity": True})
        for name, of in (("har", "rvar"), ("char", "bvar"))
    }
    found = rolled(spec, TargetScale("level", "variance", "none", 1e-6), asked)
    return np.divide(found["char"], found["har"]).tolist()


def _days(file: Path, column: str) -> list[F64]:
    """5-minute closes of each of the days of the highfrequency package's sample."""
    frame = pl.read_parquet(file).filter(pl.col("timestamp").dt.minute() % 5 == 0)
    frame = frame.sort("timestamp").with_columns(day=pl.col("timestamp").dt.date())
    return [day[column].to_numpy() for day in frame.partition_by("day")]


def _robust(file: Path) -> list[float]:
    """The package puts a zero return first: 79 returns a day."""
    return [
        sum(c.size * estimate(name, {"close": np.append(c[0], c)}) ** 2 for c in _days(file, of))
        for name in ("medrv", "minrv")
        for of in ("STOCK", "MARKET")
    ]


def _robust_plain(file: Path) -> list[float]:
    days = _days(file, "STOCK")
    return [sum((c.size - 1) * estimate("medrv", {"close": c}) ** 2 for c in days)]


def _garch(file: Path) -> list[float]:
    bars = bars_of_returns(0.01 * pl.read_parquet(file)["ret"].to_numpy())
    return volatility_model(bars, "garch", backcast="sample")[0].tolist()


def _garch_backcast(file: Path) -> list[float]:
    bars = bars_of_returns(0.01 * pl.read_parquet(file)["ret"].to_numpy())
    return [volatility_model(bars, "garch")[0][2]]


def _har_vix(_: Path) -> list[float]:
    source = 'kind = "arch"\ndataset = "vix"'
    spec = panel_of(source, {"vix": ("vix", "sigma")}, ts="Date")
    found, y, e = in_sample(spec, "vix", har("vix"))
    return [*found, r_squared(y, e)]


_LAGS = ("intercept", "day", "week", "month")
_SPY = "reference/highfrequency_spyrm.parquet"
_SP500 = "reference/bpq2016_sp500rm.parquet"
_MINUTES = "reference/highfrequency_sample_one_minute.parquet"
_DMBP = "reference/rugarch_dmbp.parquet"


def _named(names: Sequence[str], *values: float) -> list[tuple[str, float]]:
    return list(zip(names, values, strict=True))


REFERENCES = (
    Reference(
        "HAR of SPY", "R highfrequency", _SPY,
        _named(_LAGS, 1.160000921e-05, 0.2953165771, 0.2813334173, 0.1471632893),
        _har_spy, rel=5e-9,
    ),
    Reference(
        "HAR of S&P 500", "R HARModel", _SP500,
        _named(
            (*_LAGS, "n", "MSE HARJ/HAR"),
            0.1123142, 0.2273436, 0.4903494, 0.1863766, 4_074, 0.96833979,
        ),
        _har_sp500, abs=6e-8,
    ),
    Reference("HAR of S&P 500", "R HARModel", _SP500, [("R²", 0.5224)], _fit_sp500, abs=5e-5),
    Reference(
        "HARQ of SPY", "R highfrequency", _SPY,
        _named(
            (*_LAGS, "day x sqrt(RQ)"),
            3.285615865e-06, 0.9754440119, 7.909932136e-03, 2.366579823e-02, -0.3881445184,
        ),
        _harq_spy, rel=5e-9,
    ),
    Reference(
        "HARQ of SPY, not centred", "R highfrequency", _SPY, [("day", 1.0858)], _harq_plain,
        abs=5e-5,
    ),
    Reference(
        "rolling S&P 500", "Bollerslev et al. 2016", _SP500,
        [
            ("HAR MSE", 3.219311), ("HAR QLIKE", 0.139826),
            ("HARQ MSE", 2.661419), ("HARQ QLIKE", 0.142193),
            ("log-HAR MSE", 2.612362), ("log-HAR QLIKE", 0.132988),
            ("random walk MSE", 3.695778), ("random walk QLIKE", 0.168509),
        ],
        _rolled_sp500, abs=6e-7,
    ),
    Reference(
        "rolling S&P 500", "R HARModel", _SP500,
        [("MSE CHAR/HAR", 0.95830776), ("QLIKE CHAR/HAR", 1.02005358)], _char_sp500, abs=2e-8,
    ),
    Reference(
        "expanding S&P 500, as a hypothesis", "R HARModel", _SP500,
        [
            ("forecasts", 3_096), ("first training rows", 978),
            ("MSE HARQ/HAR", 0.89439887), ("QLIKE HARQ/HAR", 0.88091626),
        ],
        _walk_sp500, abs=1e-8,
    ),
    Reference(
        "sum over 22 days", "R highfrequency", _MINUTES,
        [
            ("medRV STOCK", 0.003387052289), ("medRV MARKET", 0.001451676499),
            ("minRV STOCK", 0.003344205602), ("minRV MARKET", 0.001438168861),
        ],
        _robust, abs=6e-13,
    ),
    Reference(
        "sum over 22 days, no zero first", "R highfrequency", _MINUTES,
        [("medRV STOCK", 0.003230811)], _robust_plain, abs=6e-10,
    ),
    # The benchmark of Fiorentini, Calzolari & Panattoni (1996): the recursion starts at the mean
    # squared deviation from mu; returns are in per cent.
    Reference(
        "GARCH of DM/GBP", "Bollerslev & Ghysels 1996", _DMBP,
        _named(("mu", "omega", "alpha", "beta"), -0.00619041, 0.0107613, 0.153134, 0.805974),
        _garch, rel=1e-5,
    ),
    Reference(
        "GARCH of DM/GBP, backcast", "arch", _DMBP, [("alpha", 0.1455)], _garch_backcast, abs=5e-5
    ),
    Reference(
        "HAR of VIX", "arch HARX", None,
        _named((*_LAGS, "R²"), 0.6335117, 0.9286753, -0.0317589, 0.0612488, 0.876346),
        _har_vix, abs=6e-7,
    ),
)  # fmt: skip
