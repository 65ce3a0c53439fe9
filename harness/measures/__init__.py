"""Volatility measures from bars: formulas, estimators, and their windows."""
