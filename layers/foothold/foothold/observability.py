"""One logger and one set of metrics; service and namespace come from the environment.

The tracer is made by each function: making one opens an AWS session, which a person with a
mistyped profile at the command line could not even be told about.
"""

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
