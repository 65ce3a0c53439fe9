"""A run's record: one JSON-able document with all tables and the card."""
