"""The training loop: plateaus, frozen parts and rates, the best weights, clipping, memory."""

# ruff: noqa: E402  (the loop needs torch, which may be missing)

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.learned import TINY, model, world

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import Tensor, nn

from harness.errors import RunError
from harness.models.nets import training_loop as loop
from harness.models.nets.schedule import Schedule
from harness.models.nets.sequence import LastState, Recurrent, SequenceNet
from harness.models.nets.training_loop import (
    Sequences,
    TrainingHistory,
    repeatable,
    train,
)
from harness.models.protocol import ModelError
from harness.types import Window
from harness.walk import training_time
from harness.walk.fold_fit import Settings

CPU = torch.device("cpu")
SHORT = Schedule(learning_rate=0.01, batch=16, epochs=3, patience=10)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with repeatable(7, CPU):
        yield


def squares(output: Tensor, truth: Tensor) -> Tensor:
    return torch.square(output - truth[:, 0])


def rows_of(n: int, *, size: float = 1.0, seed: int = 0) -> Sequences:
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n + 2, 2))
    places = np.arange(n)[:, None] + np.arange(3)
    return Sequences.of(steps, places, size * steps[2:, :1], CPU)


TRAIN, HELD = rows_of(40), rows_of(20, seed=1)


def fresh() -> SequenceNet:
    torch.manual_seed(5)
    return SequenceNet(Recurrent("gru", 2, 4, 1, 0.0), LastState(), 4, 0.0)


def trained(
    net: nn.Module,
    schedule: Schedule = SHORT,
    *,
    rows: Sequences = TRAIN,
    held: Sequences | None = HELD,
    progress: Callable[[str], None] = lambda _: None,
    further: Sequence[Schedule] = (),
    taught: bool = False,
) -> TrainingHistory:
    order = torch.Generator().manual_seed(1)
    schedules = [schedule, *further]
    return train(net, squares, rows, held, schedules, order, progress, taught=taught)


def weights(net: nn.Module, part: str = "") -> bytes:
    """The bytes of a net's weights, or of one part's."""
    named = net.state_dict().items()
    return b"".join(w.numpy().tobytes() for name, w in named if name.startswith(part))


def test_a_device_that_is_not_there_is_a_named_error_and_auto_takes_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert loop.choose_device("auto").type == loop.choose_device("cpu").type == "cpu"
    for wanted in ("cuda", "mps"):
        with pytest.raises(ModelError, match=f"device: got '{wanted}', which torch does not find"):
            loop.choose_device(wanted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loop.choose_device("auto").type == loop.choose_device("cuda").type == "cuda"
    assert loop.choose_device("cpu").type == "cpu"


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Give these validation losses, whatever the net is."""
    left = iter(losses)
    monkeypatch.setattr(loop, "mean_loss", lambda *_: (next(left), None))


def steps_seen(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The learning rates of every step from now on, as they are used."""
    seen, step = [], loop._step

    def watched(net, loss, x, truth, optimiser):
        seen.append([group["lr"] for group in optimiser.param_groups])
        return step(net, loss, x, truth, optimiser)

    monkeypatch.setattr(loop, "_step", watched)
    return seen


# --- stopping, and the best weights


def test_the_weights_of_the_best_epoch_are_kept_and_training_stops_when_none_follows(monkeypatch):
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.0, 1.5, 9.0])
    net, after = fresh(), []
    pretraining_rows = trained(
        net, replace(SHORT, epochs=6, patience=3), progress=lambda _: after.append(weights(net))
    )
    assert (
        pretraining_rows.best == 2 and len(after) == len(pretraining_rows.train_loss) == 5
    )  # a tie is no gain
    assert pretraining_rows.validation_loss == (3.0, 1.0, 2.0, 1.0, 1.5)
    assert weights(net) == after[1] and len(set(after)) == 5
    assert not net.training


def test_without_rows_held_out_every_epoch_is_run_and_the_last_weights_stay():
    net, after = fresh(), []
    schedule = replace(SHORT, epochs=5, patience=1, plateau=1)
    pretraining_rows = trained(
        net, schedule, held=None, progress=lambda _: after.append(weights(net))
    )
    assert (
        pretraining_rows.best,
        len(pretraining_rows.train_loss),
        pretraining_rows.validation_loss,
    ) == (5, 5, ())
    assert pretraining_rows.halved == () and weights(net) == after[-1] != after[-2]


STAGE = replace(SHORT, epochs=3, patience=2)


