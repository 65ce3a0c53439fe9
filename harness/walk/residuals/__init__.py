"""Summaries of residuals: tails for VaR and ES, distributions for forecast quantiles."""
