"""Evidence on a gain: tests of predictive ability, bootstraps, multiple testing, share of wins."""
