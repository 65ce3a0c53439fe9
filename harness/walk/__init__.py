"""The walk forward: folds, fits (swept, chained or one by one), the fit cache, executors."""
