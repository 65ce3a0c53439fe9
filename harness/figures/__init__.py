"""Figures as SVG: style.py says how they look, every other file draws one family of them."""
