"""A stack's resource asks for artifact stores, or gives its claim back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from foothold.stores.custom_resource.claim import (
    Claim,
    ClaimDropped,
    Request,
    StoresWanted,
    attributes,
)
from foothold.stores.register import ArtifactStore


class ClaimedStores(Protocol):
    """The work behind a request. Both calls may be repeated, and may be cut short."""

    def ensure(self, regions: Sequence[str], claim: Claim) -> Mapping[str, ArtifactStore]:
        """Converge every region, and let the claim stand for exactly these. Raises
        TemporaryError or PermanentError that names the regions that failed."""
        ...

    def release(self, claim: Claim) -> None:
        """Drop the claim wherever it stands. The stores stay."""
        ...


def fulfil(request: Request, stores: Callable[[], ClaimedStores]) -> Mapping[str, str]:
    """Do what is asked, and return what Fn::GetAtt is to give.

    `stores` is called only where there is work: a stack that holds nothing of ours can be
    deleted even while the control plane cannot reach AWS.
    """
    if isinstance(request, StoresWanted):
        made = stores().ensure(request.regions, request.claim)
        return attributes(made, singular=request.singular)
    if isinstance(request, ClaimDropped):
        stores().release(request.claim)
    return {}
