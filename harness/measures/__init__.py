"""Measures of volatility from bars."""
