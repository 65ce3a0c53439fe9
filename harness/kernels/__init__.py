"""Compiled loops: one Python text each, compiled by Numba once, run from stored machine code."""
