"""The composition root of packaging from the command line, which is in a hurry: what only the
package function needs is in `bootstrap_package_function`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import boto3

from foothold.aws.clients import Clients, aws_call, open_session
from foothold.aws.regional import RegionalClient
from foothold.packaging.gateways.archive import LocalZips
from foothold.packaging.gateways.objects import RegionalObjects
from foothold.packaging.gateways.sam_cli import SamTemplates
from foothold.packaging.gateways.samconfig import read_samconfig
from foothold.packaging.gateways.signer import SignerSignatures
from foothold.packaging.packager import Packager
from foothold.packaging.verify import Verifier
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.events import RegionRequests
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.operator.regions import OperatorRegions
from foothold.stores.published import Stores
from foothold.stores.register import Names
from foothold.stores.trust import Trust

__all__ = ["clients", "objects", "packager", "read_samconfig", "session", "stores", "verifier"]

THREADS = 64  # requests under way at a time; each of them waits far longer than it works


@lru_cache
def session() -> boto3.Session:
    with aws_call("open an AWS session"):
        return open_session()


@lru_cache
def clients() -> Clients:
    return Clients(session())


@lru_cache
def regional_client() -> RegionalClient:
    return RegionalClient(session(), clients().home_region, THREADS)


def account(plane: ControlPlane | None) -> Callable[[], str]:
    """The caller's own account: the control plane's, where one is calling."""
    return clients().account if plane is None else lambda: plane.account


@lru_cache
def objects(plane: ControlPlane | None = None) -> RegionalObjects:
    return RegionalObjects(regional_client(), account(plane))


def stores(parameter_root: str, plane: ControlPlane | None = None) -> Stores:
    home = clients().home_region
    trust = Trust(
        home,
        RegionalBuckets(regional_client()),
        account(plane),
        plane,
    )
    return OperatorRegions(
        home,
        Names(parameter_root),
        SsmParameters(clients()),
        AccountRegions(clients()),
        RegionRequests(clients(), home),
        trust=trust,
    )


def packager(parameter_root: str, plane: ControlPlane | None = None) -> Packager:
    """Packages for the stores that the parameters below `parameter_root` name; `plane` is the
    control plane that calls, None on a command line."""
    given = objects(plane)
    templates = SamTemplates(given.endpoint_of, lambda region: _client("serverlessrepo", region))
    signatures = SignerSignatures(lambda region: _client("signer", region), given)
    return Packager(
        stores(parameter_root, plane),
        templates=templates,
        zips=LocalZips(),
        objects=given,
        signatures=signatures,
        threads=THREADS,
    )


def _client(service: str, region: str) -> Any:
    """A client that few need, of a service that has no types here."""
    get: Any = clients().get
    return get(service, region)


def verifier() -> Verifier:
    """Compares a manifest with what the stores hold."""
    return Verifier(objects(), THREADS)
