"""The log's tables of folds and fits: what was trained when, and how it went."""

from __future__ import annotations

from harness.log.schema import (
    COUNT,
    FIT,
    HORIZON,
    MODEL,
    REAL,
    RUN_ID,
    TEXT,
    TIME,
    Column,
    LogTable,
)

_CUT = Column("cut", TIME, "when the fit was made, which is the start of its test span, UTC")
_REFIT = Column("refit", TEXT, "how often fits are made: `window`, once per test window, or a span")

FOLDS = LogTable(
    "folds",
    "One row per fold and horizon: its training and test span, and the proof that nothing leaks.",
    (
        RUN_ID,
        Column("fold", COUNT, "the fold's number, from 0; cards count windows from 1", "window"),
        HORIZON,
        _CUT,
        Column("train_start", TIME, "start of the training span, UTC"),
        Column("test_end", TIME, "end of the test span, exclusive, UTC"),
        Column("embargo_ns", COUNT, "embargo between training and test, in nanoseconds"),
        Column("latest_resolution", TIME, "when the last training target was known, UTC"),
        Column(
            "slack_ns",
            COUNT,
            "cut - embargo - latest_resolution, in nanoseconds; never negative",
        ),
        Column("n_train", COUNT, "number of training rows"),
        Column("n_test", COUNT, "number of test rows"),
        _REFIT,
    ),
)

FITS = LogTable(
    "fits",
    "One row per fit of a model, all its seeds together.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        Column("scope", TEXT, "`pooled`, one fit for all symbols, or `asset`, one per symbol"),
        _REFIT,
        FIT,
        _CUT,
        Column("fits", COUNT, "how many fits the row stands for: one per symbol and seed"),
        Column("failed", COUNT, "how many of them did not converge"),
        Column("parameters", COUNT, "number of fitted parameters"),
        Column(
            "epochs",
            COUNT,
            "epochs trained with the first seed; 0 for models without epochs; `seed_training` has "
            "those of every seed",
        ),
        Column(
            "best_epoch",
            COUNT,
            "the epoch whose weights are used with the first seed, from 1; 0 without epochs, or "
            "for the weights of pretraining as they came",
        ),
        Column("batch", COUNT, "rows of a training step, of nets trained on rows; else 0"),
        Column("most_epochs", COUNT, "epochs allowed, of nets trained on rows; else 0"),
        Column(
            "residuals",
            TEXT,
            "the rows whose residuals give the shifts, and VaR and quantiles where they are asked "
            "for: `training`; `held out`, by early stopping; `left out` in turn, by further fits "
            "without them; several where symbols differ; none in records without them",
        ),
        Column(
            "unseen",
            TEXT,
            "why they are `training` rows although the model follows these closely; else empty",
        ),
    ),
)

FIT_TIMES = LogTable(
    "fit_times",
    "One row per fit of a model: how long it took.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        FIT,
        Column(
            "fit_seconds",
            REAL,
            "wall time of fitting, in seconds; linear models share theirs evenly over fits; for "
            "cached fits the time they took when they were made",
        ),
        Column("predict_seconds", REAL, "wall time of forecasting, in seconds, likewise"),
        Column(
            "cached",
            COUNT,
            "how many of the fits were taken from the fit cache",
            key="kept",
            aliases=("kept",),
        ),
    ),
)

FIT_NOTES = LogTable(
    "fit_notes",
    "One row per fit and note: what a model counted during its fits; no row for a count of 0.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        FIT,
        Column(
            "note",
            TEXT,
            "what was counted: insane, guarded, rescued, fallback (the card explains them), or a "
            "plug-in's own",
        ),
        Column("count", COUNT, "number of fits, or of forecasts for `insane`"),
    ),
)

COEFFICIENTS = LogTable(
    "coefficients",
    "One row per fit and coefficient of the models that have them, of the first seed.",
    (
        RUN_ID,
        Column("fold", COUNT, "the fit's number, from 0 in time order", "window"),
        _CUT,
        HORIZON,
        MODEL,
        Column(
            "name",
            TEXT,
            "the coefficient; `var_shift` and `sigma_shift` are the back-transformation of a log "
            "target, f the forecast of ln sigma: variance = exp(2 f + var_shift), sigma = "
            "exp(f + sigma_shift)",
        ),
        Column(
            "value",
            REAL,
            "its value, in the target's unit per unit of the feature; the median over symbols "
            "where each symbol is fitted by itself",
        ),
    ),
)

TRAINING = LogTable(
    "training",
    "One row per fit, split and epoch: the training curves, of the first seed.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        FIT,
        Column(
            "split",
            TEXT,
            "`train` or `validation`; `lesson_train` and `lesson_validation` are of the "
            "pretraining on the source panel",
        ),
        Column("epoch", COUNT, "the epoch, from 1"),
        Column(
            "loss",
            REAL,
            "the mean loss that the model is trained on, in that loss' unit; `train` is over the "
            "epoch's batches, `validation` with the weights after the epoch",
        ),
    ),
)

SEED_TRAINING = LogTable(
    "seed_training",
    "One row per fit and seed of a model with epochs or rounds: where its training ended.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        Column("seed", COUNT, "the seed; run.seed for a model whose fits draw nothing"),
        FIT,
        Column("fits", COUNT, "how many fits the row stands for: 1, or one per symbol"),
        Column("epochs", COUNT, "epochs or rounds run; the mean over the fits of the row"),
        Column("best_epoch", COUNT, "the one whose weights are used, from 1; likewise"),
        Column(
            "train_loss",
            REAL,
            "the training loss after the best epoch, as in `training`; empty for several fits",
        ),
        Column("validation_loss", REAL, "that of the held-out rows; empty without them too"),
    ),
)

NET_WEIGHTS = LogTable(
    "net_weights",
    "One row per fit, part of a net and epoch: the weight that the net gives it, first seed.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        FIT,
        Column("name", TEXT, "the part that is weighted"),
        Column("epoch", COUNT, "the epoch, from 1"),
        Column("weight", REAL, "its weight, no unit; the mean over the validation rows"),
    ),
)

ATTENTION = LogTable(
    "attention",
    "One row per fit and step back in time: the mean attention weight, of the first seed.",
    (
        RUN_ID,
        HORIZON,
        MODEL,
        FIT,
        Column("step", COUNT, "steps back from the forecast origin; 0 is the origin itself"),
        Column("weight", REAL, "mean weight over the rows, a share; those of a fit sum to 1"),
    ),
)
