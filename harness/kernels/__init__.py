"""Compiled loops: one Python source each, compiled once by Numba, then run from stored code."""
