"""The parts of nets, each alone: shapes, formulas, causality, the same bytes from a seed."""

# ruff: noqa: E402  (the parts need torch, which may be missing)

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import integrate, stats

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import Tensor, nn

from harness.models.nets import attention
from harness.models.nets.attention import (
    Attention,
    Positions,
    ProbSparse,
    SelfAttention,
    attention_weights,
    sinusoids,
)
from harness.models.nets.encoder_decoder import Decomposition
from harness.models.nets.losses import TargetLoss, gaussian_nll, pinball, student_t_nll
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.nets.training_loop import repeatable

B, L, H = 3, 12, 4
CPU = torch.device("cpu")
Make = Callable[[], nn.Module]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with repeatable(11, CPU):
        yield


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def double(*shape: int) -> Tensor:
    return noise(*shape).double().requires_grad_()


def bytes_of(*found: Tensor) -> bytes:
    return b"".join(t.detach().contiguous().numpy().tobytes() for t in found)


def steps_of(part: nn.Module, x: Tensor) -> Tensor:
    """All that a part gives of each step (b, L, …)."""
    found = part(x)
    return torch.cat(found, dim=-1) if isinstance(found, tuple) else found


def recurrent(cell: str) -> nn.Module:
    return Recurrent(cell, H, H, 2, 0.3)


def sparse(*, causal: bool, factor: float = 1.0) -> ProbSparse:
    """Of 12 steps 3 attend."""
    return ProbSparse(H, 2, 0.3, causal=causal, factor=factor, seed=5)


def both_ways() -> nn.Module:
    part = Recurrent("lstm", H, H, 1, 0.0)
    part.layers = nn.LSTM(H, H, batch_first=True, bidirectional=True)
    return part


CAUSAL: dict[str, Make] = {
    "lstm": lambda: recurrent("lstm"),
    "gru": lambda: recurrent("gru"),
    "self-attention": lambda: SelfAttention(H, 2, 0.3, causal=True),
    "prob-sparse": lambda: sparse(causal=True),
    "decomposition": lambda: Decomposition(5, causal=True),
    "positions": lambda: Positions(L, H),
    "one on another": lambda: nn.Sequential(recurrent("gru"), SelfAttention(H, 2, 0, causal=True)),
}
AHEAD: dict[str, Make] = {
    "both ways": both_ways,
    "self-attention": lambda: SelfAttention(H, 2, 0.3),
    "prob-sparse": lambda: sparse(causal=False),
    "decomposition": lambda: Decomposition(5),
}
ENCODERS = CAUSAL | {f"{name}, not causal": make for name, make in AHEAD.items()}


# --- causality, and bytes


def sees_later(part: nn.Module) -> bool:
    """Whether what a part gives of steps 1 … t changes, in any bit, with the steps after t."""
    part.eval()
    x = noise(B, L, H)
    before = steps_of(part, x)
    for t in range(1, L):
        for seed in range(2, 6):
            moved = torch.cat((x[:, :t], 10.0 * noise(B, L - t, H, seed=seed)), dim=1)
            after = steps_of(part, moved)
            assert bytes_of(after) != bytes_of(before)
            if bytes_of(after[:, :t]) != bytes_of(before[:, :t]):
                return True
    return False


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_part_gives_the_same_bits_whatever_follows(name):
    assert not sees_later(CAUSAL[name]())


@pytest.mark.parametrize("name", AHEAD)
def test_a_part_that_looks_ahead_is_caught_by_the_same_check(name):
    assert sees_later(AHEAD[name]())


def test_informers_own_choice_of_steps_would_tell_what_follows(monkeypatch):
    def rank_of_all(values: Tensor) -> Tensor:
        return values.argsort(descending=True).argsort()

    monkeypatch.setattr(attention, "_rank_so_far", rank_of_all)
    assert sees_later(sparse(causal=True))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_sequences_states_do_not_depend_on_the_others_in_its_batch(name):
    part = ENCODERS[name]().eval()
    x = noise(B, L, H)
    others = torch.cat((noise(1, L, H, seed=8), x[1:2], 5.0 * noise(1, L, H, seed=9)))
    assert bytes_of(steps_of(part, x)[1]) == bytes_of(steps_of(part, others)[1])


