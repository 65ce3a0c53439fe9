"""The log's tables of runs, verdicts, decisions, registrations and what a run checked."""

from __future__ import annotations

from harness.log.schema import (
    BASELINE,
    COUNT,
    FLAG,
    HORIZON,
    METRIC,
    MODEL,
    REAL,
    RUN_ID,
    TEXT,
    TEXTS,
    TIME,
    Column,
    LogTable,
)

_GAIN = (
    "the gain over the baseline, positive for better: in the metric's unit, as a share of the "
    "baseline's figure where gain_as is `relative`, or the share of symbols won where it is `wins`"
)
_GAIN_AS = "how the gain is counted: `difference`, `relative` or `wins`"
_STATUS = "the verdict: `confirmed`, `refuted`, `inconclusive` or `void`"
_SPEC_HASH = "hash of everything in the hypothesis that can change a number or the verdict"
_ALPHA = "significance level of the rule, a probability; the interval has level 1 - 2 alpha"
_MIN_GAIN = "the least gain that the rule asks for, in the unit of gain"
_UNBOUNDED = (
    "where the interval has no end, since no gain on that side is rejected: `below`, `above` or "
    "`both`; null where it has both ends"
)
_RULE = "`test`: the claim is tested; `point`: the estimate has to reach it; null: older runs"
_GAIN_SHOWN = "whether `no gain` is rejected; null: void, older runs"
_CLAIM_SHOWN = "whether the claim itself is shown by its test; null: void, older runs"
_LEVEL = "the level of the VaR and ES that a metric of risk scores, a probability; null for others"
_RESIDUALS = "their residual distribution, as in `[risk]`; null for metrics of volatility"
_HOLM = (
    "p_value of the candidate that decides, adjusted by Holm for all comparisons of the run's "
    "family, as of the run; null: no p-value decides, older runs"
)
_TRIED = "how many comparisons the run's family had, as of the run; null: older runs"
_DIGITS = "xxh3 hash of the bars that were read"

RUNS = LogTable(
    "runs",
    "One row per run: what ran, on which data, and its verdict.",
    (
        RUN_ID,
        Column("hypothesis", TEXT, "the hypothesis' name"),
        Column("title", TEXT, "the hypothesis' title"),
        Column("spec_hash", TEXT, _SPEC_HASH),
        Column("started", TIME, "when the run began, UTC"),
        Column("seconds", REAL, "wall time of the run, in seconds"),
        Column("status", TEXT, _STATUS),
        Column("panel", TEXT, "the panel's name"),
        Column("fingerprint", TEXT, _DIGITS),
        Column("panel_start", TIME, "start of the panel's first bar, UTC"),
        Column("panel_end", TIME, "end of the panel's last bar, UTC"),
        Column("bars", COUNT, "bars of all symbols, filled ones included"),
        Column("filled_share", REAL, "share of the bars that were filled, 0 to 1"),
        Column(
            "zero_share",
            REAL,
            "share of the returns over sample.interval that are 0, those of filled bars included, "
            "0 to 1",
        ),
        Column("seed", COUNT, "seed of all random numbers"),
        Column("gain", REAL, f"{_GAIN}; of the candidate that decides"),
        Column("gain_as", TEXT, _GAIN_AS),
        Column("metric", TEXT, "the metric of the verdict"),
        Column("horizon", TEXT, "the horizon of the verdict"),
        Column("gain_shown", FLAG, _GAIN_SHOWN),
        Column("claim_shown", FLAG, _CLAIM_SHOWN),
        Column("p_holm", REAL, _HOLM),
        Column("family_comparisons", COUNT, _TRIED),
        Column("code_version", TEXT, "git commit of the code, or a hash of its source"),
        Column("decision", TEXT, "the latest `harness mark`: dropped, adopted, parked, or null"),
    ),
    "view",
)

HYPOTHESES = LogTable(
    "hypotheses",
    "One row per hypothesis and spec, with its runs.",
    (
        Column("hypothesis", TEXT, "the hypothesis' name"),
        Column("spec_hash", TEXT, _SPEC_HASH),
        Column("title", TEXT, "title in its latest run"),
        Column("claim", TEXT, "claim in its latest run"),
        Column("runs", COUNT, "how many runs it has"),
        Column("first_run", TIME, "when its first run began, UTC"),
        Column("last_run", TIME, "when its latest run began, UTC"),
        Column("last_status", TEXT, "the verdict of its latest run"),
    ),
    "view",
)

