"""Messages of AWS, as they are printed, and what is read of them."""

import pytest

from foothold.errors import PermanentError
from foothold.explain.messages import Refusal, read_refusal

SESSION = "arn:aws:sts::222222222222:assumed-role/foothold-deploy/1"
BUCKET, KEY = "foothold-111111111111-eu-west-1-an", "orders/builds/0123abcd"
ARN = f"arn:aws:s3:::{BUCKET}/{KEY}"
KMS = "arn:aws:kms:eu-west-1:111111111111:key/0000-1111"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            (
                f"An error occurred (AccessDenied) when calling GetObject: User: {SESSION} "
                f'is not authorized to perform: s3:GetObject on resource: "{ARN}" because no '
                "identity-based policy allows the s3:GetObject action"
            ),
            Refusal(SESSION, "s3:GetObject", BUCKET, KEY),
        ),
        (
            (
                f"User: {SESSION} is not authorized to perform: kms:Decrypt on resource: {KMS} "
                "because no resource-based policy allows the kms:Decrypt action"
            ),
            Refusal(SESSION, "kms:Decrypt", region="eu-west-1"),
        ),
        (
            (
                "User: arn:aws:iam::111111111111:role/foothold-orders-pipeline is not authorized "
                "to perform: sts:AssumeRole on resource: "
                "arn:aws:iam::222222222222:role/foothold-deploy"
            ),
            Refusal(
                "arn:aws:iam::111111111111:role/foothold-orders-pipeline",
                "sts:AssumeRole",
                role="arn:aws:iam::222222222222:role/foothold-deploy",
            ),
        ),
        (
            (
                "Resource handler: Your access has been denied by S3, please make sure "
                f"your request credentials have permission to GetObject for {BUCKET}/{KEY}. S3 "
                "Error Code: AccessDenied. S3 Error Message: Access Denied"
            ),
            Refusal(None, "s3:GetObject", BUCKET, KEY),
        ),
        (
            f"KMS.DisabledException: {KMS} is disabled.",
            Refusal(None, "kms:Decrypt", region="eu-west-1"),
        ),
        (
            f"S3 error: Access Denied https://{BUCKET}.s3.eu-west-1.amazonaws.com/{KEY}",
            Refusal(None, None, BUCKET, KEY, "eu-west-1"),
        ),
        (
            f"Access Denied: https://s3.eu-west-1.amazonaws.com/{BUCKET}/{KEY}?versionId=1",
            Refusal(None, None, BUCKET, KEY, "eu-west-1"),
        ),
        (f"fatal error: AccessDenied, s3://{BUCKET}/{KEY}", Refusal(bucket=BUCKET, key=KEY)),
        (
            (
                f"User: {SESSION}\nis not authorized\n  to perform: s3:ListBucket on resource: "
                f"arn:aws:s3:::{BUCKET}"
            ),
            Refusal(SESSION, "s3:ListBucket", BUCKET, None),
        ),
    ],
)
def test_a_message_tells_who_asked_for_what(text: str, told: Refusal) -> None:
    assert read_refusal(text) == told


@pytest.mark.parametrize(
    "text",
    ["", "hello", "Rate exceeded (Throttling)", "ResourceConflictException: in use", "\0" * 50],
)
def test_what_is_no_refusal_is_said_to_be_none_and_not_repeated(text: str) -> None:
    with pytest.raises(PermanentError) as told:
        read_refusal(text)
    assert str(told.value) == "the text is no refusal of AWS about an artifact, a key or a role"


def test_an_encoded_message_is_to_be_decoded_first() -> None:
    text = "You are not authorized. Encoded authorization failure message: SECRETSECRET"
    with pytest.raises(PermanentError, match="decode-authorization-message") as told:
        read_refusal(text)
    assert "SECRET" not in str(told.value)