@pytest.mark.parametrize("name", ENCODERS)
def test_a_seed_gives_weights_and_states_with_the_same_bytes(name):
    def made(seed: int) -> bytes:
        with repeatable(seed, CPU):
            part = ENCODERS[name]()
            return bytes_of(*part.parameters(), steps_of(part.train(), noise(B, L, H)))

    assert made(3) == made(3)
    if list(ENCODERS[name]().parameters()):
        assert made(3) != made(4)


# --- attention


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torchs_scaled_dot_product(causal):
    q, k, v = (noise(B, 2, L, 3, seed=s) for s in (1, 2, 3))
    got = attention_weights(q, k, causal=causal) @ v
    want = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("causal", [True, False])
def test_self_attention_is_torchs_multihead_attention(causal):
    ours = SelfAttention(6, 3, 0.2, causal=causal).eval()
    theirs = nn.MultiheadAttention(6, 3, batch_first=True).eval()
    theirs.in_proj_weight, theirs.in_proj_bias = ours.project.weight, ours.project.bias
    theirs.out_proj.weight, theirs.out_proj.bias = ours.merge.weight, ours.merge.bias
    x = noise(B, L, 6)
    later = torch.ones(L, L, dtype=torch.bool).triu(1) if causal else None
    want, _ = theirs(x, x, x, attn_mask=later, need_weights=False)
    torch.testing.assert_close(ours(x), want)


def test_a_later_step_weighs_exactly_nothing():
    weights = attention_weights(noise(L, 3), noise(L, 3, seed=2), causal=True)
    assert not weights.triu(1).any()
    assert weights.tril().sum(dim=1) == pytest.approx(np.ones(L), rel=1e-6)


def test_dropout_takes_whole_steps_out_of_a_mean_in_training_alone():
    part = SelfAttention(1, 1, 0.5)
    with torch.no_grad():
        part.project.weight.zero_()  # all weights 1/L, all values and the way out 1
        part.project.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
        part.merge.weight.fill_(1.0)
        part.merge.bias.zero_()
    means = part.train()(noise(40, L, 1)).detach().numpy()
    kept = means * L / 2.0  # each kept weight is doubled
    assert np.allclose(kept, np.round(kept), atol=1e-4) and np.unique(np.round(kept)).size > 3
    assert kept.mean() == pytest.approx(L / 2.0, rel=0.1)
    assert np.allclose(part.eval()(noise(40, L, 1)).detach(), 1.0)


def test_heads_that_do_not_divide_the_width_are_refused():
    for heads in (3, 0):
        with pytest.raises(ValueError, match=rf"heads: got {heads}, wanted a divisor of .* 4"):
            SelfAttention(4, heads, 0.0)


@torch.no_grad()
def test_additive_attention_is_its_formula():
    part, states = Attention(H), noise(B, L, H)
    state, weights = part(states)
    inner, outer = part.score[0], part.score[2]
    for row in range(B):
        scores = [float(outer.weight[0] @ torch.tanh(inner.weight @ s + inner.bias))
                  for s in states[row]]  # fmt: skip
        want = np.exp(scores) / np.sum(np.exp(scores))
        assert weights[row].tolist() == pytest.approx(want.tolist(), rel=1e-5)
        assert state[row].tolist() == pytest.approx((want @ states[row].numpy()).tolist(), rel=1e-4)


# --- ProbSparse


@pytest.mark.parametrize("causal", [True, False])
def test_prob_sparse_is_full_attention_where_every_step_attends(causal):
    part = sparse(causal=causal, factor=5.0)
    assert part.attending(L) == L  # 5 ln 12 = 12.4
    full = SelfAttention(H, 2, 0.3, causal=causal)
    full.load_state_dict(part.state_dict())
    x = noise(B, L, H)
    assert bytes_of(part.eval()(x)) == bytes_of(full.eval()(x))
    assert bytes_of(sparse(causal=causal).eval()(x)) != bytes_of(full(x))


@pytest.mark.parametrize(
    ("length", "factor", "want"),
    [(12, 1.0, 3), (12, 2.0, 5), (100, 5.0, 24), (1, 5.0, 1), (2, 5.0, 2), (3, 0.1, 1)],
)
def test_the_number_of_steps_that_attend_is_c_ln_l(length, factor, want):
    assert sparse(causal=False, factor=factor).attending(length) == want


