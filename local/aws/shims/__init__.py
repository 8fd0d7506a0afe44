"""What MiniStack 1.5.33 lacks of AWS and this project needs, each gap closed by one function.

Every gap has two tests in tests/embedded/shims: one that AWS's behaviour is there, and one that a
MiniStack without the shim still lacks it. The second fails on the day that upstream closes the
gap; then remove the shim.
"""

from collections.abc import Callable, Sequence

from local.aws.shims import awslambda, cloudformation, codepipeline, events, iam, kms, s3

SHIMS: dict[str, Callable[[], None]] = {
    shim.__name__: shim
    for shim in (
        iam.organization_membership,
        iam.role_principals,
        iam.resource_account,
        iam.authorized_resources,
        iam.account_actions,
        iam.loopback_tls,
        s3.write_conditions,
        s3.tls_versions,
        s3.expected_bucket_owner,
        s3.object_encryption,
        kms.foreign_keys,
        awslambda.foreign_code,
        awslambda.bare_runtime,
        cloudformation.condition_values,
        cloudformation.conditional_changes,
        cloudformation.declared_parameters,
        cloudformation.nested_transforms,
        cloudformation.property_values,
        codepipeline.codepipeline,
        events.event_conditions,
    )
}


def apply(without: Sequence[str] = ()) -> None:
    """Close every gap but those named, none at all for `all`. Call it before the server starts."""
    if unknown := set(without) - SHIMS.keys() - {"all"}:
        raise SystemExit(f"no such shim: {', '.join(sorted(unknown))}")
    for name, shim in SHIMS.items():
        if name not in without and "all" not in without:
            shim()
