"""Value at risk and expected shortfall: losses and backtests of every model's tail forecasts."""
