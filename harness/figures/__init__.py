"""Figures as SVG: style.py defines how they look, every other file draws one group of them."""
