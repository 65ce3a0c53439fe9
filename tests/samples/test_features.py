"""Feature expressions: what is read, what is refused, what they give, and that none looks ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.samples.feature_functions import FUNCTIONS, Function
from harness.samples.features import (
    MAX_LENGTH,
    Call,
    Expression,
    FeatureError,
    evaluate,
    parse_feature,
    split_column,
)
from harness.types import F64

FLOOR = 1e-6
NAN = math.nan


def value(text: str, unit: str = "sigma", **columns: list[float]) -> list[float]:
    arrays = {name: np.array(numbers, dtype=np.float64) for name, numbers in columns.items()}
    units = dict.fromkeys(arrays, unit)
    return evaluate(parse_feature(text), arrays, units, FLOOR).tolist()


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (" log1p( j_4h )", "log1p(j_4h)"),
        ("rv_1h-(rv_1d-j_h)", "rv_1h - (rv_1d - j_h)"),
        ("(rv_1h-rv_1d)-j_h", "rv_1h - rv_1d - j_h"),
        ("rv_1h/(rv_1d*2.0)", "rv_1h / (rv_1d * 2)"),
        ("-rv_1h*2", "-rv_1h * 2"),
        ("-(rv_1h*2)", "-(rv_1h * 2)"),
        ("(((rv_1h)))", "rv_1h"),
        ("mean(rv_1h,3,1)", "mean(rv_1h, 3)"),
        ("mean(rv_1h,3,24)", "mean(rv_1h, 3, 24)"),
        ("ewma(vix_level_1d,.94,24)", "ewma(vix_level_1d, 0.94, 24)"),
        ("rv_1h*1E-6", "rv_1h * 1e-06"),
    ],
)
def test_an_expression_has_one_canonical_text(written, canonical):
    assert parse_feature(written).text == canonical
    assert parse_feature(canonical) == parse_feature(written)


NODES = st.recursive(
    st.sampled_from(["rv_1h", "j_h", "bv_1d"]),
    lambda inner: st.one_of(
        st.builds("-({})".format, inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("({}) {} {}".format, inner, st.sampled_from("+-*/"), st.floats(0, 1e9)),
        st.builds("log({})".format, inner),
        st.builds("lag({}, {})".format, inner, st.integers(1, 9)),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(NODES.filter(lambda text: len(text) <= MAX_LENGTH))
def test_the_canonical_text_parses_back_to_the_same_tree(text):
    expression = parse_feature(text)
    assert parse_feature(expression.text) == expression


def test_columns_and_the_horizons_own_scale():
    expression = parse_feature("log(rv_1h) + j_h / mean(j_h, 3) - x_h_1d")
    assert expression.columns == {"rv_1h", "j_h", "x_h_1d"}
    assert expression.at("4h").text == "log(rv_1h) + j_4h / mean(j_4h, 3) - x_h_1d"
    assert expression.at("4h").columns == {"rv_1h", "j_4h", "x_h_1d"}
    assert split_column("x_h_1d") == ("x_h", "1d")


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os')",
        "__import__('os').system('true')",
        "rv_1h.__class__",
        "().__class__.__bases__",
        "lambda: rv_1h",
        "[rv_1h for x in rv_1h]",
        "{rv_1h}",
        "(rv_1h, rv_1d)",
        "rv_1h[0]",
        "'rv_1h'",
        "b'rv_1h'",
        "f'{rv_1h}'",
        "(rv_1h := 1)",
        "rv_1h if rv_1h else rv_1d",
        "rv_1h and rv_1d",
        "rv_1h < rv_1d",
        "rv_1h == rv_1d",
        "rv_1h**2",
        "rv_1h // 2",
        "rv_1h % 2",
        "rv_1h @ rv_1h",
        "rv_1h << 2",
        "~rv_1h",
        "+rv_1h",
        "not rv_1h",
        "rv_1h + True",
        "rv_1h + None",
        "rv_1h + 1j",
        "rv_1h + ...",
        "log(x=rv_1h)",
        "log(*rv_1h)",
        "log(**rv_1h)",
        "log(rv_1h)(rv_1h)",
        "(log)(rv_1h)(1)",
        "eval(rv_1h)",
        "exec(rv_1h)",
        "np.log(rv_1h)",
        "await rv_1h",
        "yield rv_1h",
        "import os",
        "rv_1h; rv_1d",
        "rv_1h\nrv_1d",
        "rv_1h\x00",
        "1or rv_1h",
        "'\\d'",
        "",
        "   ",
        ")(",
        "log",
        "rv",
        "rv_",
        "rv_1mo",
        "rv_0h",
        "_1h",
        "RV_1h",
        "é_1h",
        "rv_1h + " + "9" * 400,
        "9" * 6000,
        "rv_1h * 1e999",
        "1 + 1",
        "log(2) + rv_1h",
        "log()",
        "log(rv_1h, 2)",
        "lag(rv_1h)",
        "lag(rv_1h, 0)",
        "lag(rv_1h, -1)",
        "lag(rv_1h, 1.0)",
        "lag(rv_1h, True)",
        "lag(rv_1h, rv_1h)",
        "lag(rv_1h, 1 + 1)",
        "lag(rv_1h, 100001)",
        "mean(rv_1h, 2, 0)",
        "ewma(rv_1h, 1.0, 1)",
        "ewma(rv_1h, 0.0, 1)",
        "ewma(rv_1h, 1, 1)",
        "ewma(rv_1h, 0.9)",
        "log(" * 90 + "rv_1h**2" + ")" * 90,
        "not " * 95 + "rv_1h",
        "(" * 200 + "rv_1h" + ")" * 200,
        "-" * 200 + "rv_1h",
        "~" * 490 + "rv_1h",
        "a" + ".b" * 240,
        "[" * 150 + "]" * 150,
        "rv_1h + " * 1250 + "rv_1h",
        "x" * 10_000,
    ],
)
def test_whatever_is_not_in_the_grammar_is_one_line_of_error(attack):
    with pytest.raises(FeatureError) as caught:
        parse_feature(attack)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert len(message) < 220


def test_an_unknown_function_is_told_the_nearest():
    with pytest.raises(FeatureError, match="'logg' is not a function") as caught:
        parse_feature("logg(rv_1h)")
    assert caught.value.nearest == "log"


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("log(x_1h)", [1.0, math.e, NAN], [0.0, 1.0, NAN]),
        ("log(x_1h)", [0.0, -3.0], [math.log(1e-6), math.log(1e-6)]),
        ("log1p(x_1h)", [0.0, math.e - 1.0, -2.0], [0.0, 1.0, NAN]),
        ("sqrt(x_1h)", [4.0, 2.25, -1.0], [2.0, 1.5, NAN]),
        ("square(x_1h)", [3.0, -4.0, NAN], [9.0, 16.0, NAN]),
        ("abs(x_1h)", [3.0, -4.0, NAN], [3.0, 4.0, NAN]),
        ("lag(x_1h, 2)", [1.0, 2.0, 3.0], [NAN, NAN, 1.0]),
        ("lag(x_1h, 3)", [1.0, 2.0, 3.0], [NAN, NAN, NAN]),
        ("lag(x_1h, 9)", [1.0, 2.0, 3.0], [NAN, NAN, NAN]),
        ("mean(x_1h, 1)", [1.0, 2.0], [1.0, 2.0]),
        ("mean(x_1h, 2)", [1.0, 2.0, 5.0, NAN, 7.0], [NAN, 1.5, 3.5, NAN, NAN]),
        ("mean(x_1h, 2, 2)", [1.0, 2.0, 5.0, 8.0], [NAN, NAN, 3.0, 5.0]),
        ("mean(x_1h, 3, 2)", [1.0, 2.0, 5.0, 8.0], [NAN, NAN, NAN, NAN]),
        ("ewma(x_1h, 0.5, 1)", [4.0, 8.0, NAN, 2.0], [4.0, 6.0, NAN, 4.0]),
        ("ewma(x_1h, 0.5, 2)", [4.0, NAN, 8.0, 1.0, 2.0, 3.0], [4.0, NAN, 6.0, 1.0, 4.0, 2.0]),
        ("ewma(x_1h, 0.5, 9)", [4.0, 8.0], [4.0, 8.0]),
        ("ewma(x_1h, 0.5, 1)", [math.inf, 4.0, -math.inf, 8.0], [NAN, 4.0, NAN, 6.0]),
        ("x_1h / 0", [1.0, -1.0, 0.0], [math.inf, -math.inf, NAN]),
        ("1 / x_1h + 1 / 0", [1.0, 0.0], [math.inf, math.inf]),
        ("-x_1h + 2 * 3", [1.0, -1.0], [5.0, 7.0]),
        ("x_1h - (2 - 1)", [1.0, 5.0], [0.0, 4.0]),
    ],
)
def test_known_values(text, x, expected):
    assert value(text, x_1h=x) == pytest.approx(expected, nan_ok=True, abs=1e-15)


def test_the_floor_is_squared_for_a_bare_variance_column_only():
    assert value("log(x_1h)", "variance", x_1h=[0.0]) == pytest.approx([math.log(1e-12)])
    assert value("log(sqrt(x_1h))", "variance", x_1h=[0.0]) == pytest.approx([math.log(1e-6)])
    assert value("log(x_1h)", "sigma", x_1h=[0.0]) == pytest.approx([math.log(1e-6)])


def test_a_bad_tick_leaves_a_mean_as_soon_as_it_leaves_the_window():
    x = np.full(50, 1e-4)
    x[10] = 1e12
    mean = evaluate(parse_feature("mean(x_1h, 5)"), {"x_1h": x}, {}, FLOOR)
    assert mean[14] > 1e11
    assert (mean[15:] == mean[9]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(NAN), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(1, 5),
)
def test_mean_agrees_with_a_plain_loop(numbers, k, stride):
    plain = []
    for t in range(len(numbers)):
        window = [numbers[t - i * stride] for i in range(k) if t - i * stride >= 0]
        plain.append(sum(reversed(window)) / k if len(window) == k else NAN)
    given_ = value(f"mean(x_1h, {k}, {stride})", x_1h=numbers)
    assert given_ == pytest.approx(plain, nan_ok=True, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 1e6) | st.just(NAN), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
    st.integers(1, 5),
)
def test_ewma_agrees_with_a_plain_recursion_per_stride_class(numbers, decay, stride):
    plain = [NAN] * len(numbers)
    for start in range(stride):
        finite = [t for t in range(start, len(numbers), stride) if math.isfinite(numbers[t])]
        for before, t in zip([None, *finite], finite, strict=False):
            old = numbers[t] if before is None else plain[before]
            plain[t] = numbers[t] if before is None else decay * old + (1 - decay) * numbers[t]
    given_ = value(f"ewma(x_1h, {decay!r}, {stride})", x_1h=numbers)
    assert given_ == pytest.approx(plain, nan_ok=True)


def example(function: Function) -> Expression:
    """A call of any function of the table, by its own signature."""
    constants = [str(3 + i) if c.whole else "0.9" for i, c in enumerate(function.constants)]
    return parse_feature(f"{function.name}({', '.join(['x_1h / y_1d', *constants])})")


def noisy(rng: np.random.Generator, rows: int) -> F64:
    """Values over many magnitudes, with missing and infinite ones among them."""
    x = rng.lognormal(0.0, 3.0, rows) * rng.choice([1.0, 1.0, 1.0, -1.0], rows)
    x[rng.random(rows) < 0.05] = NAN
    x[rng.random(rows) < 0.02] = math.inf
    return x


def beside(expression: Expression, columns: dict[str, F64]) -> F64:
    """The feature of a symbol beside another whose values are twice its own."""

    def across(call: Call) -> F64:
        x = evaluate(Expression(call.operand), columns, {}, FLOOR)
        both, moment = np.concatenate([x, 2.0 * x]), np.tile(np.arange(x.size), 2)
        known = np.isfinite(both)
        with np.errstate(invalid="ignore"):
            return FUNCTIONS[call.function].apply(both[known], moment[known], x.size)

    return evaluate(expression, columns, {}, FLOOR, across)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_noise_after_an_origin_changes_no_bit_up_to_it(function):
    rng, rows = np.random.default_rng(7), 400
    expression = example(function)
    columns = {"x_1h": noisy(rng, rows), "y_1d": noisy(rng, rows)}
    whole = beside(expression, columns)
    assert np.isfinite(whole).any()
    for origin in rng.integers(1, rows, 25):
        changed = {name: x.copy() for name, x in columns.items()}
        for x in changed.values():
            x[origin:] = noisy(rng, rows - origin)
        after = beside(expression, changed)
        assert after[:origin].tobytes() == whole[:origin].tobytes()
        truncated = {name: x[:origin].copy() for name, x in columns.items()}
        short = beside(expression, truncated)
        assert short.tobytes() == whole[:origin].tobytes()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_every_function_keeps_the_shape_of_any_column(function):
    for rows in (0, 1, 2, 11):
        x = np.linspace(0.5, 2.0, rows)
        out = evaluate(example(function), {"x_1h": x, "y_1d": x + 1.0}, {}, FLOOR)
        assert out.shape == (rows,)
        assert out.dtype == np.float64


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_evaluation_leaves_its_input_alone(function):
    x = np.linspace(-1.0, 2.0, 20)
    before = x.tobytes()
    evaluate(parse_feature(example(function).text.replace(" / y_1d", "")), {"x_1h": x}, {}, FLOOR)
    assert x.tobytes() == before
