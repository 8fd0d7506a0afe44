"""Writes an entry into the ledger."""

import os
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    table.put_item(Item={"account": event["account"], "entry": event["entry"], "sum": event["sum"]})
    return {"booked": event["entry"]}
