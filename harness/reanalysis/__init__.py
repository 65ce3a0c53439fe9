"""reanalysis."""
