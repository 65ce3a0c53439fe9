"""Samples of a hypothesis: measures of its panel, features, targets, windows and folds."""
