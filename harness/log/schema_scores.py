"""The log's tables of forecasts, their scores and the tests of them."""

from __future__ import annotations

from harness.log.schema import (
    BASELINE,
    COUNT,
    FORMED_AT,
    HORIZON,
    METRIC,
    MODEL,
    REAL,
    ROWS,
    RUN_ID,
    SYMBOL,
    TEXT,
    TEXTS,
    TIME,
    Column,
    Kind,
    LogTable,
)

_OVERLAP = Column(
    "overlap", COUNT, "over how many later forecast origins a target shares bars with another"
)
_COSINES = Column(
    "cosines",
    COUNT,
    "cosines of the long-run variance: degrees of freedom in time; 0 or null: none",
)
_BLOCK = Column("block", REAL, "mean block length of the bootstrap, in forecast origins")
_DRAWS = Column("draws", COUNT, "number of bootstrap draws")


_FOLD_KIND: Kind = "INTEGER"  # as the runs' Parquet files hold it

FORECASTS = LogTable(
    "forecasts",
    "One row per out-of-sample forecast.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        SYMBOL,
        FORMED_AT,
        Column("resolved_at", TIME, "when the target was known, UTC"),
        Column("fold", _FOLD_KIND, "the test window, from 0; cards count windows from 1"),
        Column("y", REAL, "the target, on its own scale (log or level, sigma or variance per bar)"),
        Column("yhat", REAL, "the forecast, on the target's scale"),
    ),
    "view",
)

SCORES = LogTable(
    "scores",
    "One row per horizon, model, metric and scope: over all windows, and window by window.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        Column("scope", TEXT, "`pooled`, over all test windows, or `window`, over one"),
        Column("window_start", TIME, "start of the test span, UTC"),
        Column("window_end", TIME, "end of the test span, exclusive, UTC"),
        METRIC,
        Column("value", REAL, "the score, in the metric's unit; the mean over seeds"),
        ROWS,
    ),
)

TESTS = LogTable(
    "tests",
    "One row per candidate: the test of its gain over the baseline, which the verdict rests on.",
    (
        RUN_ID,
        Column("name", TEXT, "the test: `diebold-mariano` or `bootstrap of wins`"),
        Column("candidate", TEXT, "the candidate model"),
        BASELINE,
        METRIC,
        HORIZON,
        Column(
            "gain",
            REAL,
            "the gain over the baseline, positive for better: in the metric's unit, a share of "
            "the baseline's figure, or the share of symbols won, as runs.gain_as says",
        ),
        Column("gain_low", REAL, "lower end of the interval, in the unit of gain; null: none"),
        Column("gain_high", REAL, "upper end of the interval, in the unit of gain; null: none"),
        Column("level", REAL, "level of the intervals of all candidates together: 1 - 2 alpha"),
        Column("statistic", REAL, "the test statistic, no unit: Student's t, or gain over error"),
        Column("p_value", REAL, "one-sided p-value of `no gain`, 0 to 1"),
        Column("p_adjusted", REAL, "p_value times the number of candidates (Bonferroni), up to 1"),
        Column("n", COUNT, "number of forecast origins"),
        _COSINES,
        _OVERLAP,
        Column("standard_error", REAL, "standard error of the gain, in its unit (delta method)"),
        Column(
            "critical", REAL, "adjusted critical value: `no gain` is rejected above it; no unit"
        ),
        Column(
            "detectable",
            REAL,
            "minimum detectable gain at 80 % power, in the unit of gain; null where there is none",
        ),
        Column("windows", COUNT, "number of test windows"),
        Column("df", REAL, "degrees of freedom of test and interval, fewer where seeds differ"),
        Column("seeds", COUNT, "number of seeds, 1 unless `run.seeds`; the gain is their mean"),
        Column("seed_least", REAL, "the smallest gain of any one seed, in the unit of gain"),
        Column("seed_greatest", REAL, "the largest gain of any one seed, in the unit of gain"),
        Column("symbols", COUNT, "number of symbols; null unless the gain is the share won"),
        _BLOCK,
        _DRAWS,
        Column("p_claim", REAL, "p-value of `the claim does not hold`; see verdicts.p_claim"),
        Column("unbounded", TEXT, "where the interval has no end; see verdicts.unbounded"),
    ),
)

