"""What a pipeline's template is made of: its names, and ARNs, roles, statements and rules.

ResourceNames depend on the pipeline's, the targets' and the regions' names alone, so nothing is
renamed or replaced when a region comes or goes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


class ResourceNames:
    """Every name that an expansion gives, from the pipeline's name and its logical id."""

    def __init__(self, pipeline: str, logical_id: str) -> None:
        self.pipeline = pipeline
        self.logical_id = logical_id
        self.build_project = f"{logical_id}BuildProject"
        self.build_log = f"{logical_id}BuildLog"
        self.build_role = f"{logical_id}BuildRole"
        self.pipeline_role = f"{logical_id}Role"
        self.start_rule = f"{logical_id}StartRule"
        self.start_role = f"{logical_id}StartRole"
        self.webhook = f"{logical_id}Webhook"
        self.webhook_secret = f"{logical_id}WebhookSecret"
        self.webhook_secret_name = f"foothold-{pipeline}-webhook"
        self.notification_rule = f"{logical_id}NotificationRule"
        self.approval_rule = f"{logical_id}ApprovalRule"
        self.build_project_name = f"{pipeline}-build"
        self.pipeline_role_name = f"foothold-{pipeline}-pipeline"
        self.build_role_name = f"foothold-{pipeline}-build"
        self.start_role_name = f"foothold-{pipeline}-start"
        self.targets = f"{logical_id}Targets"
        self.pipeline_arn = arn_here("codepipeline", pipeline)


def arn(rest: str) -> Json:
    """An ARN of the partition that the template is deployed in."""
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{rest}"}


def arn_here(service: str, resource: str) -> Json:
    """The ARN of something in the pipeline's own region and account."""
    return arn(f"{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")


def role_arn(account: str, name: str) -> Json:
    return arn(f"iam::{account}:role/{name}")


def get_arn(logical_id: str) -> Json:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def secret_value(secret: str, key: str = "") -> str:
    """A dynamic reference to a secret, by name or ARN, or to one key of its JSON."""
    return f"{{{{resolve:secretsmanager:{secret}{f':SecretString:{key}' if key else ''}}}}}"


def allow(sid: str, actions: list[str], resources: Any, **conditions: Any) -> Json:
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement


def via(service: str, keys: Iterable[str]) -> Json:
    """The condition that keys are used through this service of their regions, not directly."""
    regions = sorted({key.split(":")[3] for key in keys})
    names = [{"Fn::Sub": f"{service}.{region}.${{AWS::URLSuffix}}"} for region in regions]
    return {"kms:ViaService": names[0] if len(names) == 1 else names}


def allow_to_find_buckets(sid: str, buckets: Any) -> Json:
    """What CodePipeline asks of a bucket before it reads or writes."""
    actions = ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"]
    return allow(sid, actions, buckets)


def role(name: str, service: str, statements: list[Json]) -> Json:
    """A role for a service that acts for this account (IAM User Guide, "The confused deputy
    problem"). IfExists, because not every service's page says that it names for whom it assumes a
    role."""
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": service},
                        "Action": "sts:AssumeRole",
                        "Condition": {
                            "StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
                        },
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": name,
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
        },
    }


def event_rule(description: str, pattern: Mapping[str, Any], target: Mapping[str, Any]) -> Json:
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": description,
            "EventPattern": dict(pattern),
            "Targets": [dict(target)],
        },
    }
