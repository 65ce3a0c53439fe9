"""The leak audit: what was known at a moment must not depend on what came after it."""
