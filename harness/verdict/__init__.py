"""The verdict: scores and evidence of every horizon, the acceptance rule, warnings, fragility."""
