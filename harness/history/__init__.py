"""What the log knew before a run: its family, its registration, changes of its data."""