def by_hand(part: ProbSparse, x: Tensor) -> tuple[np.ndarray, list[int]]:
    """What the formula gives of sequences (b, L, h), step by step, and how many steps attended."""
    heads, length, count = part.heads, x.shape[1], part.attending(x.shape[1])
    source = torch.Generator().manual_seed(part.seed)
    drawn = torch.rand(length, count, dtype=torch.float64, generator=source).numpy()
    weight, bias = part.project.weight.detach().numpy(), part.project.bias.detach().numpy()
    out, attended = [], []
    for sequence in x.numpy():
        columns = np.split(sequence @ weight.T + bias, 3, axis=1)
        mixed = []
        for q, k, v in zip(*(np.split(c, heads, axis=1) for c in columns), strict=True):
            scores = q @ k.T / math.sqrt(q.shape[1])
            reach = [t + 1 if part.causal else length for t in range(length)]
            sampled = [scores[t, np.floor(drawn[t] * reach[t]).astype(int)] for t in range(length)]
            m = np.array([(s.max() - s).mean() for s in sampled])
            mean = np.empty_like(v)
            attended.append(0)
            for t in range(length):
                family_runs = m[:t] >= m[t] if part.causal else m > m[t]
                if np.sum(family_runs) < count:
                    weights = np.exp(scores[t, : reach[t]])
                    mean[t] = weights @ v[: reach[t]] / weights.sum()
                    attended[-1] += 1
                else:
                    mean[t] = v[: reach[t]].mean(axis=0)
            mixed.append(mean)
        out.append(np.concatenate(mixed, axis=1))
    merge = part.merge
    return np.array(out) @ merge.weight.detach().numpy().T + merge.bias.detach().numpy(), attended


@pytest.mark.parametrize("causal", [True, False])
def test_prob_sparse_is_its_formula(causal):
    part, x = sparse(causal=causal).eval(), 3.0 * noise(B, L, H)
    want, attended = by_hand(part, x)
    torch.testing.assert_close(part(x), torch.from_numpy(want).float(), rtol=1e-4, atol=1e-5)
    if causal:
        assert all(3 <= n < L for n in attended) and max(attended) > 3
    else:
        assert attended == [3] * (2 * B)


@pytest.mark.parametrize("causal", [True, False])
def test_prob_sparse_of_long_sequences_is_that_of_short_ones(causal, monkeypatch):
    """Above a length only the drawn keys are scored, below it all: the choice is the same."""
    part, x = sparse(causal=causal).eval(), 3.0 * noise(B, L, H)
    short = part(x)
    monkeypatch.setattr(attention, "_ALL_SCORED", 0)
    torch.testing.assert_close(part(x), short, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_prob_sparse_draws_anew_in_training_and_from_its_seed_alone_otherwise(causal):
    part, x = ProbSparse(H, 2, 0.0, causal=causal, factor=1.0, seed=5), noise(B, L, H)
    assert len({bytes_of(part.train()(x)) for _ in range(8)}) > 1
    part.eval()
    state = torch.get_rng_state()
    assert len({bytes_of(part(x)) for _ in range(8)}) == 1
    assert torch.equal(torch.get_rng_state(), state)
    seeds = set()
    for part.seed in range(8):
        seeds.add(bytes_of(part(x)))
    assert len(seeds) > 1


# --- decomposition and positions


@pytest.mark.parametrize("window", [1, 2, 5, 30])
@pytest.mark.parametrize("causal", [True, False])
def test_the_trend_is_a_mean_over_the_window_with_the_ends_repeated(window, causal):
    x = noise(B, L, 2)
    remainder, trend = Decomposition(window, causal=causal)(x)
    back = window - 1 if causal else (window - 1) // 2
    for t in range(L):
        places = [min(max(s, 0), L - 1) for s in range(t - back, t - back + window)]
        torch.testing.assert_close(trend[:, t], x[:, places].mean(dim=1))
    torch.testing.assert_close(remainder + trend, x)
    level = torch.full((1, L, 1), 0.5)
    assert not Decomposition(window, causal=causal)(level)[0].any()


def test_a_window_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="window: got 0, wanted 1 or more steps"):
        Decomposition(0)


