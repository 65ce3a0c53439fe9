"""Attention: a pooling that weights the steps, and encoders in which steps attend to each other.

In a look-back window that ends at the forecast origin every step is known, so there is no
look-ahead even without `causal`; that is for nets with a forecast at every step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_ALL_SCORED = 256  # steps up to which one product with all keys takes less time than drawing keys


class Attention(nn.Module):
    """The mean of all states under weights softmax(v' tanh(W s + b)) over the steps.

    Additive attention: Bahdanau, Cho & Bengio (2015), ICLR, appendix A.1.2, without a query.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False)
        )

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, L, h) -> (b, h), and the weights (b, L), which sum to 1."""
        weights = torch.softmax(self.score(states).squeeze(-1), dim=1)
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1), weights


def attention_weights(queries: Tensor, keys: Tensor, *, causal: bool = False) -> Tensor:
    """softmax(Q K' / sqrt d) (…, u, L) of queries (…, u, d) and keys (…, L, d).

    With `causal` the queries are the steps' own (u = L), and a later key weighs exactly 0.
    Vaswani et al. (2017), NeurIPS, eq. 1.
    """
    scores = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    return torch.softmax(scores, dim=-1)


class SelfAttention(nn.Module):
    """Every step as weighted means of the values of all steps, or with `causal` of those so far.

    `heads` means side by side, each of width / heads projected columns, projected back together;
    dropout acts on the weights. No residual connection and no norm. Vaswani et al. (2017), NeurIPS,
    section 3.2. ValueError if the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, causal: bool = False) -> None:
        super().__init__()
        _require_divisor(heads, width)
        self.heads, self.causal = heads, causal
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """(b, L, h) -> (b, L, h)."""
        split = self.project(states).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        return self.merge(self._attended(queries, keys, values).transpose(1, 2).flatten(2))

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The heads' means (b, heads, L, d) of queries, keys and values of that shape."""
        return self.dropout(attention_weights(queries, keys, causal=self.causal)) @ values


class CrossAttention(nn.Module):
    """Every step of one sequence as weighted means of the values of all steps of another.

    Heads and dropout as of SelfAttention; all of the other sequence must be known. Vaswani et al.
    (2017), NeurIPS, section 3.2.3. ValueError if the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        _require_divisor(heads, width)
        self.heads = heads
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.merge, self.dropout = nn.Linear(width, width), nn.Dropout(dropout)

    def forward(self, states: Tensor, others: Tensor) -> Tensor:
        """(b, l, h) and the other sequence's (b, L, h) -> (b, l, h)."""
        queries = self.ask(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        split = self.answer(others).unflatten(-1, (2, self.heads, -1))
        keys, values = split.permute(2, 0, 3, 1, 4)
        found = self.dropout(attention_weights(queries, keys)) @ values
        return self.merge(found.transpose(1, 2).flatten(2))


class ProbSparse(SelfAttention):
    """Self-attention of the u = ceil(c ln L) steps with the least uniform attention.

    Unevenness is M(q) = max - mean of q k' / sqrt d over u keys drawn with replacement for each
    step; one draw serves all sequences and heads. The other steps get the mean of all values.
    If u >= L it is full self-attention. Zhou et al. (2021), AAAI, Informer, eq. 3 and 4,
    algorithm 1; `factor` is c.

    This is the paper's form, u = ceil(c ln L) and M with the mean over the drawn keys. The
    authors' code has u = c ceil(ln L), and in M the sum over the drawn keys divided by L: for c = 5
    and L = 60 its u is 25, here 21.

    With `causal` keys are drawn from those so far, a step attends if its M is among the u largest
    so far (the earlier of equal ones first), and the others get the mean of the values so far. The
    paper's choice among all steps would leak later steps into step t. More than u steps may attend
    then, and their number is not known in advance, so all scores are computed: this form saves no
    time over full attention.

    Training redraws keys for every batch from torch's seeded generator, like dropout; `eval` draws
    from `seed` and the length alone.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        *,
        causal: bool = False,
        factor: float = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(width, heads, dropout, causal=causal)
        self.factor, self.seed = factor, seed

    def attending(self, length: int) -> int:
        """How many steps of a sequence attend, and how many keys each is tested on; at least 1."""
        return min(length, max(1, math.ceil(self.factor * math.log(length))))

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        count = self.attending(length := values.shape[-2])
        if count == length:
            return super()._attended(queries, keys, values)
        uneven = self._unevenness(queries, keys)
        if self.causal:
            so_far = torch.arange(1, length + 1, device=values.device)[:, None]
            mean = values.cumsum(dim=-2) / so_far
            chosen = _rank_so_far(uneven) < count
            return torch.where(chosen[..., None], super()._attended(queries, keys, values), mean)
        at = uneven.topk(count).indices[..., None].expand(-1, -1, -1, values.shape[-1])
        found = super()._attended(queries.gather(-2, at), keys, values)
        return values.mean(dim=-2, keepdim=True).expand_as(values).scatter(-2, at, found)

    @torch.no_grad()
    def _unevenness(self, queries: Tensor, keys: Tensor) -> Tensor:
        """M (b, heads, L) of every step."""
        drawn = self._drawn_keys(length := queries.shape[-2]).to(keys.device)
        if length <= _ALL_SCORED:
            places = drawn.expand(*queries.shape[:-2], *drawn.shape)
            scores = (queries @ keys.transpose(-2, -1)).gather(-1, places)
        else:
            scores = (keys[..., drawn, :] @ queries[..., None]).squeeze(-1)
        below = scores.amax(dim=-1, keepdim=True) - scores  # exactly 0 where one key was drawn
        return below.mean(dim=-1) / math.sqrt(queries.shape[-1])

    def _drawn_keys(self, length: int) -> Tensor:
        """The keys each step is tested on (L, u); always drawn on the CPU."""
        source = None if self.training else torch.Generator().manual_seed(self.seed)
        shape = length, self.attending(length)
        drawn = torch.rand(shape, dtype=torch.float64, generator=source)
        reach = torch.arange(1, length + 1) if self.causal else torch.full((length,), length)
        return (drawn * reach[:, None]).long()


def _require_divisor(heads: int, width: int) -> None:
    if heads < 1 or width % heads:
        raise ValueError(f"heads: got {heads}, wanted a divisor of the width {width}")


def _rank_so_far(values: Tensor) -> Tensor:
    """How many of the earlier values (…, L) are at least as large as each value."""
    not_less = values[..., None, :] >= values[..., :, None]
    return not_less.tril(-1).sum(dim=-1)


def sinusoids(length: int, width: int) -> Tensor:
    """sin and cos of t / 10000^(2i/width) in columns 2i and 2i + 1, t from 0: (length, width).

    Float64. Vaswani et al. (2017), NeurIPS, section 3.5.
    """
    step = torch.arange(length, dtype=torch.float64)[:, None]
    pair = torch.arange(0, width, 2, dtype=torch.float64)
    angle = step * torch.exp(-math.log(10_000.0) / width * pair)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


class Positions(nn.Module):
    """Adds sinusoids to every step of sequences of at most `length` steps."""

    table: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        table = sinusoids(length, width).to(torch.get_default_dtype())
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, h) -> (b, L, h)."""
        return x + self.table[: x.shape[1]]
