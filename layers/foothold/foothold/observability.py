"""One logger, one set of metrics, one tracer; service and namespace come from the environment."""

from aws_lambda_powertools import Logger, Metrics, Tracer

logger = Logger()
metrics = Metrics()
tracer = Tracer()