@pytest.mark.parametrize("width", [1, 4, 7])
def test_positions_are_sines_and_cosines(width):
    table = sinusoids(9, width)
    for t in range(9):
        for column in range(width):
            angle = t / 10_000.0 ** (column // 2 * 2 / width)
            want = (math.sin, math.cos)[column % 2](angle)
            assert float(table[t, column]) == pytest.approx(want, abs=1e-14)


def test_positions_are_added_and_are_not_learned():
    part = Positions(9, H)
    assert not list(part.parameters()) and not part.state_dict()
    torch.testing.assert_close(part(torch.zeros(B, 5, H))[2], sinusoids(9, H)[:5].float())
    x = noise(B, 9, H)
    torch.testing.assert_close(part(x) - part(torch.zeros(B, 9, H)), x, atol=1e-6, rtol=1e-5)


# --- losses


SIGMA, RETURN = np.array([0.3, 1.0, 2.5, 0.01, 7.0]), np.array([0.5, 0.0, -6.0, 0.02, -0.4])


def test_the_gaussian_loss_is_scipys_density():
    got = gaussian_nll(torch.from_numpy(SIGMA), torch.from_numpy(RETURN))
    assert got.numpy() == pytest.approx(-stats.norm.logpdf(RETURN, scale=SIGMA), rel=1e-12)


@pytest.mark.parametrize("dof", [2.01, 4.0, 30.0, 1e4])
def test_students_loss_is_scipys_density_with_the_variance_of_sigma(dof):
    scale = SIGMA * math.sqrt((dof - 2.0) / dof)
    want = -stats.t.logpdf(RETURN, dof, scale=scale)
    got = student_t_nll(torch.from_numpy(SIGMA), torch.from_numpy(RETURN), dof)
    assert got.numpy() == pytest.approx(want, rel=1e-9)
    each = torch.full((5,), dof, dtype=torch.float64)
    assert student_t_nll(torch.from_numpy(SIGMA), torch.from_numpy(RETURN), each).equal(got)


def test_a_return_under_students_loss_has_the_variance_that_was_forecast():
    def moment(r: float) -> float:
        value = torch.tensor([r], dtype=torch.float64)
        return r * r * math.exp(-float(student_t_nll(torch.tensor([1.7]).double(), value, 8.0)))

    assert integrate.quad(moment, -200.0, 200.0, points=[0.0])[0] == pytest.approx(1.7**2, 1e-3)


def test_the_pinball_loss_is_the_mean_over_its_levels():
    levels = torch.tensor([0.05, 0.5, 0.9], dtype=torch.float64)
    quantiles, value = noise(20, 3).double(), noise(20, seed=2).double()
    value[0] = quantiles[0, 1]
    got = pinball(quantiles, value, levels)
    for row in range(20):
        parts = []
        for quantile, a in zip(quantiles[row].tolist(), levels.tolist(), strict=True):
            u = float(value[row]) - quantile
            parts.append(u * (a - (u < 0.0)))
        assert float(got[row]) == pytest.approx(sum(parts) / 3.0, rel=1e-12)


def test_the_pinball_loss_is_least_at_the_quantiles():
    value, levels = noise(4_001).double(), torch.tensor([0.1, 0.8], dtype=torch.float64)
    right = torch.quantile(value, levels)

    def loss(quantiles: Tensor) -> float:
        return float(pinball(quantiles.expand(4_001, 2), value, levels).mean())

    for column in (0, 1):
        for move in (-0.2, 0.2):
            wrong = right.clone()
            wrong[column] += move
            assert loss(wrong) > loss(right)


def test_a_loss_outside_its_domain_is_refused():
    one = torch.ones(2)
    for dof in (2.0, -1.0, math.nan, torch.tensor([5.0, 1.5])):
        with pytest.raises(ValueError, match=r"degrees of freedom: got .*, wanted more than 2"):
            student_t_nll(one, one, dof)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="levels: wanted"):
            pinball(one[:, None], one, torch.tensor([level]))


