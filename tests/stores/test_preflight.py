"""Who wants a region, when it goes by itself, and what is asked before a store is made."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from foothold.aws.clients import Clients
from foothold.errors import PermanentError
from foothold.stores.custom_resource.request import Claim
from foothold.stores.preflight import Preflight, Preflights, Verdict
from foothold.stores.register import Phase, Retirement
from proof.cloud import STRANGER
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME, PLANE

ONE = Claim("app.1.Store", "one stack's resource")
OTHER = Claim("shop.2.Store", "another stack's resource")
RETIRING = replace(PLANE, retires=True)


def take_lambda_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the SDK's own list of endpoints has none of Lambda."""
    listed = Clients.regions_of

    def regions_of(
        clients: Clients, service: str, partition: str, **named: bool
    ) -> Collection[str]:
        return () if service == "lambda" else listed(clients, service, partition, **named)

    monkeypatch.setattr(Clients, "regions_of", regions_of)


def test_by_default_a_store_is_retained_when_its_last_claim_goes(account: Account) -> None:
    account.claims.ensure([REGION], ONE)
    before = account.published()
    account.claims.release(ONE)
    assert account.retirements.go_on(account.now + 60) == ()
    assert account.published() == before


def test_where_the_policy_is_retire_a_store_goes_with_its_last_claim() -> None:
    account = Account(plane=RETIRING)
    for claim in (ONE, OTHER):
        account.claims.ensure([REGION], claim)
    account.claims.release(ONE)
    assert account.retirements.go_on(account.now + 60) == ()  # the other one lives
    account.claims.release(OTHER)
    (outcome,) = account.retirements.go_on(account.now + 60)
    assert outcome.error is None
    assert account.cloud.buckets == {}


def test_a_store_that_is_used_outlives_its_last_claim_for_as_long_as_that_lasts() -> None:
    account = Account(plane=RETIRING)
    account.claims.ensure([REGION], ONE)
    account.deploy("shop", "222222222222")
    account.claims.release(ONE)
    (outcome,) = account.retirements.go_on(account.now + 60)
    assert "is used by stack 222222222222/shop" in str(outcome.error)
    account.drop_policy()
    assert account.reconciler.keep()[0].steps  # kept meanwhile
    account.cloud.stacks.clear()
    account.retirements.go_on(account.now + 60)
    assert account.cloud.buckets == {}


def test_a_wish_for_a_retirement_is_heard_only_where_the_policy_is_retire(
    account: Account,
) -> None:
    account.claims.ensure([REGION], ONE)
    account.claims.release(ONE)
    asked = Retirement(Phase.ASKED, 0).text
    account.parameters.put(HOME, SPEC.retirement_parameter, asked)
    assert account.retirements.go_on(account.now + 60) == ()
    (outcome,) = account.reconciler.keep()
    assert SPEC.retirement_parameter in outcome.alarms[0].reason


def test_a_store_kept_by_a_late_stack_goes_with_the_next_claim() -> None:
    account = Account(plane=RETIRING)
    account.claims.ensure([REGION], ONE)
    called_off = Retirement(Phase.CALLED_OFF, 0, reason="it was used")
    account.parameters.put(HOME, SPEC.retirement_parameter, called_off.text)
    account.claims.release(ONE)
    assert account.retirements.unfinished() == (REGION,)


def test_a_listed_region_outlives_its_claims() -> None:
    account = Account(plane=RETIRING)
    account.parameters.put(HOME, PLANE.names.regions, REGION)
    account.claims.ensure([REGION], ONE)
    account.claims.release(ONE)
    assert account.retirements.unfinished() == ()


def test_a_claim_made_meanwhile_calls_the_retirement_off() -> None:
    account = Account(plane=RETIRING)
    account.claims.ensure([REGION], ONE)
    account.claims.release(ONE)
    assert account.retirements.unfinished() == (REGION,)
    account.claims.ensure([REGION], OTHER)
    assert account.retirements.unfinished() == ()
    assert SPEC.retirement_parameter not in account.published()


