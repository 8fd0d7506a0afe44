"""A release: what one packaging made, named by its content, and how it gets to its targets."""
