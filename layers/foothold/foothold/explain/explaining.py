"""Answers: of one question, of a pipeline, of a message of AWS."""

from collections.abc import Iterator, Sequence

from foothold.errors import PermanentError
from foothold.explain.chain import Chain, explain
from foothold.explain.messages import Refusal, read_refusal
from foothold.explain.ports import ChainObserver, PipelineAction, PipelineReader
from foothold.explain.principal import (
    Question,
    artifact,
    asking_role,
    checked_region,
    is_about_artifacts,
)
from foothold.refused import BECOME, READ


class Explanations:
    """Explains why a role may not have an artifact. Every method raises TemporaryError or
    PermanentError where nothing can be said at all."""

    def __init__(
        self, observer: ChainObserver, pipelines: PipelineReader, home_region: str
    ) -> None:
        self._observer = observer
        self._pipelines = pipelines
        self._home = home_region

    def ask(
        self,
        principal: str,
        action: str = READ,
        *,
        of: str | None = None,
        region: str | None = None,
        caller: str | None = None,
    ) -> Chain:
        """May the principal do this with an artifact (`of`, an s3:// address), or with any of the
        region's store? `caller` is the role that is to become the principal's, by its own
        ARN or that of a session."""
        role = asking_role(principal)
        if caller:
            asking_role(caller)
        bucket = key = None
        if of:
            bucket, key = artifact(of)
            region = region or self._observer.region_of(bucket)
        question = Question(role, action, checked_region(region or self._home), bucket, key, caller)
        return explain(self._observer.observe(question))

    def message(
        self, text: str, principal: str | None, of: str | None, region: str | None
    ) -> Chain:
        """The question that a message of AWS answers with no; what it leaves out is given."""
        told = read_refusal(text)
        return self._told(told, principal, of, region)

    def _told(
        self, told: Refusal, principal: str | None, of: str | None, region: str | None
    ) -> Chain:
        who, region = told.principal or principal, region or told.region
        if told.role and told.action == BECOME:
            return self.ask(told.role, BECOME, region=region, caller=who)
        if not who:
            raise PermanentError(
                "the message does not say whose request was refused: add --principal ROLE_ARN"
            )
        of = of or told.artifact
        if told.bucket and not of and not region:
            region = self._observer.region_of(told.bucket)
        if not of and not region:
            raise PermanentError(
                "the message does not say which artifact was refused: add --artifact S3_URI or "
                "--region R"
            )
        action = told.action or READ
        return self.ask(who, action if is_about_artifacts(action) else READ, of=of, region=region)

    def pipeline(self, name: str, execution: str | None = None) -> Sequence[tuple[str, Chain]]:
        """Every role that the pipeline uses, in every region in which it does; with an execution,
        only those of the actions that failed. By what they are for."""
        own = self._pipelines.role_of(name)
        if execution:
            failed = self._pipelines.failed(name, execution)
            if not failed:
                raise PermanentError(f"no action of execution {execution} of {name} has failed")
            return [answer for action in failed for answer in self._action(action, own)]
        answers = [("pipeline", self.ask(own, region=self._home))]
        asked = {(own, self._home)}
        for action in self._pipelines.actions(name):
            for role in action.role_arns:
                if (role, action.region) not in asked:
                    asked.add((role, action.region))
                    chain = self.ask(role, region=action.region, caller=own)
                    answers.append((action.name, chain))
        return answers

    def _action(self, action: PipelineAction, own: str) -> Iterator[tuple[str, Chain]]:
        """By its message where that says who asked for what; else by the roles it uses."""
        try:
            told = read_refusal(action.message)
            yield action.name, self._told(told, None, None, action.region)
        except PermanentError:
            for role in action.role_arns or (own,):
                caller = None if role == own else own
                yield action.name, self.ask(role, region=action.region, caller=caller)
