"""What an organisation lets its accounts do, read as its management account."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from foothold.aws.clients import aws_call
from foothold.errors import FootholdError
from foothold.explain.observed import Membership, PolicyLevel, Unread

Kind = Literal["SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY"]


class OrganizationPolicies:
    """Places accounts in their organisation, and reads the policies on the way there.

    `client` is one of AWS Organizations, in the management account or in one that it has made a
    delegated administrator. It keeps what it has read.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._documents: dict[str, Mapping[str, Any]] = {}

    def placed(self, known: Membership, account: str, owner: str) -> Membership:
        """What is known, with the path of the principal's account, its service control policies,
        and the resource control policies of the store's account. What may not be read stays
        unread, with the reason."""
        try:
            path, service = self._on_the_way_to(account)
        except FootholdError as error:
            path = service = Unread(str(error))
        try:
            _, resource = self._on_the_way_to(owner, "RESOURCE_CONTROL_POLICY")
        except FootholdError as error:
            resource = Unread(str(error))
        return replace(known, path=path, service_levels=service, resource_levels=resource)

    def _on_the_way_to(
        self, account: str, kind: Kind = "SERVICE_CONTROL_POLICY"
    ) -> tuple[str | Unread, tuple[PolicyLevel, ...] | Unread]:
        """The account's path, and its policies. Neither kind binds the management account (AWS
        Organizations User Guide, "Service control policies", "Resource control policies")."""
        with aws_call(f"read the organisation's policies for account {account}"):
            organization = self._client.describe_organization()["Organization"]
            targets = self._targets(account)
            path = "/".join((organization["Id"], *targets[:-1], ""))
            if account == organization["MasterAccountId"]:
                return path, ()
            return path, self._levels(targets, kind)

    def _targets(self, account: str) -> tuple[str, ...]:
        """The root, every unit, and the account itself, by their ids."""
        targets = [account]
        is_root = False
        while not is_root:
            (parent,) = self._client.list_parents(ChildId=targets[0])["Parents"]
            targets.insert(0, parent["Id"])
            is_root = parent["Type"] == "ROOT"
        return tuple(targets)

    def _levels(self, targets: tuple[str, ...], kind: Kind) -> tuple[PolicyLevel, ...]:
        return tuple(PolicyLevel(target, self._policies(target, kind)) for target in targets)

    def _policies(self, target: str, kind: Kind) -> Mapping[str, Mapping[str, Any]]:
        pages = self._client.get_paginator("list_policies_for_target")
        found = [
            policy["Id"]
            for page in pages.paginate(TargetId=target, Filter=kind)
            for policy in page["Policies"]
        ]
        return {policy: self._document(policy) for policy in found}

    def _document(self, policy: str) -> Mapping[str, Any]:
        if policy not in self._documents:
            content = self._client.describe_policy(PolicyId=policy)["Policy"]["Content"]
            self._documents[policy] = json.loads(content)
        return self._documents[policy]
