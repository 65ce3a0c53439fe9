"""Training steps of nets: the harness's loop against a bare one in torch.

Both train the same net from the same weights on the same batches in the same order, one pass over
all rows without validation. The bare loop is given its batches ready made and does only what no
loop can leave out: gradients to zero, forward, loss, backward, Adam. The harness's gathers them,
clips, and runs torch's deterministic kernels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from inputs import Inputs
from timing import Figure, Taken, clocked, interleave, milliseconds, ratios, spread
from torch import Tensor, nn

from harness.models.nets import universal
from harness.models.nets.attention import Attention, SelfAttention
from harness.models.nets.encoder_decoder import EncoderDecoder, Shape
from harness.models.nets.hybrid import HybridNet
from harness.models.nets.losses import TargetLoss
from harness.models.nets.schedule import Schedule, batch_for
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.nets.training_loop import Sequences, repeatable, train
from harness.models.nets.universal import EPOCH, Batch, BatchDesign, Pool, UniversalNet, mean_nll
from harness.models.params import RecurrentParams, TransvolParams

_ROWS, _LENGTH, _FEATURES = 8_192, 20, 16
_BATCH = batch_for("auto", _ROWS)
_CELL = RecurrentParams(features=["x"])
_TRANSVOL = TransvolParams(features=["x"])
_TRANSFER = 3, 64, 4, 0.1  # layers, width, heads, dropout of transfer and hybrid
_CONTEXT = 3  # HAR's features
_STOCKS, _DAYS = 40, 2_000  # of the universal net's series
_DIET = BatchDesign(32, 0.5, 20, 30, 250)
_UNIVERSAL = Schedule(1e-3, 32, epochs=1, patience=1)
_SCHEDULE = Schedule(1e-3, _BATCH, epochs=1, patience=1)
_LOSS = TargetLoss("qlike", log_target=True, per_log_sigma=1.0)
_CPU = torch.device("cpu")


def nets(_: Inputs, rounds: int) -> list[Figure]:
    """An epoch of each net, by turns."""
    rows = _made_up()
    figures = []
    for name, fresh in (
        ("lstm", lambda: _fresh("lstm", LastState())),
        ("lstm with attention", lambda: _fresh("lstm", Attention(_CELL.width))),
        ("gru", lambda: _fresh("gru", LastState())),
        ("transvol", lambda: EncoderDecoder(_FEATURES, _LENGTH, _shape())),
        ("transfer", _transfer),
        ("hybrid", _hybrid),
    ):
        turns = {
            "ours": lambda f=fresh: _ours(_begun(f), rows),
            "bare": lambda f=fresh: _bare(_begun(f), rows),
        }
        for turn in turns.values():
            turn()
        taken = interleave(turns, rounds)
        figures += milliseconds("nets", f"{name}, an epoch", taken["ours"])
        speed = [_ROWS / t.wall for t in taken["ours"]]
        figures.append(spread("nets", f"{name}: sequences trained on", "1/s", speed))
        label = f"{name}: our loop / bare torch"
        figures += ratios("nets", label, taken["ours"], taken["bare"], "<= 1.1")
    return figures + _universal(rounds)


def _universal(rounds: int) -> list[Figure]:
    """The universal net's own loop, which draws portfolios as it goes; the bare one has them."""
    rng = np.random.default_rng(1)
    pool = Pool(0.01 * rng.standard_normal((_DAYS, _STOCKS)), _DIET)
    drawn = np.random.default_rng([2, 1])
    batches = [Batch.of(pool.draw(drawn), _CPU) for _ in range(EPOCH)]

    def ours() -> Taken:
        net = _begun(lambda: UniversalNet(2, 32))
        with repeatable(2, _CPU):
            return clocked(
                lambda: universal.train(net, pool, None, _UNIVERSAL, 2, _CPU, lambda _: None)
            )

    def bare() -> Taken:
        net = _begun(lambda: UniversalNet(2, 32))
        optimiser = torch.optim.Adam(net.parameters(), lr=_UNIVERSAL.learning_rate)

        def epoch() -> None:
            for batch in batches:
                optimiser.zero_grad()
                mean_nll(net(batch.returns)[0], batch).backward()
                optimiser.step()

        return clocked(epoch)

    turns = {"ours": ours, "bare": bare}
    for turn in turns.values():
        turn()
    taken = interleave(turns, rounds)
    label = "deepvol: our loop / bare torch"
    return [
        *milliseconds("nets", "deepvol, 50 batches", taken["ours"]),
        *ratios("nets", label, taken["ours"], taken["bare"], "<= 1.1"),
    ]


def _ours(net: nn.Module, rows: Sequences) -> Taken:
    with repeatable(2, _CPU) as order:
        return clocked(lambda: train(net, _LOSS, rows, None, [_SCHEDULE], order, lambda _: None))


def _bare(net: nn.Module, rows: Sequences) -> Taken:
    torch.manual_seed(2)
    order = torch.randperm(_ROWS, generator=torch.Generator().manual_seed(2))
    batches = [rows.batch(places) for places in order.split(_BATCH)]
    return clocked(lambda: _epoch(net, batches))


def _epoch(net: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
    optimiser = torch.optim.Adam(net.parameters(), lr=_SCHEDULE.learning_rate)
    net.train()
    for x, truth in batches:
        optimiser.zero_grad()
        _LOSS(net(x)[0], truth).mean().backward()
        optimiser.step()


def _begun(fresh: Callable[[], nn.Module]) -> nn.Module:
    """The net with the same weights every time."""
    torch.manual_seed(1)
    return fresh()


def _fresh(cell: str, pooling: nn.Module) -> SequenceNet:
    encoder = Recurrent(cell, _FEATURES, _CELL.width, _CELL.layers, _CELL.dropout)
    return SequenceNet(encoder, pooling, _CELL.width, _CELL.dropout)


def _shape() -> Shape:
    p = _TRANSVOL
    return Shape(
        p.width, p.heads, p.encoder_layers, p.decoder_layers, p.factor, p.window, p.dropout
    )


def _transfer() -> SequenceNet:
    _, width, _, dropout = _TRANSFER
    return SequenceNet(_encoder(_FEATURES), LastState(), width, dropout, hidden=(width // 2,))


def _hybrid() -> HybridNet:
    _, width, _, dropout = _TRANSFER
    own = _FEATURES - 1 - _CONTEXT
    sizes = width, own, _CONTEXT, dropout
    return HybridNet("dynamic", _encoder(own), LastState(), *sizes, hidden=(width // 2,))


def _encoder(features: int) -> nn.Module:
    layers, width, heads, dropout = _TRANSFER
    recurrent = Recurrent("lstm", features, width, layers, dropout)
    return nn.Sequential(recurrent, SelfAttention(width, heads, dropout))


def _made_up() -> Sequences:
    """Sequences that overlap, as those of one symbol do, and a standardised target."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(_ROWS + _LENGTH, _FEATURES))
    places = np.arange(_ROWS)[:, None] + np.arange(_LENGTH)
    truth = np.zeros((_ROWS, 4))
    truth[:, 0], truth[:, 2] = steps[_LENGTH:, 0], 1.0
    return Sequences.of(steps, places, truth, _CPU)
