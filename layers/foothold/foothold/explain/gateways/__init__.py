"""What the chain is made of, read from AWS."""
