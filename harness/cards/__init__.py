"""Cards: Markdown rendered from a record alone."""