VERDICTS = LogTable(
    "verdicts",
    "One row per run: the acceptance rule and what decided it.",
    (
        RUN_ID,
        Column("status", TEXT, _STATUS),
        METRIC,
        Column("level", REAL, _LEVEL),
        Column("residuals", TEXT, _RESIDUALS),
        HORIZON,
        Column("baseline", TEXT, "the baseline model"),
        Column("candidate", TEXT, "the candidate that decides: the one with the largest gain"),
        Column("gain", REAL, _GAIN),
        Column("gain_low", REAL, "lower end of the interval of the gain, in its unit; null: none"),
        Column("gain_high", REAL, "upper end of the interval of the gain, in its unit; null: none"),
        Column("min_gain", REAL, _MIN_GAIN),
        Column("alpha", REAL, _ALPHA),
        Column("p_value", REAL, "one-sided p-value of `no gain`, adjusted for the candidates"),
        Column("reasons", TEXTS, "why, in sentences"),
        Column("unbounded", TEXT, _UNBOUNDED),
        Column(
            "p_claim",
            REAL,
            "p-value of `the gain is at most min_gain`, or, for the claim `equal`, of `outside the "
            "margin`; adjusted for the candidates; null: older runs",
        ),
        Column("gain_shown", FLAG, _GAIN_SHOWN),
        Column("claim_shown", FLAG, _CLAIM_SHOWN),
        Column("rule", TEXT, _RULE),
        Column("rule_version", COUNT, "version of the verdict rule; null: 1"),
        Column("periods", COUNT, "separate shifts of the regime; null unless it is of shifts"),
        Column("p_holm", REAL, _HOLM),
        Column("family_comparisons", COUNT, _TRIED),
    ),
    "other",
)

CARDS = LogTable(
    "cards",
    "One row per run: its card.",
    (RUN_ID, Column("markdown", TEXT, "the card, with the latest decision in its head")),
    "view",
)

DECISIONS = LogTable(
    "decisions",
    "One row per `harness mark`: what the researcher decided about a run.",
    (
        RUN_ID,
        Column("decided_at", TIME, "when it was marked, UTC"),
        Column("decision", TEXT, "dropped, adopted or parked"),
        Column("note", TEXT, "why, as given with --note"),
    ),
    "view",
)

REGISTRATIONS = LogTable(
    "registrations",
    "One row per `harness register`: the rule that was fixed, and when.",
    (
        Column("file", TEXT, "the registration's file under registrations/"),
        Column("hypothesis", TEXT, "the hypothesis' name"),
        Column("spec_hash", TEXT, _SPEC_HASH),
        Column("registered_at", TIME, "when it was registered, UTC"),
        Column("panel", TEXT, "the panel's name"),
        Column("fingerprint", TEXT, f"{_DIGITS}; null where the data was not at hand"),
        Column("panel_start", TIME, "start of the panel's first bar, UTC"),
        Column("panel_end", TIME, "end of the panel's last bar, UTC"),
        Column("baseline", TEXT, "the baseline model"),
        Column("candidates", TEXTS, "the candidate models"),
        METRIC,
        HORIZON,
        Column("min_gain", REAL, _MIN_GAIN),
        Column("gain_as", TEXT, _GAIN_AS),
        Column("alpha", REAL, _ALPHA),
        Column("claim", TEXT, "`better` or `equal`"),
        Column("regime", TEXT, "the regime that the verdict is about; null for all rows"),
        Column("rule", TEXT, _RULE),
        Column("level", REAL, _LEVEL),
        Column("residuals", TEXT, _RESIDUALS),
    ),
    "other",
)

