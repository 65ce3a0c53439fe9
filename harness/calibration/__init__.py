"""Error rates of verdicts and coverage of intervals, measured in worlds whose truth is known."""
