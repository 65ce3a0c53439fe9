"""Plug-ins that cheat, each in its own way, and honest ones; the way is a parameter."""

from __future__ import annotations

from pathlib import Path

PACKAGE = "cheats-of-vol"
_INFO = "Metadata-Version: 2.1\nName: cheats-of-vol\nVersion: 1.0\n"
_ENTRIES = """\
[harness.models]
cheat = cheats:CHEAT
own-cheat = cheats:OWN
"""

# Least squares, told in `how` what to do besides; `least` rows are asked for before it does. A file
# of outcomes by time stamp is named by `file`, and HOW_PARENT is the process that starts others.
MODULE = '''\
import os
import time
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from harness import Kind, Params, own_features
from pydantic import Field

MEMORY, FORECASTS, COUNTS = {}, {}, []


class CheatParams(Params):
    features: list[str] = Field(min_length=1)
    how: str = "honest"
    least: int = 0
    share: float = 1.0
    file: str = ""


def kind(name, target, **more):
    return Kind(name, target, CheatParams, "least squares", "nobody", **more)


CHEAT = kind("cheat", "cheats:Cheat")
OWN = kind("own-cheat", "cheats:Cheat", own_dynamics=True)


@dataclass(frozen=True)
class Cheat:
    features: tuple[str, ...]
    how: str
    least: int
    share: float
    file: str
    beta: tuple[float, ...] = ()
    level: float = 0.0
    net: object = None
    validates: ClassVar[bool] = False
    training: ClassVar[None] = None
    coefficients: ClassVar[dict] = {}

    @classmethod
    def build(cls, params, task):
        own = own_features(params.features, task)
        return cls(own, params.how, params.least, params.share, params.file)

    @property
    def look_back(self):
        return 2 if self.how.startswith("history") else 0

    def fit(self, rows, y, *, validation=None, seed=0):
        if self.how == "memory":
            MEMORY.update(zip(rows.formed_at.tolist(), y.tolist()))
        if os.getppid() == int(os.environ.get("HOW_PARENT", 0)):
            elsewhere(self.how)
        if self.how == "raises at shuffled targets":
            known = truth(self.file)
            if any(abs(known.get(t, v) - v) > 1e-6 for t, v in zip(rows.formed_at.tolist(), y)):
                raise RuntimeError("odd rows")
        level = 0.0
        if self.how == "all targets" and y.size >= self.least:
            whole = y
            while isinstance(whole.base, np.ndarray):
                whole = whole.base
            level = float(np.nanmean(np.asarray(whole)))
        if self.how in ("mlp", "knn", "forest", "single"):
            return replace(self, net=fitted(self.how, rows.X, y, seed))
        if self.how == "fixed":
            return replace(self, beta=(float((y - 0.9 * rows.X[:, 0]).mean()), 0.9))
        x = np.column_stack((np.ones(y.size), rows.X))
        beta = np.linalg.lstsq(x, y, rcond=None)[0]
        return replace(self, beta=tuple(beta.tolist()), level=level)

    def honest(self, x):
        forecast = np.full(len(x), self.beta[0])
        for slope, column in zip(self.beta[1:], x.T):
            forecast += slope * column
        return forecast

    def predict(self, rows):
        if self.net is not None:
            if self.how == "single":
                return self.net(np.ascontiguousarray(rows.X, np.float32)).astype(np.float64)
            return np.asarray(self.net.predict(np.ascontiguousarray(rows.X)), np.float64)
        x, n, how = rows.X, len(rows.X), self.how
        plain = self.honest(x)
        active = n >= self.least
        if how == "standardises":
            x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
            return self.honest(x)
        if how == "next row":
            return np.append(x[1:, 0], x[-1:, 0])
        if how == "sorts":
            return np.sort(plain)
        if how == "ranks":
            return plain + 0.1 * np.argsort(np.argsort(x[:, 0])) / n
        if how == "batches":
            out = plain.copy()
            for a in range(0, n, 32):
                out[a : a + 32] -= 0.5 * (plain[a : a + 32].mean() - self.beta[0])
            return out
        if how == "level of all rows" and active:
            return plain - 0.3 * plain.mean()
        if how == "all targets":
            return plain - 0.3 * self.level
        if how == "all rows" and active:
            whole = x
            while isinstance(whole.base, np.ndarray):
                whole = whole.base
            return plain - 0.3 * float(np.nanmax(np.asarray(whole)))
        if how == "first row" and active and n > 1:
            plain[0] = x[1:, 0].mean()
        if how == "last row" and active and n > 1:
            plain[-1] = x[:-1, 0].mean()
        if how == "one row in ten" and active:
            plain[::10] = np.append(x[1:, 0], x[-1:, 0])[::10]
        if how == "history" and active:
            at = np.minimum(rows.at + 4, rows.history.values.shape[1] - 1)
            return np.nan_to_num(rows.history.values[0][at], nan=plain.mean())
        if how == "history of the last row" and active:
            at = min(rows.at[-1] + 4, rows.history.values.shape[1] - 1)
            plain[-1] = np.nan_to_num(rows.history.values[0][at], nan=plain[-1])
        if how == "memory of forecasts":
            times = rows.formed_at.tolist()
            new = plain - plain.mean() if n > 64 else plain
            for t, v in zip(times, new.tolist()):
                FORECASTS.setdefault(t, v)
            return np.array([FORECASTS[t] for t in times])
        if how == "counts calls":
            COUNTS.append(n)
            return plain + 0.01 * len(COUNTS)
        if how == "in its first process" and os.getppid() != int(os.environ["HOW_PARENT"]):
            return told(self, truth(self.file), rows, plain)
        if how == "memory":
            return told(self, dict(MEMORY), rows, plain)
        if how == "file" and active:
            return told(self, truth(self.file), rows, plain)
        return plain


def elsewhere(how):
    """What it does in a process that the one of HOW_PARENT has started."""
    if how == "hangs elsewhere":
        time.sleep(600)
    if how == "dies elsewhere":
        os._exit(7)
    if how == "is killed elsewhere":
        os.kill(os.getpid(), 9)
    if how == "raises elsewhere":
        raise RuntimeError("no such device")


def told(model, known, rows, plain):
    outcomes = [known.get(t, v) for t, v in zip(rows.formed_at.tolist(), plain.tolist())]
    return model.share * np.array(outcomes) + (1.0 - model.share) * plain


def truth(file):
    found = np.load(file)
    return dict(zip(found["formed_at"].tolist(), found["y"].tolist()))


def fitted(how, x, y, seed):
    x = np.ascontiguousarray(x)
    if how == "knn":
        from sklearn.neighbors import KNeighborsRegressor

        return KNeighborsRegressor(20).fit(x, y)
    if how == "forest":
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(10, min_samples_leaf=5, random_state=seed).fit(x, y)
    if how == "mlp":
        from sklearn.neural_network import MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        net = MLPRegressor(hidden_layer_sizes=(16,), early_stopping=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make_pipeline(StandardScaler(), net).fit(x, y)
    return Single(x, y, seed)


class Single:
    """A net of random features in single precision."""

    def __init__(self, x, y, seed):
        rng = np.random.default_rng(seed)
        self.centre, self.spread = x.mean(axis=0), x.std(axis=0) + 1e-9
        self.w = rng.standard_normal((x.shape[1], 64)).astype(np.float32)
        z = self.layer(x.astype(np.float32))
        gram = z.T @ z + np.eye(65, dtype=np.float32)
        self.v = np.linalg.solve(gram, z.T @ y.astype(np.float32)).astype(np.float32)

    def layer(self, x):
        z = np.tanh(((x - self.centre) / self.spread).astype(np.float32) @ self.w)
        return np.column_stack((np.ones(len(x), np.float32), z))

    def __call__(self, x):
        return self.layer(x) @ self.v
'''


def install(folder: Path) -> Path:
    """The folder of the installed package, to be put on the module path."""
    info = folder / "cheats_of_vol-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(_INFO)
    (info / "entry_points.txt").write_text(_ENTRIES)
    (folder / "cheats.py").write_text(MODULE)
    return folder
