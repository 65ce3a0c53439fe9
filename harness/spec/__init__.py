"""Hypothesis files: their sections, how they are read and checked."""
