"""A review as JSON, as Markdown and as lines for a terminal."""
