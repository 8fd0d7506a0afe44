"""The composition root of the acceptance run: nobody's cold start but its own."""

import time
from secrets import token_hex

import boto3

from foothold.acceptance.gateway import OperatorsAccount, TargetAccount
from foothold.acceptance.run import Acceptance, Operator
from foothold.aws.clients import Clients, aws_call, open_session
from foothold.aws.regional import RegionalClient
from foothold.bootstrap_operations import PATIENT
from foothold.errors import NotReachedError
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.events import RegionRequests
from foothold.stores.gateways.functions import LambdaFunction
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.operator.regions import OperatorRegions
from foothold.stores.register import Names
from foothold.stores.trust import AT_ONCE, Trust


def acceptance(
    parameter_root: str, target_profile: str | None = None, deploy_role: str = ""
) -> Acceptance:
    """The acceptance runs of the control plane in the session's own region. Every client comes
    of one session, which counts what is sent. Raises PermanentError where no control plane, or no
    such profile, is there."""
    with aws_call("open an AWS session"):
        session = open_session()
    target = None
    if target_profile:
        with aws_call("open the target profile"):
            target = TargetAccount(session, boto3.Session(profile_name=target_profile), deploy_role)
    live = OperatorsAccount(session, target)
    clients = Clients(session)
    home = clients.home_region
    parameters = SsmParameters(clients)
    names = Names(parameter_root)
    name = names.reconcile_function
    found = parameters.get(home, (name,))
    if name not in found:
        raise NotReachedError(
            f"Foothold is not deployed in {home} of this account (there is no parameter {name}): "
            "deploy it with `sam deploy`, or choose its region"
        )
    regions, requests = AccountRegions(clients), RegionRequests(clients, home)
    trust = Trust(
        home,
        RegionalBuckets(RegionalClient(session, home, AT_ONCE)),
        clients.account,
    )
    return Acceptance(
        Operator(
            live,
            OperatorRegions(home, names, parameters, regions, requests, trust=trust),
            LambdaFunction(Clients(session, PATIENT), found[name]),
            parameters,
            regions,
            requests,
            home_region=home,
            names=names,
            clock=time.time,
            sleep=time.sleep,
            new_id=lambda: token_hex(4),
        )
    )
