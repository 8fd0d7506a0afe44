"""Who may be asked about, and who may not."""

import pytest

from foothold.errors import PermanentError
from foothold.explain.principal import Purpose, artifact, asking_role, known_action

ROLE = "arn:aws:iam::222222222222:role/foothold-deploy"


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("foothold-deploy", Purpose.DEPLOY),
        ("foothold-cloudformation", Purpose.CLOUDFORMATION),
        ("foothold-orders-pipeline", Purpose.PIPELINE),
        ("foothold-orders-build", Purpose.BUILD),
        ("foothold-Permissions-1A-PackageRole-2B", Purpose.PACKAGE),
        ("administrator", Purpose.OTHER),
    ],
)
def test_a_roles_name_tells_what_it_is_for(name: str, purpose: Purpose) -> None:
    assert asking_role(f"arn:aws:iam::222222222222:role/{name}").purpose is purpose


def test_a_session_stands_for_its_role() -> None:
    session = "arn:aws:sts::222222222222:assumed-role/foothold-deploy/1234"
    assert asking_role(session).arn == ROLE
    assert asking_role(session.replace("arn:aws:", "arn:aws-cn:")).partition == "aws-cn"


def test_a_role_below_a_path_keeps_it() -> None:
    role = asking_role("arn:aws:iam::222222222222:role/ci/team/deploy")
    assert (role.name, role.path) == ("deploy", "ci/team/deploy")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("arn:aws:iam::222222222222:root", "is an account's root"),
        ("arn:aws:iam::222222222222:user/ann", "is a user"),
        ("arn:aws:sts::222222222222:federated-user/ann", "is a federated user"),
        ("cloudformation.amazonaws.com", "is a service"),
        ("foothold-deploy", "is no principal"),
        ("arn:aws:s3:::bucket", "is no principal"),
        ("", "is no principal"),
    ],
)
def test_whoever_is_no_role_is_told_which_way_to_ask(given: str, told: str) -> None:
    with pytest.raises(PermanentError, match=told):
        asking_role(given)


def test_an_artifact_is_a_bucket_and_a_key() -> None:
    assert artifact("s3://a-bucket/orders/builds/0a") == ("a-bucket", "orders/builds/0a")


@pytest.mark.parametrize("given", ["s3://bucket", "s3://bucket/", "bucket/key", "s3://B/key", ""])
def test_what_is_no_artifact_is_refused(given: str) -> None:
    with pytest.raises(PermanentError, match="is no artifact"):
        artifact(given)


@pytest.mark.parametrize("given", ["GetObject", "iam:", "s3:", "s3:Get*"])
def test_what_is_no_action_is_refused(given: str) -> None:
    with pytest.raises(PermanentError, match="is no action"):
        known_action(given)
