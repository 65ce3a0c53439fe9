"""Forecast distributions: CRPS, pinball loss, coverage of intervals and PIT."""
