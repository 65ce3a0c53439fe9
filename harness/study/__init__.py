"""A study: a hypothesis set up on its panel, measured, walked forward."""
