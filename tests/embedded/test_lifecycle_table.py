"""Each row of the table in docs/lifecycle.md, on the embedded AWS."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from foothold.aws.clients import Clients
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane, StoreSpec, Use
from foothold.stores.planner import SPARE_AFTER_SECONDS
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import ArtifactStore
from foothold.stores.steps import Outcome
from local.aws.embedded import HOME_REGION, ORGANIZATION, ROOT, TOOLS, Embedded

REGION = "eu-west-1"
DOCUMENT = Path(ROOT) / "docs" / "lifecycle.md"


@dataclass
class Store:
    """A store of its own control plane, and the ways to break it."""

    aws: Embedded
    later: float = 0.0
    told: list[ArtifactStore] = field(default_factory=list)
    prefix: str = field(default_factory=lambda: f"t{uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.clients = Clients(self.aws.session())
        self.s3, self.kms = self.client("s3"), self.client("kms")
        self.plane = ControlPlane(
            account=TOOLS, home_region=HOME_REGION, stack=self.prefix, prefix=self.prefix,
            parameter_root=f"/{self.prefix}", organization_ids=(ORGANIZATION,),
            reader_roles=("foothold-deploy",),
        )  # fmt: skip
        self.reconciler = Reconciler(
            self.plane,
            KmsKeys(self.clients),
            S3Buckets(self.clients),
            SsmParameters(self.clients),
            AccountRegions(self.clients),
            announcements=self,
            clock=lambda: 2e9 + self.later,  # any time after the key was made
        )
        (outcome,) = self.reconciler.reconcile([REGION])
        assert outcome.store is not None, outcome.error
        self.key = outcome.store.key_arn

    def replaced(self, store: ArtifactStore) -> None:
        self.told.append(store)

    def client(self, service: str, region: str = REGION) -> Any:
        session: Any = self.aws.session(TOOLS, region)
        return session.client(service)

    @property
    def spec(self) -> StoreSpec:
        return self.plane.spec(REGION)

    @property
    def bucket(self) -> str:
        return self.spec.bucket

    def keep(self) -> Outcome:
        (outcome,) = self.reconciler.keep([REGION])
        return outcome

    def put(self, region: str, leaf: str, value: str | None) -> None:
        path = self.spec.home_path if region == HOME_REGION else self.spec.regional_path
        ssm = self.client("ssm", region)
        if value is None:
            ssm.delete_parameter(Name=f"{path}/{leaf}")
        else:
            ssm.put_parameter(Name=f"{path}/{leaf}", Value=value, Type="String", Overwrite=True)

    def lose_key(self) -> None:
        """The state that KMS leaves once a key is deleted for good: no key, alias or tag."""
        gone = f"arn:aws:kms:{REGION}:{TOOLS}:key/{uuid4()}"
        self.kms.delete_alias(AliasName=self.spec.key_alias)
        self.kms.untag_resource(KeyId=self.key, TagKeys=list(self.spec.tags))
        self.put(REGION, "key-arn", gone)
        self.put(HOME_REGION, "key-arn", gone)

    def lose_name(self) -> None:
        self.kms.delete_alias(AliasName=self.spec.key_alias)
        self.kms.untag_resource(KeyId=self.key, TagKeys=list(self.spec.tags))

    def move_alias(self) -> None:
        other = KmsKeys(self.clients).create(self.spec, {"Version": "2012-10-17", "Statement": []})
        KmsKeys(self.clients).write(self.spec, other, "key tags", self.spec.tags_in(Use.IN_USE))  # type: ignore[arg-type]  # a StrEnum's value
        self.kms.update_alias(AliasName=self.spec.key_alias, TargetKeyId=other)

    def make_spare(self) -> None:
        KmsKeys(self.clients).create(self.spec, {"Version": "2012-10-17", "Statement": []})
        self.later = SPARE_AFTER_SECONDS

    def retag(self, **tags: str) -> None:
        tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.s3.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": tag_set})

    def tag_both(self, **tags: str) -> None:
        """Set these tags on bucket and key; an empty value takes the tag off."""
        now = {tag["Key"]: tag["Value"]
               for tag in self.s3.get_bucket_tagging(Bucket=self.bucket)["TagSet"]}  # fmt: skip
        self.retag(**{name: value for name, value in {**now, **tags}.items() if value})
        gone = [name for name, value in tags.items() if not value]
        if gone:
            self.kms.untag_resource(KeyId=self.key, TagKeys=gone)
        kept = [{"TagKey": name, "TagValue": value} for name, value in tags.items() if value]
        if kept:
            self.kms.tag_resource(KeyId=self.key, Tags=kept)

    def add_statement(self, principal: object, action: str) -> None:
        policy = json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])
        policy["Statement"].append({
            "Sid": "Theirs", "Effect": "Allow", "Principal": principal, "Action": action,
            "Resource": [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"],
        })  # fmt: skip
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def add_rule(self) -> None:
        rules = self.s3.get_bucket_lifecycle_configuration(Bucket=self.bucket)["Rules"]
        theirs = {"ID": "expire-pipeline-zips", "Status": "Enabled", "Expiration": {"Days": 90},
                  "Filter": {"Prefix": "orders/SourceOutp/"}}  # fmt: skip
        self.s3.put_bucket_lifecycle_configuration(
            Bucket=self.bucket, LifecycleConfiguration={"Rules": [theirs, *rules]}
        )

    def add_logs_and_events(self) -> None:
        target = f"{self.prefix}-logs"
        place = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=target, CreateBucketConfiguration=place)
        self.s3.put_bucket_logging(
            Bucket=self.bucket,
            BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "x/"}},
        )
        self.s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )

    def added(self) -> tuple[object, ...]:
        """What others have put beside Foothold's own settings, or would have."""
        policy = json.loads(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])
        rules = self.s3.get_bucket_lifecycle_configuration(Bucket=self.bucket)["Rules"]
        return (
            [one for one in policy["Statement"] if one.get("Sid") == "Theirs"],
            [rule for rule in rules if rule["ID"] == "expire-pipeline-zips"],
            self.s3.get_bucket_logging(Bucket=self.bucket).get("LoggingEnabled"),
            "EventBridgeConfiguration"
            in self.s3.get_bucket_notification_configuration(Bucket=self.bucket),
        )

    def lifecycle(self, days: int) -> None:
        rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": days}}  # fmt: skip
        self.s3.put_bucket_lifecycle_configuration(
            Bucket=self.bucket, LifecycleConfiguration={"Rules": [rule]}
        )


