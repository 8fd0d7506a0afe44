"""The two kinds of failure a caller can act on.

Gateways translate every AWS error into one of them; nobody else reads error codes.
"""

from collections.abc import Mapping
from typing import Any


class FootholdError(Exception):
    """A failure with one clear line for a person: it names the thing and the way out."""


class TemporaryError(FootholdError):
    """The same request may succeed later: let it be retried."""


class PermanentError(FootholdError):
    """The same request will fail again: answer and stop."""


class BusyError(TemporaryError):
    """The control plane is at work for somebody else: nothing was begun, so ask again."""


class NotReachedError(PermanentError):
    """The control plane's function was not asked: it is not there, or the caller may not."""


class RequestRefusedError(PermanentError):
    """What was asked for may not be had by whoever asks. Nothing is wrong with any store."""


class RegionRefusedError(PermanentError):
    """The region does not let this account in. It does later, where it is still being enabled."""


class RegionNotEnabledError(PermanentError):
    """This account has not enabled the region, as far as AWS can tell."""


class BucketMissingError(PermanentError):
    """There is no bucket of this name. Reconciling creates it; everybody else reports it."""


class NotOursError(PermanentError):
    """A bucket, a key or a parameter is another control plane's, or nobody's: hands off."""


def refusal(error: FootholdError) -> dict[str, Any]:
    """An error as a function answers with it."""
    return {
        "error": str(error),
        "temporary": isinstance(error, TemporaryError),
        "busy": isinstance(error, BusyError),
    }


def raise_refusal(answer: Mapping[str, Any]) -> None:
    """Raise the error that a function's answer stands for, if it does."""
    if "error" in answer:
        kind: type[FootholdError] = PermanentError
        if answer.get("temporary"):
            kind = BusyError if answer.get("busy") else TemporaryError
        raise kind(str(answer["error"]))
