"""A rehearsal fills in what pipeline variables stand for, as CodePipeline does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from foothold.pipelines.resources import expand
from local.rehearsal.execution import ActionFailedError
from local.rehearsal.run import resolved
from proof.rehearsed import Nowhere, RoleCall, rehearsed
from tests.pipelines.declarations import declared, pipeline, target

FUNCTION = r"\{\{resolve:ssm:/foothold/([a-z]+)-function\}\}"
BUILDSPEC = """\
version: 0.2
env:
  exported-variables: [VERSION, NEVER_SET]
phases:
  build:
    commands:
      - export VERSION="1.0-$COMMIT"
      - touch template-export-eu-west-1.yml
artifacts: {files: ['**/*']}
"""


def calls(folder: Path, properties: dict[str, Any]) -> list[RoleCall]:
    """What a rehearsal of the declaration calls; the source is one file."""
    text = re.sub(FUNCTION, r"\1", json.dumps(expand(pipeline(properties))))
    found = json.loads(text)
    nowhere = Nowhere(folder)
    definition = resolved(nowhere, found, found["Pipeline"]["Properties"])
    project = resolved(nowhere, found, found["PipelineBuildProject"]["Properties"])
    source = folder / "source"
    source.mkdir()
    (source / "template.yml").write_text("{}")
    return rehearsed(definition, project, source, folder / "work")


def parameters_of(found: list[RoleCall]) -> dict[str, str]:
    create = next(call for call in found if call.operation == "CreateChangeSet")
    return {each["ParameterKey"]: each["ParameterValue"] for each in create.params["Parameters"]}


def test_a_stack_gets_what_the_source_and_the_build_gave(tmp_path: Path) -> None:
    parameters = {
        "Commit": "#{SourceVariables.CommitId}",
        "Branch": "of #{SourceVariables.BranchName}",
        "Version": "#{BuildVariables.VERSION}",
        "Nothing": "#{BuildVariables.NEVER_SET}",
        "Execution": "#{codepipeline.PipelineExecutionId}",
    }
    build = {"Buildspec": BUILDSPEC, "Environment": {"COMMIT": "#{SourceVariables.CommitId}"}}
    properties = declared(target(Parameters=parameters), Build=build, Package="buildspec")
    found = calls(tmp_path, properties)
    given = parameters_of(found)
    assert re.fullmatch("[0-9a-f]{40}", given["Commit"])
    assert given["Branch"] == "of main"
    assert given["Version"] == f"1.0-{given['Commit']}"
    assert given["Nothing"] == ""
    assert len(given["Execution"]) == 36


def test_a_variable_that_the_build_did_not_export_fails_the_action(tmp_path: Path) -> None:
    parameters = {"Version": "#{BuildVariables.OTHER}"}
    build = {"Buildspec": BUILDSPEC}
    with pytest.raises(ActionFailedError, match=r"no action has given #\{BuildVariables.OTHER\}"):
        calls(tmp_path, declared(target(Parameters=parameters), Build=build, Package="buildspec"))
