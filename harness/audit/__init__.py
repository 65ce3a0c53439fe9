"""The leak audit: what was known at a moment may not depend on what came after it."""
