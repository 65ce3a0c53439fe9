"""A tiny net for a hypothesis file."""

from __future__ import annotations

NET = """[models.net]
kind = "gru"
features = ["log(rv_1h)", "log(rv_4h)"]
layers = 1
width = 4
sequence_length = 3
batch = 64
epochs = 3
patience = 1
attention = true
device = "cpu"

[models.har]"""
HELD_OUT = ('embargo = "1d"', 'embargo = "1d"\nvalidation = "3d"')
