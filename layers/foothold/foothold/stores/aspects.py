"""One row for each setting of a store: what it should be, what reads, writes and breaks it.

A new setting is a value of its enum, a row here, and its two calls in the gateway. What is
compared in which tick, which steps a new bucket or key needs, which events wake the control plane
and which actions its role needs follow from the rows; tests hold the templates to them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from foothold.stores.model import StoreSpec, Use
from foothold.stores.policies import bucket_policy, key_policy

NONCURRENT_DAYS = 30
UPLOAD_DAYS = 1
IN_TURN_AT_ONCE = 2


class KeyAspect(StrEnum):
    """One setting of a key that is read, compared and written on its own."""

    POLICY = "key policy"
    ROTATION = "key rotation"
    TAGS = "key tags"


class BucketAspect(StrEnum):
    """One setting of a bucket that is read, compared and written on its own."""

    PUBLIC_ACCESS = "public access block"
    OWNERSHIP = "object ownership"
    VERSIONING = "versioning"
    ENCRYPTION = "default encryption"
    LIFECYCLE = "lifecycle"
    TAGS = "bucket tags"
    POLICY = "bucket policy"


Aspect = KeyAspect | BucketAspect
KEY_ASPECTS = tuple(KeyAspect)
BUCKET_ASPECTS = tuple(BucketAspect)

# The keys that should not be there: looked for, never set.
SPARE_KEYS: Final = "spare keys"
LookedAt = Aspect | Literal["spare keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know about one setting.

    `desired` gives its value for a store and the ARN of its key, in the shape that its AWS API
    takes. `read_by` and `written_by` are the IAM actions (AWS Service Authorization Reference),
    `broken_by` the calls that break it, by the names that CloudTrail has for them: of the
    lifecycle and the public access block it has another name than S3's API (as recorded events
    show; Amazon S3 User Guide, "Amazon S3 CloudTrail events"), and both count.
    """

    desired: Callable[[StoreSpec, str], Any]
    read_by: str
    written_by: str
    broken_by: tuple[str, ...]
    # There from the creation on: the key's policy is given with it, and the ownership is the
    # default of S3. So what is about to be created needs no step for it.
    at_creation: bool = False
    # Looked at in every tick: it takes access away, or lets somebody in.
    guards: bool = False


KEY_SETTINGS: Mapping[KeyAspect, Setting] = {
    KeyAspect.POLICY: Setting(
        desired=lambda spec, _: key_policy(spec),
        read_by="kms:GetKeyPolicy",
        written_by="kms:PutKeyPolicy",
        broken_by=("PutKeyPolicy",),
        at_creation=True,
        guards=True,
    ),
    KeyAspect.ROTATION: Setting(
        desired=lambda _, __: True,
        read_by="kms:GetKeyRotationStatus",
        written_by="kms:EnableKeyRotation",
        broken_by=("DisableKeyRotation",),
    ),
    KeyAspect.TAGS: Setting(
        desired=lambda spec, _: spec.tags_in(Use.IN_USE),
        read_by="kms:ListResourceTags",
        written_by="kms:TagResource",
        broken_by=("UntagResource",),
    ),
}
BUCKET_SETTINGS: Mapping[BucketAspect, Setting] = {
    BucketAspect.PUBLIC_ACCESS: Setting(
        desired=lambda _, __: {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
        read_by="s3:GetBucketPublicAccessBlock",
        written_by="s3:PutBucketPublicAccessBlock",
        broken_by=(
            *("DeleteBucketPublicAccessBlock", "DeletePublicAccessBlock"),
            *("PutBucketPublicAccessBlock", "PutPublicAccessBlock"),
        ),
    ),
    BucketAspect.OWNERSHIP: Setting(
        desired=lambda _, __: "BucketOwnerEnforced",
        read_by="s3:GetBucketOwnershipControls",
        written_by="s3:PutBucketOwnershipControls",
        broken_by=("DeleteBucketOwnershipControls", "PutBucketOwnershipControls"),
        at_creation=True,
    ),
    BucketAspect.VERSIONING: Setting(
        desired=lambda _, __: "Enabled",
        read_by="s3:GetBucketVersioning",
        written_by="s3:PutBucketVersioning",
        broken_by=("PutBucketVersioning",),
    ),
    BucketAspect.ENCRYPTION: Setting(
        desired=lambda _, key_arn: {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": key_arn,
            "BucketKeyEnabled": True,
        },
        read_by="s3:GetEncryptionConfiguration",
        written_by="s3:PutEncryptionConfiguration",
        broken_by=("DeleteBucketEncryption", "PutBucketEncryption"),
    ),
    BucketAspect.LIFECYCLE: Setting(
        desired=lambda _, __: [
            {
                "ID": "expire-replaced-artifacts",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
            }
        ],
        read_by="s3:GetLifecycleConfiguration",
        written_by="s3:PutLifecycleConfiguration",
        broken_by=(
            *("DeleteBucketLifecycle", "PutBucketLifecycle", "PutBucketLifecycleConfiguration"),
        ),
    ),
    BucketAspect.TAGS: Setting(
        desired=lambda spec, _: spec.tags_in(Use.IN_USE),
        read_by="s3:GetBucketTagging",
        written_by="s3:PutBucketTagging",
        broken_by=("DeleteBucketTagging", "PutBucketTagging"),
    ),
    BucketAspect.POLICY: Setting(
        desired=bucket_policy,
        read_by="s3:GetBucketPolicy",
        written_by="s3:PutBucketPolicy",
        broken_by=("DeleteBucketPolicy", "PutBucketPolicy"),
        guards=True,
    ),
}
SETTINGS: Mapping[Aspect, Setting] = dict((*KEY_SETTINGS.items(), *BUCKET_SETTINGS.items()))

EVERYTHING: tuple[LookedAt, ...] = (*KeyAspect, SPARE_KEYS, *BucketAspect)
ALWAYS_LOOKED_AT: tuple[Aspect, ...] = tuple(a for a, row in SETTINGS.items() if row.guards)
LOOKED_AT_IN_TURN = tuple(aspect for aspect in EVERYTHING if aspect not in ALWAYS_LOOKED_AT)

# The calls that break a store, or take its guard away: those of its settings, and those that take
# the bucket or the key itself. The rules in template.yaml and pipelines/region-events.yaml ask for
# these, and for nothing else.
BREAKING: Mapping[str, frozenset[str]] = {
    "s3.amazonaws.com": frozenset(
        {"DeleteBucket", *(call for row in BUCKET_SETTINGS.values() for call in row.broken_by)}
    ),
    "kms.amazonaws.com": frozenset(
        {
            *("DeleteAlias", "DisableKey", "ScheduleKeyDeletion", "UpdateAlias"),
            *(call for row in KEY_SETTINGS.values() for call in row.broken_by),
        }
    ),
}


def turn(number: int) -> tuple[LookedAt, ...]:
    """What tick `number` looks at: all that guards access, and two of the others.

    Five ticks in a row look at everything, with six reads a region each instead of thirteen.
    """
    first = number * IN_TURN_AT_ONCE
    return ALWAYS_LOOKED_AT + tuple(
        LOOKED_AT_IN_TURN[place % len(LOOKED_AT_IN_TURN)]
        for place in range(first, first + IN_TURN_AT_ONCE)
    )


def desired_settings(spec: StoreSpec, key_arn: str) -> dict[Aspect, Any]:
    """Every setting of a store, in the shape its AWS API takes."""
    return {aspect: row.desired(spec, key_arn) for aspect, row in SETTINGS.items()}
