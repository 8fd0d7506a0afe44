"""A stack asks for artifact stores, and is always answered."""
