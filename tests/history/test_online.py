"""Online decisions on the comparisons of a family, in the order in which they were tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import log_writers as small

from harness.history.online import Attempt, attempts_of, decide_online
from harness.inference.online_testing import lord, saffron
from harness.log.run_digests import all_digests
from harness.log.store import Log

DAY = 86_400_000_000_000
PROCEDURES = {"lord": lord, "saffron": saffron}


def attempt(p: dict[str, float], day: int, *, valid: bool = True, days: int = 0) -> Attempt:
    values = {("sha256:" + name, "c0"): value for name, value in p.items()}
    return Attempt(values, valid, day * DAY, (day + days) * DAY)


def levels(found, name: str) -> list[float]:
    return [found["sha256:" + key, "c0"].level[name] for key in "abc"]


@pytest.mark.parametrize("name", PROCEDURES)
def test_a_comparison_is_decided_when_it_was_first_tried_and_stays_so(name):
    tries = [attempt({"a": 1e-9}, 1), attempt({"b": 0.2}, 2), attempt({"c": 0.001}, 3)]
    found = decide_online(tries, 0, 0.05)
    wanted = PROCEDURES[name]([1e-9, 0.2, 0.001], 0.05)
    assert levels(found, name) == wanted.level.tolist()
    assert [d.rejected[name] for d in found.values()] == wanted.rejected.tolist()
    again = decide_online([*tries, attempt({"a": 0.9, "d": 1e-9}, 4)], 0, 0.05)
    assert {key: again[key] for key in found} == found


@pytest.mark.parametrize("name", PROCEDURES)
def test_the_first_valid_attempt_decides(name):
    tries = [attempt({"a": 1e-9}, 1, valid=False), attempt({"b": 1e-9}, 2), attempt({"c": 1}, 3)]
    found = decide_online(tries, 0, 0.05)
    assert levels(found, name) == PROCEDURES[name]([1.0, 1e-9, 1.0], 0.05).level.tolist()
    later = decide_online([*tries, attempt({"a": 1e-9}, 4)], 0, 0.05)
    wanted = PROCEDURES[name]([1e-9, 1.0, 1e-9], 0.05).level
    assert levels(later, name) == [wanted[2], wanted[0], wanted[1]]


@pytest.mark.parametrize("name", PROCEDURES)
def test_a_run_knows_only_what_had_ended_and_lost_comparisons_come_first(name):
    tries = [attempt({"a": 1e-9}, 1, days=5), attempt({"b": 0.2}, 2), attempt({"c": 0.2}, 7)]
    b, c = levels(decide_online(tries, 0, 0.05), name)[1:]
    alone = levels(decide_online([tries[0]._replace(ended=DAY), *tries[1:]], 0, 0.05), name)
    assert b < alone[1] and c == alone[2]
    behind = levels(decide_online(tries, 2, 0.05), name)
    started, ended = np.array([1, 1, 1, 2, 7]), np.array([1, 1, 6, 2, 7])
    assert (
        behind
        == PROCEDURES[name]([1.0, 1.0, 1e-9, 0.2, 0.2], 0.05, started, ended).level[2:].tolist()
    )


def test_runs_of_a_log_say_when_they_ended(tmp_path):
    log = Log(tmp_path)
    _publish(log, "a", [0.01, 0.5], seconds=90.0)
    (one,) = attempts_of(all_digests(log)[0])
    assert one.ended - one.started == 90 * 10**9
    assert one.p == {("sha256:a", "c0"): 0.01, ("sha256:a", "c1"): 0.5}  # without test windows


def test_a_record_without_the_zone_of_its_start_is_unreadable(tmp_path):
    log = Log(tmp_path)
    good = _publish(log, "a", [0.01])
    bad = _publish(log, "b", [0.01], started="2026-05-19T10:00:00")
    runs, unreadable = all_digests(log)
    assert [run.run_id for run in runs] == [good] and unreadable == [bad]


def test_the_table_and_the_card_say_what_was_decided(in_workspace, command):
    first = command("run", "hypotheses/tiny-har.toml", "--json").done().json[0]
    (row,) = command("family", "tiny", "--json").done().json
    record = Log(Path("reports")).read(first["run_id"])
    (own,) = record["family"]["candidates"]
    of = ("lord_level", "lord_rejected", "saffron_level", "saffron_rejected")
    assert {key: row[key] for key in of} == {key: own[key] for key in of}
    alpha = record["verdict"]["alpha"]
    assert own["saffron_level"] == saffron([own["p_value"]], alpha).level[0]
    text = command("family", "tiny").done().out
    assert "online" in text.splitlines()[0]
    wanted = {(True, True): "both", (False, True): "SAFFRON", (False, False): "none"}
    assert wanted[own["lord_rejected"], own["saffron_rejected"]] in text.splitlines()[2]


def _publish(log: Log, name: str, p: list[float], **more: Any) -> str:
    candidates = [f"c{k}" for k in range(len(p))]
    record = {
        "hypothesis": name,
        "spec_hash": f"sha256:{name}",
        "panel": {"name": "btc"},
        "verdict": {"horizon": "1h", "metric": "r2_log", "candidate": "c0", "baseline": "b"},
        "tables": {"tests": {"candidate": candidates, "gain": [0.01] * len(p), "p_value": p}},
    }
    return log.publish(lambda run_id: small.small_record(run_id, **record, **more), [])
