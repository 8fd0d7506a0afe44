"""One logger, and what a function answers with; service and namespace come from the environment.

Tracer and metrics are made by each function: making a tracer opens an AWS session, which a person
with a mistyped profile at the command line could not even be told about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools import Logger, Metrics

logger = Logger()


@dataclass(frozen=True, slots=True)
class FunctionAnswer:
    """What a function answers: `report` to its caller, a value that JSON holds; `counts` to
    CloudWatch, each by the name of its metric; and `retry`, raised for Lambda to try again."""

    report: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    retry: Exception | None = None


def counted(answer: FunctionAnswer, metrics: Metrics) -> Mapping[str, Any]:
    """The report of an answer whose counts are told to CloudWatch. Raises its retry."""
    for name, count in answer.counts.items():
        metrics.add_metric(name, "Count", count)
    if answer.retry:
        raise answer.retry
    return answer.report
