"""Tells a customer that an order is on its way."""

import os
from typing import Any


def handler(event: dict[str, Any], _context: Any) -> str:
    return f"{event.get('customer', 'nobody')}: your order is on its way ({os.environ['STAGE']})"
