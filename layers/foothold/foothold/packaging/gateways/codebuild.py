"""The tags of CodeBuild projects."""

from contextlib import suppress

from foothold.aws.clients import Clients, aws_call


class BuildProjects:
    """`tag` is a `packaging.ports.BuildTag`."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def tag(self, project: str, name: str) -> str | None:
        """The value of a build project's tag; None where it carries no such tag."""
        codebuild = self._clients.get("codebuild", self._region)
        with aws_call(f"read the tags of the CodeBuild project {project}"):
            found = codebuild.batch_get_projects(names=[project])["projects"]
        with suppress(IndexError, StopIteration):
            return str(next(tag["value"] for tag in found[0]["tags"] if tag["key"] == name))
        return None