def test_the_best_weights_of_all_stages_are_kept_and_the_next_stage_begins_with_them(monkeypatch):
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.5, 1.2, 0.9, 4.0, 5.0])
    net, after, begun = fresh(), [], []
    monkeypatch.setattr(
        loop,
        "make_optimiser",
        lambda n, s, make=loop.make_optimiser: begun.append(weights(n)) or make(n, s),
    )
    history = trained(
        net, STAGE, further=[STAGE, STAGE], progress=lambda _: after.append(weights(net))
    )
    # The second stage finds nothing better in two epochs and ends; the third one does.
    assert history.validation_loss == (3.0, 1.0, 2.0, 1.5, 1.2, 0.9, 4.0, 5.0)
    assert history.best == 6 and weights(net) == after[5]
    assert begun[1:] == [after[1], after[1]]


def test_a_later_stage_that_is_never_better_changes_nothing(monkeypatch):
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.5, 1.2])
    net, after = fresh(), []
    history = trained(net, STAGE, further=[STAGE], progress=lambda _: after.append(weights(net)))
    assert history.best == 2 and weights(net) == after[1]


def test_the_weights_of_a_taught_net_are_kept_where_no_epoch_is_better(monkeypatch):
    for before, losses, best in ((1.0, [2.0, 1.0, 3.0], 0), (1.0, [2.0, 0.5, 3.0], 2)):
        scripted(monkeypatch, [before, *losses])
        net, after = fresh(), [weights(fresh())]
        history = trained(net, taught=True, progress=lambda _, n=net, a=after: a.append(weights(n)))
        assert history.best == best and weights(net) == after[best]
        assert len(history.validation_loss) == 3
    scripted(monkeypatch, [1.0, 2.0, 1.5, 1.2])
    assert trained(fresh(), replace(SHORT, epochs=9, patience=3), taught=True).best == 0


def test_a_taught_net_without_rows_held_out_ends_with_its_last_weights():
    net, after = fresh(), []
    history = trained(net, held=None, taught=True, progress=lambda _: after.append(weights(net)))
    assert history.best == 3 and weights(net) == after[-1]


def test_a_loss_that_is_no_number_names_its_epoch(monkeypatch):
    scripted(monkeypatch, [1.0, float("nan")])
    with pytest.raises(ModelError, match=r"the loss of epoch 2 is not a number"):
        trained(fresh())


# --- plateaus


