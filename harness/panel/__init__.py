"""Panels: bars read from files, checked, filled and adjusted."""
