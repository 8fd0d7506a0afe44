"""Checks an order, and says where it was placed."""

import os
from typing import Any

from pydantic import BaseModel, PositiveInt


class Item(BaseModel):
    name: str
    count: PositiveInt


class Order(BaseModel):
    customer: str = "nobody"
    items: list[Item] = []


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {
        **Order.model_validate(event).model_dump(),
        "region": os.environ["AWS_REGION"],
        "account": context.invoked_function_arn.split(":")[4],
        "stage": os.environ["STAGE"],
    }
