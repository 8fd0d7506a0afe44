"""What happens when every call fails in every way: `python -m proof` finds out and says it."""
