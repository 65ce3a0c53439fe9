"""Reads TOML files: types of keys, checked sections, one-line errors."""
