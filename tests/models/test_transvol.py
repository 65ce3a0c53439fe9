"""TransVol: what its net is made of, where it looks, the same bytes twice, what is refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import workspace
from support.learned import world
from support.learning import LEARNERS
from support.learning import fitted as fit_of
from support.learning_worlds import learned
from support.workspace import ROOT
from support.worlds import LEVEL_SIGMA, LOG_SIGMA, close_to, make_task

from harness.errors import SpecError
from harness.models.params import TransvolParams
from harness.models.protocol import Kept, Seeded, Trained, make_model
from harness.samples.target_scale import TargetScale
from harness.spec.reading import parse_hypothesis
from harness.types import F64, Rows

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)
import torch
from torch import nn

from harness.models.nets.attention import CrossAttention, attention_weights
from harness.models.nets.encoder_decoder import AHEAD, EncoderDecoder, EncoderLayer, Shape

FEATURES = ("x0_1h", "x1_1h")
TINY: dict[str, Any] = {
    "features": list(FEATURES),
    "sequence_length": 6,
    "width": 8,
    "heads": 2,
    "encoder_layers": 1,
    "factor": 1.0,
    "window": 3,
    "dropout": 0.1,
    "batch": 64,
    "epochs": 4,
    "device": "cpu",
}


def net(scale: TargetScale = LOG_SIGMA, **changes: Any) -> Any:
    return make_model("transvol", TransvolParams(**{**TINY, **changes}), make_task(scale=scale))


def parts(rows: Rows, y: F64, share: float = 0.75) -> tuple[Rows, F64, tuple[Rows, F64]]:
    cut = int(share * y.size)
    early, late = np.arange(cut), np.arange(cut, y.size)
    return rows.take(early), y[early], (rows.take(late), y[late])


def fitted(seed: int = 4, scale: TargetScale = LOG_SIGMA, **changes: Any) -> tuple[Any, Rows]:
    rows, y = long_world(200, seed=2)
    y = np.exp(y) if not scale.is_log else y
    train, target, held_out = parts(rows, y)
    return net(scale, **changes).fit(train, target, validation=held_out, seed=seed), rows


def long_world(n: int, seed: int) -> tuple[Rows, F64]:
    """As test_learned.world, of rows with a past long enough."""
    rows, y = world(n + 10, seed=seed)
    keep = np.arange(10, n + 10)
    return rows.columns(FEATURES).take(keep), y[keep]


SHAPE = Shape(width=8, heads=2, encoder_layers=2, decoder_layers=2, factor=1.0, window=3, dropout=0)


def made(seed: int = 1, shape: Shape = SHAPE, length: int = 12) -> EncoderDecoder:
    torch.manual_seed(seed)
    return EncoderDecoder(3, length, shape).eval()


def noise(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the net


def test_cross_attention_is_torchs_own_with_the_same_weights():
    torch.manual_seed(2)
    ours, theirs = CrossAttention(8, 2, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.ask.weight, ours.answer.weight)))
        theirs.in_proj_bias.copy_(torch.cat((ours.ask.bias, ours.answer.bias)))
        theirs.out_proj.load_state_dict(ours.merge.state_dict())
    x, others = noise(4, 5, 8), noise(4, 9, 8, seed=4)
    wanted = theirs(x, others, others, need_weights=False)[0]
    assert torch.allclose(ours(x, others), wanted, atol=1e-6)
    assert attention_weights(x, others).shape == (4, 5, 9)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads: got 3, wanted a divisor of the width 8"):
        CrossAttention(8, 3, 0.0)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_level_and_steps_reach_the_output_whatever_dropout_and_attention_do(mode):
    own = made(shape=replace(SHAPE, dropout=0.9))
    x = noise(2, 12, 3)
    parts = torch.cat(own.split(x), dim=-1)
    with torch.no_grad():
        own.line.weight.copy_(noise(1, 72, seed=5))
        own.output[-1].weight.zero_(), own.output[-1].bias.zero_()
        found = getattr(own, mode)()(x)[0]
    line = torch.einsum("blp,lp->b", parts, own.line.weight.view(12, 6))
    wanted = line + parts[:, -1] @ own.latest.weight[0] + own.latest.bias
    assert torch.allclose(found, wanted, atol=1e-5)


def test_the_line_starts_at_zero_and_its_gradient_does_not():
    own, x = made(), noise(4, 12, 3)
    assert not own.line.weight.any()
    own(x)[0].sum().backward()
    assert (own.line.weight.grad != 0.0).all()


def test_the_decoder_goes_on_from_the_last_step_and_the_encoder_sees_all():
    own, x = made(), noise(2, 12, 3)
    seen: list[torch.Tensor] = []
    own.decoder[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    own(x)
    assert seen[0].shape == (2, 12 // 2 + AHEAD, 8)
    x.requires_grad_(True)
    with torch.no_grad():  # nothing but encoder and decoder
        own.latest.weight.zero_(), own.output[0].weight[:, :6].zero_()
    own(x)[0].sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2)) > 0.0).all()
    own.positions.table.zero_()
    own(x)
    begun = own.begin(torch.cat(own.split(x), dim=-1))
    assert torch.allclose(seen[-1][:, :6], begun[:, 6:], atol=1e-6)
    assert torch.allclose(seen[-1][:, 6:], begun[:, -1:].expand(-1, AHEAD, -1), atol=1e-6)


def test_an_encoder_layer_leaves_no_trend_where_the_window_is_all():
    """With a window of one step everything is trend, and nothing remains."""
    torch.manual_seed(1)
    layer = EncoderLayer(Shape(8, 2, 1, 1, 5.0, 1, 0.0)).eval()
    assert torch.equal(layer(noise(2, 6, 8)), torch.zeros(2, 6, 8))


def test_fewer_steps_attend_than_there_are():
    counts = [made(length=L).encoder[0].attention.attending(L) for L in (12, 60, 240)]
    assert counts == [3, 5, 6]


def test_what_a_sequence_gives_does_not_depend_on_its_batch():
    own, x = made(), noise(3, 12, 3)
    alone = own(torch.cat((noise(1, 12, 3, seed=8), x[1:2], noise(1, 12, 3, seed=7))))[0][1]
    assert alone.item() == own(x)[0][1].item()


def test_the_shipped_net_has_the_weights_that_its_hypothesis_names():
    file = ROOT / "hypotheses/transvol-lightgbm.toml"
    h = parse_hypothesis(file.read_text(encoding="utf-8"), file)
    sizes = {
        name: sum(
            w.numel()
            for w in make_model(
                h.models[name].kind, h.models[name].params, make_task(scale=LOG_SIGMA)
            )
            ._fresh()
            .parameters()
        )
        for name in ("lstm", "transvol")
    }
    assert sizes == {"lstm": 13_473, "transvol": 9_564}
    assert all(f"{size:,}" in h.identity.approach for size in sizes.values())


# --- the model


def test_it_is_what_the_walk_takes_it_for():
    model = net()
    assert isinstance(model, Trained) and isinstance(model, Kept) and isinstance(model, Seeded)
    assert (model.validates, model.seeded, model.look_back) == (True, True, 6)
    took = model.estimate(200, 50)
    assert 0.0 < took.epoch <= took.typical <= took.most


@pytest.mark.parametrize("scale", [LOG_SIGMA, LEVEL_SIGMA])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(scale):
    first, rows = fitted(scale=scale)
    again, _ = fitted(scale=scale)
    other, _ = fitted(seed=5, scale=scale)
    assert first.predict(rows).tobytes() == again.predict(rows).tobytes()
    assert first.predict(rows).tobytes() != other.predict(rows).tobytes()
    assert np.isfinite(first.predict(rows)).all()
    assert first.training.parameters == sum(w.size for w in first.weights().values())


def test_a_forecast_knows_no_step_after_its_decision_and_every_one_before():
    model, rows = fitted()
    forecast = model.predict(rows)
    row = 100
    for step in range(-7, 4):
        values = rows.history.values.copy()
        values[:, rows.at[row] + step] += 1.0
        moved = Rows(
            rows.X,
            rows.names,
            rows.symbol,
            rows.formed_at,
            type(rows.history)(values, rows.history.names, rows.history.begins),
            rows.at,
        )
        same = model.predict(moved)[row] == forecast[row]
        assert same == (step > 0 or step <= -6), step


def test_forecasts_do_not_depend_on_the_rows_that_follow():
    model, rows = fitted()
    whole = model.predict(rows)
    for n in (1, 37, 150):
        assert model.predict(rows.take(np.arange(n))).tobytes() == whole[:n].tobytes()


def test_the_recent_level_reaches_the_forecast_at_the_defaults():
    """On an AR(1) the best forecast is 0.9 times the level that was last seen."""
    seen = learned("ar1", 800, seed=1)
    short = {"sequence_length": 20, "epochs": 8, "device": "cpu"}
    found = fit_of(LEARNERS["transvol"], "ar1", seen, seed=1, more=short)
    assert seen.over_optimum(found.yhat) < 1.15  # the mean of all: 5.3


def test_it_learns_what_a_look_back_tells():
    rows, y = long_world(900, seed=6)
    train, target, held_out = parts(rows, y)
    model = net(epochs=25, width=16, dropout=0.0, learning_rate=3e-3, patience=25)
    model = model.fit(train, target, validation=held_out, seed=1)
    left = np.square(held_out[1] - model.predict(held_out[0])).mean()
    assert left < 0.5 * held_out[1].var()
    assert close_to(min(model.training.validation_loss), left, 1e-3)  # log-mse, of ln sigma


# --- the file

SPEC = workspace.changed(
    (
        "[verdict]",
        "[models.net]\nkind = 'transvol'\nfeatures = ['log(rv_1h)']\n\n[verdict]",
    )
)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("heads = 5", "models.net.heads: got 5, wanted a divisor of the width, 16"),
        (
            "sequence_length = 4\nwindow = 5",
            "models.net.window: got 5, wanted at most sequence_length, 4",
        ),
        ("sequence_length = 1", "models.net.sequence_length: got 1"),
        ("layers = 2", "models.net.layers: got 'layers', wanted one of the keys"),
    ],
)
def test_a_mistake_is_one_line(more, words):
    text = workspace.changed(("kind = 'transvol'", f"kind = 'transvol'\n{more}"), text=SPEC)
    with pytest.raises(SpecError) as refused:
        parse_hypothesis(text, Path("x.toml"))
    assert words in str(refused.value)


def test_heads_of_the_transfer_net_are_checked_as_well():
    text = workspace.changed(
        ("kind = 'transvol'", "kind = 'transfer'\nstrategy = 'scratch'\nheads = 3"), text=SPEC
    )
    with pytest.raises(SpecError, match=r"models.net.heads: got 3, wanted a divisor of the width"):
        parse_hypothesis(text, Path("x.toml"))
