"""Distributions of the target around each forecast, and how they are judged."""
