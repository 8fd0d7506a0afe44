"""What the composition root makes, and when."""

from functools import cached_property
from typing import Any

import boto3
import pytest

from foothold.app import App
from foothold.aws.patience import OF_A_KEY, OF_A_STACK, OF_AN_EVENT, Limits
from foothold.errors import PermanentError

ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "FOOTHOLD_ACCOUNT": "111111111111",
    "FOOTHOLD_STACK": "foothold",
    "FOOTHOLD_NAME_PREFIX": "foothold",
    "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    "FOOTHOLD_RECONCILE_CONCURRENCY": "0",
}
MADE = [name for name, made in vars(App).items() if isinstance(made, cached_property)]


class Sessions:
    """Opens sessions whose clients may not send anything, and counts them."""

    opened = 0

    def __call__(self) -> boto3.Session:
        self.opened += 1
        session = boto3.Session("key", "secret", region_name="eu-central-1")
        session.events.register("before-send", lambda **_: pytest.fail("AWS was asked"))
        return session


def test_all_that_an_app_makes_comes_of_one_session_and_asks_aws_nothing() -> None:
    sessions = Sessions()
    app = App(ENVIRONMENT, sessions)
    for _ in range(2):
        made = [getattr(app, name) for name in MADE]
        assert None not in made
        assert made == [getattr(app, name) for name in MADE]
    assert sessions.opened == 1
    assert len(MADE) >= 15


def test_an_app_whose_settings_are_wrong_can_still_answer_a_job() -> None:
    app = App({}, Sessions())
    assert app.jobs
    with pytest.raises(PermanentError, match=r"FOOTHOLD_ACCOUNT.* are missing or wrong"):
        _ = app.package_function


@pytest.mark.parametrize(
    ("begin", "limits"),
    [
        (App.events, OF_AN_EVENT),
        (App.commands, OF_AN_EVENT),
        (App.claims, OF_A_STACK),
        (App.new_keys, OF_A_KEY),
    ],
)
def test_every_run_has_a_patience_of_its_own(
    begin: Any, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, begun = App(ENVIRONMENT, Sessions()), list[Limits]()
    monkeypatch.setattr(app.patience, "begin", begun.append)
    begin(app)
    begin(app)
    assert begun == [limits, limits]


def test_a_store_is_reconciled_by_the_clock_that_the_app_was_given() -> None:
    class Clock:
        def time(self) -> float:
            return 12.0

        def monotonic(self) -> float:
            return 13.0

        def sleep(self, seconds: float, /) -> None: ...

    app = App(ENVIRONMENT, Sessions(), clock=Clock())
    clocks = (app.reconciler, app.retirements, app.requests, app.claims(), app.patience)
    assert [each._clock() for each in clocks] == [12.0] * 5
    assert app.parameters._pace is not None
    assert app.parameters._pace._clock() == 13.0
