"""The ports of pipelines, spoken to AWS."""
