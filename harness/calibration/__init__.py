"""How often the verdicts are right, measured on simulated worlds whose truth is known."""
