"""Metrics of forecasts: pooled, by window, by group of rows and by seed; VaR, ES and quantiles."""
