"""fragility."""
