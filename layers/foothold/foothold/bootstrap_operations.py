"""The composition root of what operators do: commands inside the function, and the way to it."""

import time
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

from botocore.config import Config

from foothold import bootstrap
from foothold.aws.clients import CONFIG, Clients, aws_call, open_session
from foothold.aws.patience import OF_AN_EVENT
from foothold.errors import FootholdError, NotReachedError, refusal
from foothold.observability import logger
from foothold.settings import Settings
from foothold.stores.adoption import Adoptions
from foothold.stores.gateways.account import AccountCapacity
from foothold.stores.gateways.functions import LambdaFunction
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.handover import HandOvers
from foothold.stores.operator.commands import OperatorCommands
from foothold.stores.operator.messages import Look, parse_command
from foothold.stores.preflight import Preflights
from foothold.stores.register import Names

# The function's own time, and a little: a command is never sent twice.
PATIENT = CONFIG.merge(Config(read_timeout=310, retries={"total_max_attempts": 1}))


@lru_cache
def command_door() -> OperatorCommands:
    clients, plane = bootstrap.clients(), bootstrap.control_plane()
    reconciler = bootstrap.reconciler()
    return OperatorCommands(
        reconciler,
        bootstrap.retirements(),
        Preflights(
            plane,
            reconciler,
            AccountCapacity(clients, Settings.from_environment().key_maker_role_arn),
            bootstrap.pipeline_regions(),
        ),
        adoptions=Adoptions(
            plane,
            reconciler,
            keys=bootstrap.keys(),
            buckets=S3Buckets(clients),
            parameters=bootstrap.parameters(),
        ),
        claims=bootstrap.standing_claims(),
        requests=bootstrap.open_requests(),
        hand_overs=HandOvers(
            plane,
            reconciler,
            keys=bootstrap.keys(),
            buckets=S3Buckets(clients),
            parameters=bootstrap.parameters(),
        ),
        clock=time.time,
    )


def answer_command(event: dict[str, Any]) -> dict[str, Any]:
    """The work behind a direct invocation; a refusal is an answer too."""
    try:
        command = parse_command(event)
        bootstrap.patience().begin(OF_AN_EVENT)
        with nullcontext() if isinstance(command, Look) else bootstrap.one_at_a_time():
            answer = command_door().answer(command)
    except FootholdError as error:
        logger.warning("command refused", command=event.get("command"), error=str(error))
        return refusal(error)
    logger.info("command answered", command=event.get("command"), answer=answer)
    return answer


def control_plane_function(parameter_root: str) -> LambdaFunction:
    """The function that answers commands, as the session's own region names it. Raises
    NotReachedError where Foothold is not deployed there."""
    with aws_call("open an AWS session"):
        clients = Clients(open_session(), PATIENT)
    name = Names(parameter_root).reconcile_function
    found = SsmParameters(clients).get(clients.home_region, (name,))
    if name not in found:
        raise NotReachedError(
            f"Foothold is not deployed in {clients.home_region} of this account (there is no "
            f"parameter {name}): deploy it with `sam deploy`, or choose its region"
        )
    return LambdaFunction(clients, found[name])
