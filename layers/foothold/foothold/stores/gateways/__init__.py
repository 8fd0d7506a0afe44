"""The ports of the stores, spoken to AWS."""
