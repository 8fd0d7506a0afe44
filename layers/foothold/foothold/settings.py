"""The functions' environment, read once, as one typed value."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from foothold import stack_parameters
from foothold.errors import PermanentError
from foothold.reading import wrong_fields
from foothold.stores.model import ControlPlane
from foothold.stores.wanted import RegionPolicy


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """What template.yaml hands to every function. Lists are comma-separated."""

    model_config = ConfigDict(frozen=True)

    account: str = Field(alias="FOOTHOLD_ACCOUNT", pattern=r"^\d{12}$")
    home_region: str = Field(alias="AWS_REGION", min_length=1)
    stack: str = Field(alias="FOOTHOLD_STACK", min_length=1)
    prefix: str = Field(alias="FOOTHOLD_NAME_PREFIX", min_length=1)
    parameter_root: str = Field(alias="FOOTHOLD_PARAMETER_ROOT", pattern=r"^/[A-Za-z0-9_.\-/]+$")
    organization_ids: Names = Field(alias="FOOTHOLD_ORGANIZATION_IDS", default=())
    reader_roles: Names = Field(alias="FOOTHOLD_READER_ROLE_NAMES", default=())
    retirement_policy: Literal["Retain", "Retire"] = Field(
        alias="FOOTHOLD_RETIREMENT_POLICY", default="Retain"
    )
    # Regions that have CodePipeline although the SDK's list of endpoints does not say so yet.
    pipeline_regions: Names = Field(alias="FOOTHOLD_PIPELINE_REGIONS", default=())
    # Roles of other accounts that may list stacks and read their templates.
    stack_reader_role_arns: Names = Field(alias="FOOTHOLD_STACK_READER_ROLE_ARNS", default=())
    reader_org_paths: Names = Field(alias="FOOTHOLD_READER_ORG_PATHS", default=())
    reader_accounts: Names = Field(alias="FOOTHOLD_READER_ACCOUNTS", default=())
    tags: Names = Field(alias="FOOTHOLD_TAGS", default=())
    # What bounds the roles of pipelines that the macro expands.
    permissions_boundary_arn: str = Field(alias="FOOTHOLD_PERMISSIONS_BOUNDARY_ARN", default="")
    allowed_regions: Names = Field(alias="FOOTHOLD_ALLOWED_REGIONS", default=("*",))
    max_regions: int = Field(alias="FOOTHOLD_MAX_REGIONS", default=0, ge=0)
    # 1: Lambda runs the reconcile function one at a time; 0: it has to take turns itself.
    reconcile_concurrency: int = Field(alias="FOOTHOLD_RECONCILE_CONCURRENCY", default=1)

    # The function that makes keys, and its role: no other one may tag a new key.
    key_maker: str | None = Field(alias="FOOTHOLD_KEY_MAKER", default=None)
    key_maker_role_arn: str | None = Field(alias="FOOTHOLD_KEY_MAKER_ROLE_ARN", default=None)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings. Raises PermanentError that names each wrong variable, and no
        value, which could be a secret put in the wrong place."""
        try:
            return cls.model_validate(dict(os.environ if environment is None else environment))
        except ValidationError as error:
            wrong = wrong_fields(error)
            raise PermanentError(
                f"the environment variables {wrong} are missing or wrong"
            ) from None

    @property
    def control_plane(self) -> ControlPlane:
        """Raises PermanentError for a list of the stack's that says what it may not."""
        organizations = self.organization_ids
        return ControlPlane(
            account=self.account,
            home_region=self.home_region,
            stack=self.stack,
            prefix=self.prefix,
            parameter_root=self.parameter_root.rstrip("/"),
            organization_ids=self.organization_ids,
            reader_roles=self.reader_roles,
            reader_org_paths=stack_parameters.reader_org_paths(
                self.reader_org_paths, organizations
            ),
            reader_accounts=stack_parameters.reader_accounts(self.reader_accounts, organizations),
            tags=stack_parameters.tags(self.tags),
            retires=self.retirement_policy == "Retire",
            region_policy=RegionPolicy(self.allowed_regions, self.max_regions),
        )
