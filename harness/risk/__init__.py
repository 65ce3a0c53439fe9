"""Value at risk and expected shortfall from forecasts of volatility, and how they are judged."""