DIFFERENCES = LogTable(
    "differences",
    "One row per candidate: its loss differences by forecast origin, which the test is about.",
    (
        RUN_ID,
        Column("candidate", TEXT, "the candidate model"),
        BASELINE,
        METRIC,
        HORIZON,
        Column("n", COUNT, "number of forecast origins"),
        Column(
            "mean",
            REAL,
            "mean of the baseline's loss less the candidate's, positive for better, in the loss' "
            "unit; for ic and corr, which have no loss of each row, the gain",
        ),
        Column("skewness", REAL, "their skewness, no unit; null if they are constant"),
        Column(
            "top_share",
            REAL,
            "share, 0 to 1, of the five largest differences of the mean's sign in the sum of all "
            "of that sign; null if there are none",
        ),
        Column("mean_without", REAL, "their mean without these five, in the unit of mean"),
        Column("top_dates", TEXTS, "the forecast origins of these five, UTC, the largest first"),
        Column("lag", COUNT, "overlap + 1: the first lag, in forecast origins, without overlap"),
        Column("autocorrelation", REAL, "autocorrelation of the differences at this lag, -1 to 1"),
        _COSINES,
        Column(
            "half_power",
            REAL,
            "the cosine at which their spectrum has fallen to half; null if not below `cosines`",
        ),
        Column(
            "fewer", COUNT, "number of cosines at which the test holds its level; cosines, if so"
        ),
        Column("p_fewer", REAL, "p-value of `no gain` with `fewer` cosines, adjusted, 0 to 1"),
        Column("p_claim_fewer", REAL, "p_claim of tests with `fewer` cosines"),
        Column("low_fewer", REAL, "lower end of the interval with `fewer` cosines, as gain_low"),
        Column("high_fewer", REAL, "upper end of the interval with `fewer` cosines, as gain_high"),
    ),
    note="No rows where the gain is the share of symbols won: it is no mean of differences.",
)

SEEDS = LogTable(
    "seeds",
    "One row per model, seed and metric: pooled scores of models fitted with several seeds.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        Column("seed", COUNT, "the seed of the fits"),
        METRIC,
        Column("value", REAL, "the pooled score with this seed, in the metric's unit"),
    ),
    note="Elsewhere scores are means over the seeds; stored forecasts are of the first seed.",
)

ABILITY = LogTable(
    "ability",
    "One row per test of predictive ability and model; `harness tests --list` defines the tests.",
    (
        RUN_ID,
        HORIZON,
        Column("test", TEXT, "the test's name"),
        MODEL,
        Column("baseline", TEXT, "the baseline; null for tests of one model"),
        Column("quantity", TEXT, "what is tested: the metric, or `ln sigma`, `variance`, …"),
        Column("effect", REAL, "the effect size; the test defines it and its unit"),
        Column("statistic", REAL, "the test statistic, no unit; the test gives its distribution"),
        Column("p_value", REAL, "p-value of the test's null hypothesis, 0 to 1"),
        Column("n", COUNT, "number of forecast origins"),
        _OVERLAP,
        _COSINES,
        Column("a", REAL, "Mincer-Zarnowitz: the intercept, in the unit of quantity"),
        Column("r2", REAL, "Mincer-Zarnowitz: R², a share of the outcome's variance"),
        Column("standard_error", REAL, "standard error of effect, in its unit"),
        Column("low", REAL, "lower end of the interval of effect, in its unit"),
        Column("high", REAL, "upper end of the interval of effect, in its unit"),
        Column("level", REAL, "level of the interval, a probability"),
        _BLOCK,
        _DRAWS,
        Column("instruments", TEXT, "instruments of the conditional test"),
    ),
)

WINS = LogTable(
    "wins",
    "One row per horizon and model: in how many test windows it beats the baseline.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        BASELINE,
        METRIC,
        Column("wins", COUNT, "number of windows with a better score than the baseline's"),
        Column("windows", COUNT, "number of test windows"),
    ),
)

_GROUP_KIND = Column("kind", TEXT, "`regime`, `symbol` or a label of the panel such as `sector`")

GROUP_SCORES = LogTable(
    "group_scores",
    "One row per group of forecasts, model and metric: scores by regime, symbol or label.",
    (
        RUN_ID,
        HORIZON,
        _GROUP_KIND,
        Column("name", TEXT, "the group's name"),
        MODEL,
        METRIC,
        Column("value", REAL, "the score, in the metric's unit; the mean over seeds"),
        ROWS,
    ),
)

GROUP_WINS = LogTable(
    "group_wins",
    "One row per kind of group, model and metric: in how many groups it beats the baseline.",
    (
        RUN_ID,
        HORIZON,
        _GROUP_KIND,
        MODEL,
        BASELINE,
        METRIC,
        Column("wins", COUNT, "number of groups with a better score than the baseline's"),
        Column("groups", COUNT, "number of groups that have forecasts"),
    ),
)

ADAPTATION = LogTable(
    "adaptation",
    "One row per regime of shifts, model and forecast origin after a shift: the cumulative loss.",
    (
        RUN_ID,
        HORIZON,
        Column("regime", TEXT, "the regime's name"),
        Column("loss", TEXT, "the metric whose loss is summed"),
        Column("shifts", COUNT, "number of shifts, over all symbols"),
        MODEL,
        Column(
            "origin",
            COUNT,
            "the forecast origin after the shift, from 1",
            key="decision",
            aliases=("decision",),
        ),
        Column(
            "cumulative",
            REAL,
            "sum of the losses since the shift, each the mean over shifts, in the loss' unit",
        ),
        Column("usual", REAL, "mean loss over the test rows outside the regime, in the same unit"),
    ),
)