Break = Callable[[Store], object]
FOREIGN_BUCKET = "foothold-444444444444-eu-west-1-an"
ANYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Sid": "Root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{TOOLS}:root"},
    "Action": "*", "Resource": "*",
}]})  # fmt: skip

# What breaks the store, and what its repair says it did.
REPAIRED: dict[str, tuple[Break, tuple[str, ...]]] = {
    "bucket policy removed": (
        lambda s: s.s3.delete_bucket_policy(Bucket=s.bucket), ("set the bucket policy",)),
    "bucket policy changed": (
        lambda s: s.s3.put_bucket_policy(Bucket=s.bucket, Policy=json.dumps({
            "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{TOOLS}:root"},
                "Action": "s3:*", "Resource": f"arn:aws:s3:::{s.bucket}/*"}]})),
        ("set the bucket policy",)),
    "statement of others opens the bucket": (
        lambda s: s.add_statement({"AWS": "arn:aws:iam::222222222222:root"}, "s3:GetObject"),
        ("take out what opens the bucket, and set the bucket policy",)),
    "public access block removed": (
        lambda s: s.s3.delete_public_access_block(Bucket=s.bucket),
        ("set the public access block",)),
    "object ownership changed": (
        lambda s: s.s3.put_bucket_ownership_controls(
            Bucket=s.bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}),
        ("set the object ownership",)),
    "versioning suspended": (
        lambda s: s.s3.put_bucket_versioning(
            Bucket=s.bucket, VersioningConfiguration={"Status": "Suspended"}),
        ("set the versioning",)),
    "default encryption changed": (
        lambda s: s.s3.put_bucket_encryption(
            Bucket=s.bucket, ServerSideEncryptionConfiguration={"Rules": [
                {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}),
        ("set the default encryption",)),
    "lifecycle removed": (
        lambda s: s.s3.delete_bucket_lifecycle(Bucket=s.bucket), ("set the lifecycle",)),
    "bucket tags removed in part": (
        lambda s: s.retag(**{"foothold:stack": s.prefix, "cost-centre": "7"}),
        ("set the bucket tags",)),
    "bucket deleted": (
        lambda s: s.s3.delete_bucket(Bucket=s.bucket),
        ("create the bucket", "tell that the store was replaced")),
    "key policy changed": (
        lambda s: s.kms.put_key_policy(KeyId=s.key, PolicyName="default", Policy=ANYTHING),
        ("set the key policy",)),
    "key rotation stopped": (
        lambda s: s.kms.disable_key_rotation(KeyId=s.key), ("set the key rotation",)),
    "key tags removed in part": (
        lambda s: s.kms.untag_resource(KeyId=s.key, TagKeys=["foothold:region"]),
        ("set the key tags",)),
    "alias deleted": (
        lambda s: s.kms.delete_alias(AliasName=s.spec.key_alias),
        ("point the alias at the key", "set the key policy", "set the key rotation",
         "set the key tags")),
    "key disabled": (lambda s: s.kms.disable_key(KeyId=s.key), ("enable the key",)),
    "key pending deletion": (
        lambda s: s.kms.schedule_key_deletion(KeyId=s.key, PendingWindowInDays=7),
        ("cancel the deletion of the key", "enable the key")),
    "key gone for good": (
        lambda s: s.lose_key(),
        ("create the key", "publish the store in its region",
         "publish the store in the home region", "tell that the store was replaced")),
    "spare key of ours, never used, an hour old": (
        lambda s: s.make_spare(), ("schedule the deletion of the spare key",)),
    "mark of a retirement that was never recorded": (
        lambda s: s.tag_both(**{"foothold:retiring": "1"}),
        ("take the retirement's mark off the bucket tags",
         "take the retirement's mark off the key tags")),
    "parameter in the region overwritten": (
        lambda s: s.put(REGION, "bucket", "garbage"), ("publish the store in its region",)),
    "parameter in the region deleted": (
        lambda s: s.put(REGION, "key-arn", None), ("publish the store in its region",)),
    "parameter at home overwritten with another account's bucket": (
        lambda s: s.put(HOME_REGION, "bucket", FOREIGN_BUCKET),
        ("publish the store in the home region",)),
    "parameter at home deleted": (
        lambda s: s.put(HOME_REGION, "bucket", None), ("publish the store in the home region",)),
}  # fmt: skip

# What breaks the store, and what the error says.
REFUSED: dict[str, tuple[Break, str]] = {
    "bucket tagged for another stack": (
        lambda s: s.retag(**{"foothold:stack": "another"}), "it is not Foothold's"),
    "alias moved, old key can come back": (
        lambda s: s.move_alias(), f"aws kms update-alias --region {REGION}"),
    "key lost its alias and its tags": (
        lambda s: s.lose_name(), f"aws kms tag-resource --region {REGION}"),
    "bucket or key of another control plane": (
        lambda s: s.tag_both(**{"foothold:home": "us-east-1"}), "with its home in us-east-1"),
    "bucket and key without a home region": (
        lambda s: s.tag_both(**{"foothold:home": ""}), "foothold regions hand-over"),
    "record of retirement is garbage": (
        lambda s: s.put(HOME_REGION, "retired", "garbage"), "delete the parameter"),
}  # fmt: skip
FORGED = json.dumps({"phase": "retiring", "since": 0, "key_arn": None, "deleted": 0})
DISTRUSTED: dict[str, Break] = {
    "record of retirement that nothing proves": lambda s: s.put(HOME_REGION, "retired", FORGED),
}
LEFT: dict[str, tuple[Break, str]] = {
    "lifecycle keeps replaced artifacts longer": (
        lambda s: s.lifecycle(365), "aws s3api put-bucket-lifecycle-configuration"),
}  # fmt: skip


# What others have added, and Foothold leaves alone.
KEPT: dict[str, Break] = {
    "statement of others in the bucket policy": lambda s: s.add_statement(
        {"AWS": "arn:aws:iam::333333333333:root"}, "s3:GetBucketLogging"),
    "lifecycle rule of others": lambda s: s.add_rule(),
    "access logs, events and inventory of others": lambda s: s.add_logs_and_events(),
}  # fmt: skip


def rows() -> dict[str, str]:
    """Of each row of the table, what is found and who hears of it."""
    _, _, table = DOCUMENT.read_text().partition("<!-- rows -->")
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {found: heard for found, _, heard in cells}


def test_the_table_and_the_tests_have_the_same_rows() -> None:
    assert set(rows()) == {*REPAIRED, *REFUSED, *LEFT, *DISTRUSTED, *KEPT}


@pytest.mark.parametrize("found", list(REPAIRED))
def test_what_can_be_put_right_is_and_nothing_else_is_changed(
    embedded: Embedded, found: str
) -> None:
    store = Store(embedded)
    break_it, expected = REPAIRED[found]
    break_it(store)
    planned = store.reconciler.plan([REGION])[REGION]
    outcome = store.keep()
    assert outcome.error is None
    assert outcome.steps == planned
    done = [str(step).partition(":")[0] for step in outcome.steps]
    if store.told:  # a new bucket or key gets its settings too
        assert [step for step in done if step in expected] == list(expected)
    else:
        assert done == list(expected)
    assert store.reconciler.plan([REGION]) == {REGION: ()}
    assert bool(outcome.alarms) is (rows()[found] == "alarm")
    assert len(store.told) == ("tell that the store was replaced" in expected)


@pytest.mark.parametrize("found", list(REFUSED))
def test_what_only_a_person_can_put_right_is_refused_with_the_way_out(
    embedded: Embedded, found: str
) -> None:
    store = Store(embedded)
    break_it, words = REFUSED[found]
    break_it(store)
    outcome = store.keep()
    assert words in str(outcome.error)
    assert outcome.steps == ()
    assert rows()[found].startswith("error")


@pytest.mark.parametrize("found", list(KEPT))
def test_what_others_have_added_stays_also_where_foothold_puts_its_own_right(
    embedded: Embedded, found: str
) -> None:
    store = Store(embedded)
    without = store.added()
    KEPT[found](store)
    added = store.added()
    assert added != without
    assert store.keep().steps == ()
    policy = json.loads(store.s3.get_bucket_policy(Bucket=store.bucket)["Policy"])
    less = [one for one in policy["Statement"] if one["Sid"] != "DenyOldTls"]
    store.s3.put_bucket_policy(
        Bucket=store.bucket, Policy=json.dumps({**policy, "Statement": less})
    )
    rules = store.s3.get_bucket_lifecycle_configuration(Bucket=store.bucket)["Rules"]
    for rule in rules:
        if rule["ID"] == "expire-replaced-artifacts":
            rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 9}
            rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 9}
    store.s3.put_bucket_lifecycle_configuration(
        Bucket=store.bucket, LifecycleConfiguration={"Rules": rules}
    )
    done = [str(step).partition(":")[0] for step in store.keep().steps]
    assert done == ["set the lifecycle", "set the bucket policy"]
    assert store.added() == added
    assert store.reconciler.plan([REGION]) == {REGION: ()}
    assert rows()[found] == ""


@pytest.mark.parametrize("found", list(LEFT))
def test_a_repair_that_would_lose_data_is_left_to_a_person(embedded: Embedded, found: str) -> None:
    store = Store(embedded)
    break_it, words = LEFT[found]
    break_it(store)
    outcome = store.keep()
    assert outcome.error is None
    (step,) = outcome.alarms
    assert str(step.command).startswith(words)
    assert store.keep().steps == outcome.steps  # still there, still not done
    assert rows()[found] == "alarm"


@pytest.mark.parametrize("found", list(DISTRUSTED))
def test_a_record_that_somebody_wrote_changes_nothing_and_is_heard_of(
    embedded: Embedded, found: str
) -> None:
    store = Store(embedded)
    store.s3.put_object(Bucket=store.bucket, Key="build", Body=b"code")
    DISTRUSTED[found](store)
    outcome = store.keep()
    assert outcome.error is None
    (step,) = outcome.alarms
    assert store.spec.retirement_parameter in step.reason
    assert store.s3.get_object(Bucket=store.bucket, Key="build")["Body"].read() == b"code"
    assert rows()[found] == "alarm"