def test_the_gradients_of_the_losses_are_those_of_their_values():
    value = double(5)
    sigma = (0.5 + noise(5, seed=2).double().abs()).requires_grad_()
    dof = torch.tensor(4.5, dtype=torch.float64, requires_grad=True)
    levels = torch.tensor([0.1, 0.5], dtype=torch.float64)
    assert torch.autograd.gradcheck(gaussian_nll, (sigma, value))
    assert torch.autograd.gradcheck(student_t_nll, (sigma, value, dof))
    assert torch.autograd.gradcheck(lambda q, v: pinball(q, v, levels), (double(5, 2), value * 3.0))
    truth = noise(5, 4, seed=3).double()
    for name in ("qlike", "log-mse", "mse"):
        for log_target in (True, False):
            loss = TargetLoss(name, log_target=log_target, per_log_sigma=0.5)
            assert torch.autograd.gradcheck(lambda o, loss=loss: loss(o, truth), (value,))


def test_a_part_of_a_forecast_learns_from_a_loss_of_its_own():
    """The value is the whole's loss alone, the gradients are each forecast's own."""
    both = double(5, 2)
    truth = noise(5, 4, seed=3).double()
    for name in ("qlike", "log-mse", "mse"):
        loss = TargetLoss(name, log_target=True, per_log_sigma=0.5)
        found = loss(both, truth)
        torch.testing.assert_close(found, loss(both[:, 0], truth))
        (got,) = torch.autograd.grad(found.sum(), both)
        for k in range(2):
            alone = both[:, k].detach().requires_grad_()
            (want,) = torch.autograd.grad(loss(alone, truth).sum(), alone)
            torch.testing.assert_close(got[:, k], want)


# --- gradients and whole nets


@pytest.mark.parametrize("name", [n for n in ENCODERS if "positions" not in n])
def test_the_gradients_of_a_part_are_those_of_its_states(name):
    part = ENCODERS[name]().double().eval()
    for weight in part.parameters():
        weight.requires_grad_(False)
    assert torch.autograd.gradcheck(lambda x: steps_of(part, x), (double(1, 5, H),))


@pytest.mark.parametrize("make", [LastState, lambda: Attention(H)])
def test_the_gradients_of_a_pooling_are_those_of_its_state(make):
    part = make().double()
    assert torch.autograd.gradcheck(lambda x: part(x)[0], (double(2, 4, H),))


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_gives_every_step_a_state(name):
    part = ENCODERS[name]()
    columns = 2 * H if name.startswith(("both", "decomposition")) else H
    assert steps_of(part, noise(B, L, H)).shape == (B, L, columns)
    assert steps_of(part, noise(1, 1, H)).shape == (1, 1, columns)


def test_a_nets_head_is_one_layer_or_several():
    x = noise(B, L, H)
    plain = SequenceNet(recurrent("gru"), LastState(), H, 0.2)
    assert {k for k in plain.state_dict() if k.startswith("output")} == {
        "output.weight",
        "output.bias",
    }
    assert plain(x)[0].shape == (B,) and plain(x)[1] is None
    several = SequenceNet(recurrent("gru"), Attention(H), H, 0.0, hidden=(5, 3), outputs=2).eval()
    output, weights = several(x)
    assert output.shape == (B, 2) and weights.shape == (B, L)
    state, _ = several.pooling(several.encoder(x))
    first, second, last = (several.output[k] for k in (0, 2, 4))
    want = last(second(first(state).clamp_min(0.0)).clamp_min(0.0))
    torch.testing.assert_close(output, want)


def test_the_net_of_the_transfer_study_can_be_put_together():
    """Three layers of 64 LSTM cells, attention with four heads, two fully connected layers."""
    encoder = nn.Sequential(Recurrent("lstm", 5, 64, 3, 0.2), SelfAttention(64, 4, 0.2))
    net = SequenceNet(encoder, LastState(), 64, 0.2, hidden=(32,))
    assert net(noise(B, L, 5))[0].shape == (B,)
    cells = 4 * 64 * (5 + 64 + 2) + 2 * 4 * 64 * (64 + 64 + 2)
    layers = 64 * 192 + 192 + 64 * 64 + 64 + 64 * 32 + 32 + 32 + 1
    assert sum(p.numel() for p in net.parameters()) == cells + layers
