"""What AWS says when it refuses, read: who, what, on which thing. Pure.

The forms are those of IAM ("Troubleshoot access denied error messages", IAM User Guide), of S3, of
KMS (AWS KMS Developer Guide, "Key states") and of the services that fetch code for their caller.
"""

import re
from dataclasses import dataclass

from foothold.errors import PermanentError
from foothold.refused import NOT_AUTHORIZED

LONGEST = 20_000
BY_S3 = re.compile(
    r"credentials have permission to (?P<action>\w+) for (?P<bucket>[a-z0-9.-]+)/"
    r"(?P<key>\S+?)(?:\. |,|\s|$)"
)
KEY_STATE = re.compile(
    r"(?P<key>arn:aws[\w-]*:kms:\S+?:key/[\w-]+) is (?P<state>disabled|pending \w+)"
)
OBJECT = re.compile(r"s3://(?P<bucket>[a-z0-9.-]+)/(?P<key>[^\s\"',]+)")
HTTPS = re.compile(
    r"https://(?:s3[.-](?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<bucket>[a-z0-9.-]+)/"
    r"|(?P<host>[a-z0-9-]+)\.s3[.-](?P<there>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/)"
    r"(?P<key>[^\s\"',?]+)"
)
ENCODED = "Encoded authorization failure message"
REFUSALS = ("accessdenied", "access denied", "not authorized", "forbidden", "kms.disabled",
            "not allowed to access", "is disabled", "is pending", "nosuchkey", "no such key",
            "does not exist")  # fmt: skip
S3_ARN = re.compile(r"arn:aws[\w-]*:s3:::(?P<bucket>[a-z0-9.-]+)(?:/(?P<key>.+))?")
KMS_ARN = re.compile(r"arn:aws[\w-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:key/[\w-]+")
ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/\S+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a message tells; whatever it leaves out is None."""

    principal: str | None = None
    action: str | None = None
    bucket: str | None = None
    key: str | None = None
    region: str | None = None
    role: str | None = None  # that somebody wanted to become, or to hand over

    @property
    def artifact(self) -> str | None:
        return f"s3://{self.bucket}/{self.key}" if self.bucket and self.key else None


def read_refusal(text: str) -> Refusal:
    """What AWS refused, as the message says it. Raises PermanentError for a message that tells of
    no refusal, or hides what it was; the message itself is never repeated, it may hold secrets."""
    text = " ".join(text[:LONGEST].split())
    if ENCODED in text:
        raise PermanentError(
            "the message is encoded: have it decoded with `aws sts decode-authorization-message "
            "--encoded-message TEXT` and ask with --principal and --artifact"
        )
    if not any(word in text.lower() for word in REFUSALS):
        raise PermanentError("the text is no refusal of AWS about an artifact, a key or a role")
    found = _of_the_object(text)
    if told := NOT_AUTHORIZED.search(text):
        found |= _of_iam(told["who"], told["action"], told["resource"])
    elif told := BY_S3.search(text):
        found |= {"action": f"s3:{told['action']}", "bucket": told["bucket"], "key": told["key"]}
    elif told := KEY_STATE.search(text):
        key = KMS_ARN.fullmatch(told["key"])
        found |= {"action": "kms:Decrypt", "region": key["region"] if key else None}
    return Refusal(**found)


def _of_the_object(text: str) -> dict[str, str | None]:
    if told := OBJECT.search(text):
        return {"bucket": told["bucket"], "key": told["key"]}
    if told := HTTPS.search(text):
        bucket, region = told["bucket"] or told["host"], told["region"] or told["there"]
        return {"bucket": bucket, "key": told["key"], "region": region}
    return {}


def _of_iam(who: str, action: str, resource: str | None) -> dict[str, str | None]:
    found: dict[str, str | None] = {"principal": who, "action": action}
    if not resource:
        return found
    if told := S3_ARN.fullmatch(resource):
        found |= {"bucket": told["bucket"], "key": told["key"]}
    elif told := KMS_ARN.fullmatch(resource):
        found["region"] = told["region"]
    elif ROLE_ARN.fullmatch(resource):
        found["role"] = resource
    return found
