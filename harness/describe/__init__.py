"""Description of a panel's volatility: statistics, roughness, a page with figures."""
