"""What the services need of the world, in their own words. Gateways and test fakes keep them."""

from collections.abc import Mapping
from typing import Protocol

from foothold.domain.models import ArtifactStore


class Stores(Protocol):
    """The artifact stores that are ready, as the home region's parameters name them."""

    def ready(self) -> Mapping[str, ArtifactStore]:
        """Every ready store by region. Raises TemporaryError or PermanentError."""
        ...
