"""Writes the receipt."""

from datetime import datetime
from typing import Any

from dateutil.tz import gettz
from jinja2 import Template

RECEIPT = Template(
    "{{ when }}\n{% for item in items %}{{ item.count }} x {{ item.name }}\n{% endfor %}{{ total }}"
)


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    when = f"{datetime.now(gettz('Europe/Berlin')):%d.%m.%Y %H:%M}"
    # `items` is also a method of every mapping, so the order is handed over name by name.
    receipt = RECEIPT.render(when=when, items=event["items"], total=event["total"])
    return {**event, "receipt": receipt}
