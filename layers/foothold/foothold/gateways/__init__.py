"""The ports, spoken to AWS. The only place (beside bootstrap) that knows boto3."""