def test_all_enabled_leaves_out_regions_that_lack_a_service(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.parameters.put(HOME, PLANE.names.regions, "all-enabled")
    take_lambda_away(monkeypatch)
    assert account.reconciler.desired_regions() == ()


def test_all_enabled_without_the_permission_to_list_changes_nothing(account: Account) -> None:
    account.store()
    account.parameters.put(HOME, PLANE.names.regions, "all-enabled")

    def refuse(call: str) -> None:
        if call == "DescribeRegions":
            raise PermanentError("cannot list the account's regions: AccessDenied")

    before = account.state()
    account.watch(refuse)
    with pytest.raises(PermanentError, match="cannot list the account's regions"):
        account.reconciler.keep()
    account.serve()
    assert account.state() == before


def test_a_region_without_codepipeline_may_have_a_store_and_says_what_it_lacks(
    account: Account,
) -> None:
    preflights = Preflights(
        account.plane, account.reconciler, account.capacity, lambda region: region == HOME
    )
    for _ in range(2):  # before the store is made, and when it is there
        home, other = preflights.check([HOME, REGION])
        assert "pipelines" not in [check.name for check in home.checks]
        said = other.checks[-1]
        assert (said.name, said.verdict, other.verdict) == (
            "pipelines",
            Verdict.UNKNOWN,
            Verdict.PASSED,
        )
        assert said.words.startswith("CodePipeline is not there")
        account.store()


def checked(account: Account, region: str = REGION) -> Preflight:
    account.begin_anew()
    (found,) = account.preflights.check([region])
    assert account.mutations == []
    return found


def test_a_region_that_can_have_a_store_passes(account: Account) -> None:
    account.cloud.bucket_quota = 7
    found = checked(account)
    assert found.verdict is Verdict.PASSED
    assert {check.name for check in found.checks} == {"store", "services", "quota", "permissions"}


def test_a_region_that_has_a_store_passes_and_says_so(account: Account) -> None:
    account.store()
    assert checked(account).checks[0].words == "it is there: nothing to do"


@pytest.mark.parametrize(
    ("region", "verdict", "words"),
    [
        ("eu-nowhere-1", Verdict.REFUSED, "not a region that account"),
        ("af-south-1", Verdict.REFUSED, "aws account enable-region --region-name af-south-1"),
        ("eu-south-1", Verdict.WAITING, "still being enabled"),
    ],
)
def test_a_region_that_is_not_enabled_is_told_from_one_that_will_be(
    account: Account, region: str, verdict: Verdict, words: str
) -> None:
    found = checked(account, region)
    assert found.verdict is verdict
    assert words in found.checks[0].words


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("foreign", "store", "belongs to another account"),
        ("services", "services", "lacks lambda"),
        ("quota", "quota", "no bucket is left"),
        ("permissions", "permissions", "kms:CreateKey is denied"),
    ],
)
def test_a_refused_region_says_which_check_and_what_to_do(
    account: Account, fault: str, check: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    match fault:
        case "foreign":
            account.cloud.add_bucket(SPEC.bucket, REGION, STRANGER)
        case "services":
            take_lambda_away(monkeypatch)
        case "quota":
            account.cloud.bucket_quota = 0
        case "permissions":
            account.cloud.denied.add("kms:CreateKey")
        case _:
            raise LookupError(fault)
    found = checked(account)
    assert found.verdict is Verdict.REFUSED
    (refused,) = [each for each in found.checks if each.verdict is Verdict.REFUSED]
    assert refused.name == check
    assert words in refused.words


@pytest.mark.parametrize("fault", ["services", "quota"])
def test_the_same_is_asked_before_a_store_is_made(
    account: Account, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "services":
        take_lambda_away(monkeypatch)
    else:
        account.cloud.bucket_quota = 0
    (outcome,) = account.reconciler.reconcile([REGION])
    assert isinstance(outcome.error, PermanentError)
    assert account.mutations == []
