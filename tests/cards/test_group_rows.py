"""Tables of a card that are made of groups, shifts and sweeps."""

from __future__ import annotations

from harness.cards.group_rows import sweep_rows


def swept(training: dict[str, list]) -> dict:
    """A record of a net by two lengths of its sequences."""
    sweep = {"model": "net", "key": "sequence_length", "values": [5, 20]}
    return {
        "settings": {"sweep": sweep | {"models": ["net-5", "net-20"]}},
        "verdict": {"metric": "qlike", "horizon": "1d"},
        "tables": {"seed_training": training},
    }


POOLED = [
    {"model": "net-5", "horizon": "1d", "qlike": 0.30},
    {"model": "net-20", "horizon": "1d", "qlike": 0.31},
]


def test_a_sweep_shows_the_held_out_loss_as_the_mean_over_fits_and_seeds():
    training = {
        "model": ["net-5", "net-5", "net-20", "net-20"],
        "horizon": ["1d", "1d", "1d", "5d"],
        "validation_loss": [0.25, 0.27, 0.255, 9.0],
    }
    table = sweep_rows(swept(training), POOLED)
    assert table["trained"]
    assert [row["held_out"] for row in table["rows"]] == [0.26, 0.255]
    assert [row["least"] for row in table["rows"]] == [False, True]
    assert [row["best"] for row in table["rows"]] == [True, False]


def test_a_sweep_of_models_without_held_out_rows_has_no_such_column():
    training = {"model": ["net-5"], "horizon": ["1d"], "validation_loss": [None]}
    table = sweep_rows(swept(training), POOLED)
    assert not table["trained"] and table["rows"][0]["held_out"] is None
