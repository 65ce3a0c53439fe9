"""Models behind one fit/predict protocol."""
