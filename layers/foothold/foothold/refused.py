"""Which `foothold explain` tells why AWS refused access. Pure: a line in, a command out."""

import re
import shlex

from foothold.partitions import partition_of

READER_ROLE = "foothold-reader"  # of pipelines/target-account.yaml
BECOME = "sts:AssumeRole"
READ = "s3:GetObject"
NOBODY = "ROLE_ARN"
# IAM User Guide, "Troubleshoot access denied error messages".
NOT_AUTHORIZED = re.compile(
    r"(?:User: )?(?P<who>arn:aws[\w-]*:\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on (?:the )?resource:? [\"']?(?P<resource>arn:aws[\w-]*:[^\s\"',]+))?"
)
NOT_LET_IN = re.compile(r"account (?P<account>\d{12}) has no role (?P<role>[\w+=,.@-]+) that lets")
# The codes of services, and of a HEAD request, whose answer says no more (Amazon S3 API Reference,
# "HeadObject").
REFUSED = re.compile(r"\b(AccessDenied(Exception)?|UnauthorizedOperation|Forbidden)\b|: 403:")
ROLE = re.compile(
    r"arn:aws[a-z-]*:(iam::\d{12}:role/[\w+=,.@/-]+|sts::\d{12}:assumed-role/[\w+=,.@/-]+)"
)
OBJECT = re.compile(r"arn:aws[\w-]*:s3:::([a-z0-9.-]+/.+)")


def role_in(account: str, region: str, role: str = READER_ROLE) -> str:
    """The ARN of a role, by default the one as which Foothold looks into target accounts."""
    return f"arn:{partition_of(region).name}:iam::{account}:role/{role}"


def explain_command(line: str, region: str, role_arn: str = NOBODY, action: str = READ) -> str:
    """The command that tells why, where the line says that access was refused; else empty.

    The line itself tells who was refused what, as far as AWS says it; `role_arn` is who asked for
    which `action` where it does not, to be filled in where nobody knows. Empty also for whom
    `foothold explain` does not know, such as users.
    """
    if told := NOT_LET_IN.search(line):
        return _command(role_in(told["account"], region, told["role"]), BECOME, region)
    if told := NOT_AUTHORIZED.search(line):
        who, action, resource = told["who"], told["action"], told["resource"] or ""
        if not ROLE.fullmatch(who):
            return ""
        if action == BECOME and ROLE.fullmatch(resource):
            return f"{_command(resource, action, region)} --caller {shlex.quote(who)}"
        artifact = OBJECT.fullmatch(resource)
        return _command(who, action, region, f"s3://{artifact[1]}" if artifact else "")
    return _command(role_arn, action, region) if REFUSED.search(line) else ""


def explained(line: str, region: str, role_arn: str = NOBODY, action: str = READ) -> str:
    """The line, and where it says that access was refused, the command that tells why."""
    command = explain_command(line, region, role_arn, action)
    return f"{line}; `{command}` tells why" if command else line


def _command(role_arn: str, action: str, region: str, artifact: str = "") -> str:
    doing = [] if action == READ else ["--action", action]
    what = ["--artifact", artifact] if artifact else ["--region", region]
    return shlex.join(["foothold", "explain", "--principal", role_arn, *doing, *what])