AUDITS = LogTable(
    "audits",
    "One row per check of the leak audit, with its first failure.",
    (
        RUN_ID,
        Column("form", TEXT, "form of the audit: `short` or `full`"),
        Column("name", TEXT, "the check's name"),
        Column("passed", FLAG, "whether nothing failed"),
        Column("count", COUNT, "number of values or rows compared"),
        Column("covered", TEXT, "what the check looked at, in words"),
        Column("subject", TEXT, "first failure: the column or model; null where it passed"),
        Column("symbol", TEXT, "first failure: its symbol"),
        Column("first_row", TIME, "first failure: time of its first row, UTC"),
        Column("reason", TEXT, "first failure: why"),
    ),
)

FORESIGHT = LogTable(
    "foresight",
    "One row per feature of a model of the verdict that reads a column whose time could be wrong.",
    (
        RUN_ID,
        HORIZON,
        Column("feature", TEXT, "the feature, as the model gets it"),
        Column(
            "read",
            TEXTS,
            "its columns that are not the target's own: volume, extra columns, side series; "
            "`prices` beside a target that is an extra column",
        ),
        Column(
            "partial",
            REAL,
            "correlation with the target's surprise, both net of the target's past; -1 to 1",
        ),
        Column(
            "lead",
            COUNT,
            "forecast origins from what is new in the feature to the move of volatility that it "
            "correlates with most; 0 or less: with or after the move, as in an honest column",
        ),
        Column("ahead", REAL, "largest correlation of what is new with later moves, 0 to 1"),
        Column("behind", REAL, "the same with moves up to the forecast origin, 0 to 1"),
        Column(
            "together",
            REAL,
            "root of the sum of squared correlations with all later moves, less what chance gives",
        ),
        Column("n", COUNT, "number of forecast origins"),
        Column("suspected", FLAG, "whether the card warns that the column may know the future"),
    ),
    note="Figures and bounds are defined in docs/methods.md, Columns that know the future.",
)

DOCUMENTS = LogTable(
    "documents",
    "One row per run with `[document]`: a publication that makes the same claim.",
    (
        RUN_ID,
        Column("title", TEXT, "title of the publication"),
        Column("place", TEXT, "where in it the claim is made"),
        Column("says", TEXT, "what it claims, in words"),
        Column("differs", TEXT, "in what way its figures are of something else"),
        Column("right_if", TEXT, "the verdict under which it is right: confirmed or refuted"),
        Column("gain", REAL, "the gain that it reports, in the verdict's own unit"),
    ),
)

REPORTED = LogTable(
    "reported",
    "One row per figure that the publication reports.",
    (RUN_ID, METRIC, MODEL, Column("value", REAL, "the reported figure, in the metric's unit")),
)

TIMINGS = LogTable(
    "timings",
    "One row per stage of a run: how long it took.",
    (
        RUN_ID,
        Column("stage", TEXT, "the stage, such as `fit and forecast`"),
        Column("seconds", REAL, "wall time of the stage, in seconds"),
    ),
)

FRAGILITY = LogTable(
    "fragility",
    "One row per variant of the verdict: would it be the same under another choice?",
    (
        RUN_ID,
        Column(
            "kind",
            TEXT,
            "what is varied: registered (nothing), loss, level, residuals, seed, training, "
            "interval, proxy, windows, year or regime",
        ),
        Column("variant", TEXT, "the variant, in words"),
        Column("candidate", TEXT, "the candidate that decides"),
        BASELINE,
        METRIC,
        Column("gain_as", TEXT, _GAIN_AS),
        Column("gain", REAL, f"{_GAIN}; null where the variant could not be computed"),
        Column("gain_low", REAL, "lower end of the interval of the gain, in its unit; null: none"),
        Column("gain_high", REAL, "upper end of the interval of the gain, in its unit; null: none"),
        Column("p_value", REAL, "one-sided p-value of `no gain`, adjusted for the candidates"),
        Column("n", COUNT, "number of forecast origins"),
        Column("min_gain", REAL, "least gain of the variant's rule, in the unit of gain; 0: any"),
        Column("status", TEXT, "the verdict of the variant"),
        Column("agrees", FLAG, "whether it is the registered verdict"),
        Column("same_sign", FLAG, "whether the gain has the sign of the registered one"),
        Column("note", TEXT, "what a reader should know, or why there is no figure"),
        Column("unbounded", TEXT, _UNBOUNDED),
    ),
)
