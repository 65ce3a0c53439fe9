"""Checks of logged runs: replays, tests, comparisons; and checks against published numbers."""
