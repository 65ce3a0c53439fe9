"""Tests of predictive ability: pure functions over losses, errors and forecasts in time order."""