def random_losses(seed: int) -> list[float]:
    """A path that falls, rests and ties, by less than the scheduler's threshold now and then."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([-0.3, -1e-5, 0.0, 0.1, 0.2], size=40)
    return np.exp(np.cumsum(steps) * rng.choice([0.0, 1.0], size=40)).tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("plateau", [1, 2, 5])
def test_rates_are_halved_when_torchs_scheduler_halves_them(plateau, seed, monkeypatch):
    losses = random_losses(seed)
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=plateau)
    want, rates = [], []
    for epoch, value in enumerate(losses, start=1):
        rates.append(optimiser.param_groups[0]["lr"])
        scheduler.step(value)
        if optimiser.param_groups[0]["lr"] < rates[-1]:
            want.append(epoch)
    scripted(monkeypatch, losses)
    seen = steps_seen(monkeypatch)
    schedule = replace(
        SHORT, batch=40, epochs=40, patience=100, plateau=plateau, rates={"output": 0.2}
    )
    assert list(trained(fresh(), schedule).halved) == want != []
    assert seen == [[0.01 * r, 0.2 * r] for r in rates]


def test_a_plateau_that_never_comes_changes_no_bit():
    plain, watched = fresh(), fresh()
    assert trained(plain) == trained(watched, replace(SHORT, plateau=50))
    assert weights(plain) == weights(watched)


# --- frozen parts, and rates


def test_a_frozen_part_keeps_every_bit_and_the_rest_learns():
    net, before = fresh(), fresh()
    trained(net, replace(SHORT, rates={"encoder": 0.0}))
    assert weights(net, "encoder") == weights(before, "encoder")
    assert weights(net, "output") != weights(before, "output")


def test_a_part_can_be_unfrozen_later_by_training_again():
    net = fresh()
    trained(net, replace(SHORT, rates={"encoder": 0.0}))
    held = weights(net, "encoder")
    trained(net, replace(SHORT, rates={"encoder": 0.001}))
    assert weights(net, "encoder") != held
    assert all(weight.requires_grad for weight in net.parameters())


def test_gradients_from_before_a_part_was_frozen_are_not_clipped_by():
    net = fresh()
    trained(net, held=None)
    again = deepcopy(net)
    again.zero_grad(set_to_none=True)
    for weight in net.encoder.parameters():
        weight.grad = torch.full_like(weight, 1e6)
    for each in (net, again):
        trained(each, replace(SHORT, rates={"encoder": 0.0}))
    assert weights(net) == weights(again)


def test_each_part_moves_at_its_own_rate_and_the_longest_name_counts():
    net, before = fresh(), fresh()
    rates = {"encoder": 1e-4, "encoder.layers.bias_hh_l0": 0.0, "output": 0.03}
    # Adam's first step moves each weight by the rate, whatever its gradient.
    trained(net, Schedule(1.0, 40, 1, 1, rates=rates), held=None)
    moved = {
        name: float((w - before.state_dict()[name]).abs().max())
        for name, w in net.state_dict().items()
    }
    assert moved.pop("encoder.layers.bias_hh_l0") == 0.0
    for name, far in moved.items():
        assert far == pytest.approx(0.03 if name.startswith("output") else 1e-4, rel=0.01), name


def test_one_rate_for_all_parts_is_no_rate_by_part():
    plain, named = fresh(), fresh()
    trained(plain)
    trained(named, replace(SHORT, rates={"encoder": 0.01}))
    assert weights(plain) == weights(named)


def test_rates_that_fit_no_part_or_freeze_all_are_refused():
    for part in ("encode", "output.weigh", ""):
        with pytest.raises(ValueError, match=f"rates: the net has no weights of {part}"):
            trained(fresh(), replace(SHORT, rates={part: 0.1}))
    with pytest.raises(ValueError, match="rates: all of the net is frozen"):
        trained(fresh(), replace(SHORT, rates={"encoder": 0.0, "output": 0.0}))
    for rate in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=f"rates: got {rate:g} for encoder"):
            trained(fresh(), replace(SHORT, rates={"encoder": rate}))


# --- clipping


@pytest.mark.parametrize("size", [1e-3, 1e4])
def test_a_gradient_longer_than_one_is_shortened_to_one_and_no_other_is_touched(size):
    rows = rows_of(40, size=size)
    net, raw = fresh(), fresh()
    trained(net, Schedule(1e-3, 40, 1, 1), rows=rows, held=None)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    x, truth = rows.batch(order)
    squares(raw.train()(x)[0], truth).mean().backward()
    got, want = (torch.cat([w.grad.flatten() for w in n.parameters()]) for n in (net, raw))
    if size > 1.0:
        assert float(want.norm()) > 100.0
        assert float(got.norm()) == pytest.approx(1.0, rel=1e-4)
        torch.testing.assert_close(got, want / want.norm(), rtol=1e-4, atol=1e-6)
    else:
        assert float(want.norm()) < 1.0
        assert got.equal(want)


# --- memory


class _Failing(nn.Module):
    """Raises in its forward pass what it is told to."""

    def __init__(self, fail: Callable[[], object]) -> None:
        super().__init__()
        self.weight, self.fail = nn.Parameter(torch.ones(1)), fail

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        self.fail()
        return x[:, -1, 0] * self.weight, None


def raises(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


NO_MEMORY = {
    "CPU": lambda: torch.empty(10**15),
    "CUDA": raises(torch.OutOfMemoryError("CUDA out of memory. RunDigest to allocate 2.00 GiB.")),
    "MPS": raises(RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)")),
    "cuBLAS": raises(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")),
}


@pytest.mark.parametrize("where", NO_MEMORY)
@pytest.mark.parametrize(
    "work",
    [trained, lambda net: loop.outputs(net, HELD),
     lambda net: loop.estimate(net, squares, TRAIN, SHORT, 10, 10)],
)  # fmt: skip
def test_memory_that_does_not_suffice_is_said_in_words(where, work):
    words = r"^out of memory: a smaller batch or width\?$"
    with pytest.raises(ModelError, match=words), repeatable(1, CPU):
        work(_Failing(NO_MEMORY[where]))


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), repeatable(1, CPU):
        trained(_Failing(raises(RuntimeError("shapes cannot be multiplied"))))


def test_torchs_randomness_is_put_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(ModelError), repeatable(1, CPU):
        torch.rand(3)
        trained(_Failing(NO_MEMORY["CPU"]))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_whose_fit_finds_no_memory_is_named_before_and_while_it_is_fitted(monkeypatch):
    rows, y = world(100)
    net = model("gru", **TINY)
    monkeypatch.setattr(Recurrent, "forward", lambda self, x: torch.empty(10**15))
    for work in (lambda: net.fit(rows, y), lambda: net.estimate(100, 10)):
        with pytest.raises(ModelError, match="out of memory"):
            work()
    monkeypatch.setattr(training_time, "_sizes", lambda *_: [(100, 10)])
    fit = (
        SimpleNamespace(horizon="1h", symbols=("X",), rows=rows),
        SimpleNamespace(window=Window(0, 0, 0, 0, 1)),
    )
    with pytest.raises(RunError, match=r"^model net, horizon 1h, window 1 .*: out of memory: a sm"):
        training_time.training_time(
            "net", net, [fit], horizon="1h", settings=Settings(0, net.scale)
        )
