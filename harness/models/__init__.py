"""Models behind one fit/predict protocol: one family a file, their parameters, plug-ins."""
