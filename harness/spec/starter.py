"""`harness new NAME`: a commented hypothesis that runs as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.errors import UsageError, one_line

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")

_TEXT = '''\
# A hypothesis: a claim, the data, and the rule that accepts or rejects the claim.
# Run it:  harness run {path}      Preview it:  harness plan {path}

[hypothesis]
name = "{name}"
title = "{title}"
# Say what you expect and by how much, before you look.
claim = "The range of the last day and week improves on persistence by 2 points of R² (log)."
# approach = """free text for the card"""

[panel]
name = "sp500-daily"             # harness panel list
# start = "2000-01-01"           # default: the whole panel; end is exclusive
# end = "2019-01-01"

[sample]
every = "1d"                     # a forecast at the end of every bar
scales = ["1d", "5d", "22d"]     # the cascade; counted in sessions for daily bars
measures = ["pk"]                # harness measures
floor = 1e-6                     # smallest sigma before taking logs

[target]
measure = "pk"                   # what is forecast: this measure over the next horizon
scale = "log"                    # or "level"
horizons = ["1d", "5d"]
back = "lognormal"               # back-transformation from logs: naive, lognormal, smearing

[walk_forward]
scheme = "rolling"               # or "expanding"
train = "4y"
test = "1y"
# step = "1y"                    # default: test
embargo = "1d"                   # or the horizon, if that is longer
first_test = "2003-02-01"

[models.persistence]
kind = "persistence"             # harness models

[models.har]
kind = "ols"
features = ["log(pk_1d)", "log(pk_5d)", "log(pk_22d)"]   # harness features; pk_h: the horizon

[verdict]
baseline = "persistence"
candidates = ["har"]
metric = "r2_log"                # harness metrics
horizon = "1d"
min_gain = 0.02                  # in the metric's unit; gain = "relative" for a share
alpha = 0.05

[run]
seed = 1
'''


def write_starter(name: str, folder: Path) -> Path:
    """Write folder/NAME.toml; UsageError for an invalid name or an existing file."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"name: got {one_line(name)}, wanted lower-case letters, digits and '-', at most 60"
        )
    path = folder / f"{name}.toml"
    title = name.replace("-", " ").capitalize()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w") as stream:
            stream.write(_TEXT.format(name=name, title=title, path=path))
    except FileExistsError:
        raise UsageError(f"{path} already exists; choose another name") from None
    return path
