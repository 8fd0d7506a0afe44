"""What docs/pipeline.md deploys beside a pipeline can be deployed."""

from local.aws.embedded import ROOT, TOOLS, Embedded
from local.rehearsal.stacks import deploy_stack
from tests.pipelines.test_docs import deployments


def test_the_roles_of_the_page_can_be_deployed(aws: Embedded) -> None:
    for file, parameters, _ in deployments():
        template = (ROOT / file).read_text()
        if "target-account" in file:
            deploy_stack(aws, "666666666666", "target", template, parameters)
        if "tools-account" in file:
            deploy_stack(aws, TOOLS, "pipelines", template, parameters)
    iam = aws.session("666666666666").client("iam")
    attached = iam.list_attached_role_policies(RoleName="foothold-cloudformation")
    assert [policy["PolicyName"] for policy in attached["AttachedPolicies"]] == [
        *("PowerUserAccess", "IAMFullAccess"),
    ]
