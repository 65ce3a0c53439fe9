"""The research log: run records, their seals and forecasts, decisions, registrations, the index."""
