"""A review: equal change sets are one, what is odd is named, and what is a risk is one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from foothold.errors import PermanentError
from foothold.releases.changes import (
    KNOWN_AFTER_APPLY,
    Action,
    ChangeSet,
    PropertyChange,
    Replacement,
    ResourceChange,
    SetState,
)
from foothold.releases.keeping import own_names
from foothold.releases.model import Cell, When
from foothold.releases.review import Kind, Review, differences, fold
from foothold.stores.register import ArtifactStore

ACCOUNTS = ("111111111111", "222222222222")
REGIONS = ("us-east-1", "eu-west-1", "eu-west-2", "ap-south-1")
CELLS = tuple(Cell(account, region, "shop") for account in ACCOUNTS for region in REGIONS)

Changes = Callable[[Cell], tuple[ResourceChange, ...]]


def made_up(cell: Cell, logical_id: str) -> str:
    """A name as CloudFormation makes it up: another one in each stack."""
    mark = f"{CELLS.index(cell):03}{cell.account[0] * 9}"
    return f"{cell.stack}-{logical_id}-{mark}"


def change(
    logical_id: str = "Orders", type_: str = "AWS::SNS::Topic", **more: Any
) -> ResourceChange:
    return ResourceChange(
        **{"action": Action.MODIFY, "scope": ("Properties",), **more},
        logical_id=logical_id,
        type=type_,
    )


def set_of(cell: Cell, *changes: ResourceChange, **more: Any) -> ChangeSet:
    given = {"state": SetState.READY, "id": f"arn:{cell.account}:{cell.region}", **more}
    return ChangeSet(cell, changes=changes, template_sha256=f"of {cell.region}", **given)


def review_of(changes: Changes) -> Review:
    return fold("shop", "prod", "run", [set_of(cell, *changes(cell)) for cell in CELLS])


def alone(*changes: ResourceChange, **more: Any) -> Review:
    return fold("shop", "prod", "run", [set_of(CELLS[0], *changes, **more)])


def valued(cell: Cell, value: str) -> tuple[ResourceChange, ...]:
    one = PropertyChange("/Properties/Value", before="was", after=value)
    return (change(physical_id=made_up(cell, "Orders"), properties=(one,)),)


@pytest.mark.parametrize(
    "text",
    [
        "the same everywhere",
        "arn:aws:sqs:{region}:{account}:queue",
        "https://sqs.{region}.amazonaws.com/{account}/queue",
        "{own}/path",
        "arn:aws:dynamodb:{region}:{account}:table/{other}",
        "foothold-{account}-{region}-an",
        "{region}a",
        "us-east-1",
        "arn:aws:iam::111111111111:role/tools",
        "arn:aws:sqs:us-east-1:{account}:queue",
        "arn:aws:sqs:{region}:111111111111:queue",
        '{{"Statement": ["{region}", "us-east-1"]}}',
    ],
)
def test_names_of_a_stacks_own_are_the_same_and_names_that_are_the_same_are_too(text: str) -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        own, other = made_up(cell, "Orders"), made_up(cell, "Elsewhere")
        return valued(cell, text.format(**vars_of(cell), own=own, other=other))

    review = review_of(changes)
    assert [len(group.cells) for group in review.groups] == [len(CELLS)]
    assert review.odd == ()


def vars_of(cell: Cell) -> dict[str, str]:
    return {"account": cell.account, "region": cell.region}


@pytest.mark.parametrize(
    "odd",
    [
        "arn:aws:sqs:us-west-2:{account}:queue",
        "arn:aws:sqs:{region}:333333333333:queue",
        "arn:aws:sqs:us-east-1:{account}:queue",
        "arn:aws:sqs:{region}:111111111111:queue",
        "arn:aws:sqs:{region}:{account}:other",
        "arn:aws:sqs:{region}1:{account}:queue",
        "arn:aws:sqs:x{region}:{account}:queue",
    ],
)
@pytest.mark.parametrize("cell", [Cell("222222222222", "eu-west-2", "shop")])
def test_one_value_that_is_another_one_makes_a_stack_odd(odd: str, cell: Cell) -> None:
    usual = "arn:aws:sqs:{region}:{account}:queue"

    def changes(here: Cell) -> tuple[ResourceChange, ...]:
        return valued(here, (odd if here == cell else usual).format(**vars_of(here)))

    review = review_of(changes)
    (group,) = review.odd
    assert group.cells == (cell,)
    (line,) = group.differs
    assert line.startswith("Orders /Properties/Value after: ")
    assert odd.format(**vars_of(cell)) in line


def test_only_what_is_different_is_told_of_a_stack_that_is_odd() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        size = "2" if cell == CELLS[6] else "1"
        values = {"Own": f"{cell.region} {cell.account}", "Home": "us-east-1", "Size": size}
        properties = tuple(
            PropertyChange(f"/Properties/{name}", after=value) for name, value in values.items()
        )
        return (change(physical_id=made_up(cell, "Orders"), properties=properties),)

    (group,) = review_of(changes).odd
    assert group.differs == ("Orders /Properties/Size after: 2 here, 1 in most",)
    assert "1 unlike the others (shop in eu-west-2 of 222222222222)" in review_of(changes).summary


def test_a_name_that_somebody_chose_is_a_difference() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        stage = "test" if cell == CELLS[3] else "prod"
        one = PropertyChange("/Properties/Environment/Variables/STAGE", after=stage)
        return (change(physical_id=stage, properties=(one,)),)

    assert [group.cells for group in review_of(changes).odd] == [(CELLS[3],)]


def test_what_does_not_change_is_not_compared() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        rest = {"SubnetIds": [f"subnet-{CELLS.index(cell)}"]}
        return (change(before={**rest, "Size": "1"}, after={**rest, "Size": "2"}),)

    review = review_of(changes)
    assert review.odd == ()
    (effect,) = review.groups[0].effects
    assert [(one.path, one.before, one.after) for one in effect.properties] == [
        ("/Properties/Size", "1", "2")
    ]


def test_what_is_new_is_compared_in_everything() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        size = "2" if cell == CELLS[0] else "1"
        return (change(action=Action.ADD, after={"Size": size, "Tags": [str(cell)]}),)

    assert [group.cells for group in review_of(changes).odd] == [(CELLS[0],)]


def by_hash(cell: Cell) -> str:
    """What SAM puts at the end of a logical id: another one in each region."""
    return hashlib.sha256(cell.region.encode()).hexdigest()[:10]


def with_layer(cell: Cell, *, content: str = "layers/1") -> tuple[ResourceChange, ...]:
    """A SAM app with a layer: a version of it comes, another one goes, a function refers to it."""
    new, old = f"Shared{by_hash(cell)}", f"Shared{by_hash(cell)[::-1]}"
    layer = PropertyChange("/Properties/Layers", before=old, after=new, cause=new)
    version = "AWS::Lambda::LayerVersion"
    return (
        change(new, version, action=Action.ADD, after={"Content": {"S3Key": content}}),
        change(old, version, action=Action.REMOVE, policy="Retain"),
        change("Price", "AWS::Lambda::Function", properties=(layer,)),
    )


def test_what_sam_names_after_a_digest_is_the_same_in_every_region() -> None:
    review = review_of(with_layer)
    (group,) = review.groups
    assert [effect.name for effect in group.effects] == ["Shared… (Remove)", "Price", "Shared…"]


def test_a_layer_with_other_content_is_odd_whatever_it_is_called() -> None:
    other = CELLS[3]
    review = review_of(
        lambda cell: with_layer(cell, content="layers/2") if cell == other else with_layer(cell)
    )
    assert [group.cells for group in review.odd] == [(other,)]
    assert any("layers/2" in line for line in review.odd[0].differs)


def test_the_digest_that_describes_a_deployment_is_its_regions_own() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        digest = hashlib.sha1(cell.region.encode()).hexdigest()  # noqa: S324  as SAM does
        described = {"Description": f"RestApi deployment id: {digest}"}
        deployment = "AWS::ApiGateway::Deployment"
        return (
            change(f"Api{digest[:10]}", deployment, action=Action.ADD, after=described),
            change("Other", action=Action.ADD, after={"Description": "f" * 40}),
        )

    assert len(review_of(changes).groups) == 1


def test_two_that_would_have_one_name_keep_their_own() -> None:
    def changes(_cell: Cell) -> tuple[ResourceChange, ...]:
        return tuple(
            change(f"Shared{digits * 10}", "AWS::Lambda::LayerVersion", action=Action.ADD)
            for digits in "ab"
        )

    (group,) = review_of(changes).groups
    assert {effect.name for effect in group.effects} == {"Shared" + "a" * 10, "Shared" + "b" * 10}


def test_a_nested_template_is_known_by_its_content_and_not_by_its_key() -> None:
    def key(cell: Cell) -> str:
        return f"shop/builds/{hashlib.sha256(cell.region.encode()).hexdigest()[:32]}.template"

    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        url = f"https://s3.{cell.region}.amazonaws.com/store-{cell.region}/{key(cell)}"
        nested = {"TemplateURL": url}
        return (change("Inner", "AWS::CloudFormation::Stack", action=Action.ADD, after=nested),)

    def package(cell: Cell, content: str) -> Any:
        return {"objects": [{"key": key(cell), "neutral_sha256": content}]}

    stores = {
        cell.region: ArtifactStore(cell.region, f"store-{cell.region}", f"key-{cell.region}")
        for cell in CELLS
    }
    sets = [set_of(cell, *changes(cell)) for cell in CELLS]

    def groups(contents: Callable[[Cell], str]) -> int:
        regions = {cell.region: package(cell, contents(cell)) for cell in CELLS}
        names = own_names(stores, json.dumps({"regions": regions}).encode())
        return len(fold("shop", "prod", "run", sets, own_names=names).groups)

    assert groups(lambda _: "the same") == 1
    assert groups(lambda cell: "other" if cell.region == REGIONS[1] else "the same") == 2
    assert own_names(stores, b"[]") == own_names(stores)


def test_a_resource_that_changes_in_one_stack_only_is_named() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        more = (change("More", action=Action.REMOVE, policy="Delete"),)
        return (*valued(cell, "x"), *(more if cell == CELLS[5] else ()))

    review = review_of(changes)
    (group,) = review.odd
    assert group.differs == ("More (AWS::SNS::Topic) is removed only here",)
    assert [(effect.name, cells) for effect, cells in review.risks] == [("More", (CELLS[5],))]


def test_tags_are_counted_and_never_a_difference() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        tag = PropertyChange("/Properties/Tags/0/Value", "Tags", before="0", after=str(cell))
        tagged = [change(f"T{n}", scope=("Tags",), properties=(tag,)) for n in range(3)]
        extra = (change("T9", scope=("Tags",)),) if cell == CELLS[0] else ()
        both = replace(valued(cell, "x")[0], scope=("Properties", "Tags"))
        both = replace(both, properties=(*both.properties, tag))
        return (*tagged, both, *extra)

    review = review_of(changes)
    assert review.odd == ()
    assert review.groups[0].tags_only == 3
    assert [effect.name for effect in review.groups[0].effects] == ["Orders"]
    assert len(review.groups[0].effects[0].properties) == 1


ROLE = change("Role", "AWS::IAM::Role", scope=("Tags",))
FOLLOWS = PropertyChange("/Properties/Role", cause="Role.Arn", after=KNOWN_AFTER_APPLY)
USER = change(
    "Fn",
    "AWS::Lambda::Function",
    scope=("Properties", "Tags"),
    properties=(FOLLOWS,),
    before={"Role": "arn:r", "Timeout": "1"},
    after={"Role": KNOWN_AFTER_APPLY, "Timeout": "1"},
)
ALLOWS = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:t"}]}
ALLOWS_MORE = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": KNOWN_AFTER_APPLY}]}


def test_what_follows_in_a_list_is_as_it_was_and_the_rest_counts() -> None:
    layers = change(
        "Fn",
        "AWS::Lambda::Function",
        properties=(
            PropertyChange("/Properties/Layers/1", cause="Role.Arn"),
            PropertyChange("/Properties/Timeout", before="1", after="2"),
        ),
        before={"Layers": ["a", "b", "c"], "Timeout": "1"},
        after={"Layers": ["a", KNOWN_AFTER_APPLY, "d"], "Timeout": "2"},
    )

    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        other = {"Layers": ["a", KNOWN_AFTER_APPLY, "e"], "Timeout": "2"}
        return (ROLE, replace(layers, after=other) if cell == CELLS[1] else layers)

    (group,) = review_of(changes).odd
    assert group.differs == ("Fn /Properties/Layers/2 after: e here, d in most",)


def test_who_refers_to_what_is_not_replaced_does_not_change() -> None:
    review = alone(ROLE, USER)
    assert review.groups[0].tags_only == 2
    assert not review.is_risky
    permission = change(
        "Permission",
        "AWS::Lambda::Permission",
        replacement=Replacement.PERHAPS,
        policy="ReplaceAndDelete",
        properties=(PropertyChange("/Properties/FunctionName", cause="Fn", recreation="Always"),),
    )
    assert alone(USER, permission, ROLE).groups[0].tags_only == 3


@pytest.mark.parametrize(
    ("role", "user"),
    [
        (replace(ROLE, replacement=Replacement.YES), USER),
        (replace(ROLE, replacement=Replacement.PERHAPS), USER),
        (replace(ROLE, drift="DELETED"), USER),
        (replace(ROLE, type="Custom::Role"), USER),
        (replace(ROLE, action=Action.DYNAMIC), USER),
        (ROLE, replace(USER, after={"Role": "arn:other", "Timeout": "1"})),
        (ROLE, replace(USER, properties=(replace(FOLLOWS, after="arn:other"),))),
        (ROLE, replace(USER, properties=(replace(FOLLOWS, cause="Parameter"),))),
        (ROLE, replace(USER, properties=(FOLLOWS, PropertyChange("/Properties/Role")))),
        (ROLE, replace(USER, properties=(replace(FOLLOWS, path="/Properties"),))),
        (
            ROLE,
            change(
                "Policy",
                "AWS::IAM::ManagedPolicy",
                properties=(PropertyChange("/Properties/PolicyDocument", cause="Role.Arn"),),
                before={"PolicyDocument": ALLOWS},
                after={"PolicyDocument": ALLOWS_MORE},
            ),
        ),
        (
            ROLE,
            change(
                "Fn",
                "AWS::Lambda::Permission",
                replacement=Replacement.PERHAPS,
                properties=(
                    replace(FOLLOWS, recreation="Always"),
                    PropertyChange("/Properties/Action", recreation="Conditionally"),
                ),
            ),
        ),
    ],
)
def test_who_might_change_for_any_other_reason_is_a_risk(
    role: ResourceChange, user: ResourceChange
) -> None:
    risks = {effect.name for effect, _ in alone(role, user).risks}
    assert user.logical_id in risks


RISKS: dict[str, tuple[ResourceChange, Kind]] = {
    "a replacement": (change(replacement=Replacement.YES), Kind.REPLACED),
    "a replacement, perhaps": (change(replacement=Replacement.PERHAPS), Kind.PERHAPS_REPLACED),
    "a property that is only changed by replacing": (
        change(properties=(PropertyChange("/Properties/Name", recreation="Always"),)),
        Kind.PERHAPS_REPLACED,
    ),
    "a policy of replacing": (change(policy="ReplaceAndRetain"), Kind.PERHAPS_REPLACED),
    "a removal": (change(action=Action.REMOVE, policy="Retain"), Kind.REMOVED),
    "something dynamic": (change(action=Action.DYNAMIC), Kind.UNKNOWN),
    "an import": (change(action=Action.IMPORT), Kind.IMPORTED),
    "a nested stack that was not read": (change("N", "AWS::CloudFormation::Stack"), Kind.UNKNOWN),
    "a nested stack with other tags": (
        change("N", "AWS::CloudFormation::Stack", scope=("Tags",)),
        Kind.UNKNOWN,
    ),
    "a new nested stack": (
        change("N", "AWS::CloudFormation::Stack", action=Action.ADD),
        Kind.UNKNOWN,
    ),
    "access that cannot be told": (change("R", "AWS::IAM::Role"), Kind.ACCESS_UNCLEAR),
    "drift": (change(drift="MODIFIED", scope=("Tags",)), Kind.MODIFIED),
    "a removal in a nested stack": (
        change("N", "AWS::CloudFormation::Stack", nested=(change("Deep", action=Action.REMOVE),)),
        Kind.REMOVED,
    ),
}


@pytest.mark.parametrize("name", RISKS)
def test_a_risk_is_one_wherever_it_is_and_somebody_is_asked(name: str) -> None:
    one, kind = RISKS[name]
    review = alone(one)
    assert [effect.kind for effect, _ in review.risks] == [kind]
    assert review.ask(When.RISK)
    assert len(fold("shop", "prod", "run", [set_of(CELLS[0]), set_of(CELLS[1], one)]).risks) == 1


def test_what_is_no_risk_is_not_asked_for_where_only_risks_are() -> None:
    nested = change("N", "AWS::CloudFormation::Stack", nested=(change("Deep"),))
    review = alone(change(action=Action.ADD, after={}), nested)
    assert [effect.name for effect in review.groups[0].effects] == ["N", "N/Deep", "Orders"]
    assert (review.ask(When.RISK), review.ask(When.CHANGES), review.ask(When.ALWAYS)) == (
        False,
        True,
        True,
    )


def test_the_gravest_come_first_and_what_holds_data_before_what_does_not() -> None:
    review = alone(
        change("A", action=Action.ADD, after={}),
        change("B"),
        change("C", action=Action.REMOVE, policy="Delete"),
        change("D", "AWS::DynamoDB::Table", action=Action.REMOVE, policy="Snapshot"),
        change("E", replacement=Replacement.YES, policy="ReplaceAndDelete"),
        change("F", "AWS::Lambda::Url", before={"AuthType": "AWS_IAM"}, after={"AuthType": "NONE"}),
        change("G", "AWS::Lambda::Url", before={"AuthType": "NONE"}, after={"AuthType": "AWS_IAM"}),
    )
    effects = review.groups[0].effects
    assert [effect.name for effect in effects] == ["E", "D", "C", "F", "G", "B", "A"]
    assert [effect.fate for effect in effects[:3]] == [
        "the old one is deleted, with its data",
        "deleted, after a snapshot",
        "deleted, with its data",
    ]


@pytest.mark.parametrize(
    ("policy", "fate"),
    [
        ("Delete", "deleted, with its data"),
        ("Retain", "left behind with its data, outside the stack"),
        ("Snapshot", "deleted, after a snapshot"),
        ("ReplaceAndDelete", "the old one is deleted, with its data"),
        ("ReplaceAndRetain", "the old one is left behind with its data, outside the stack"),
        ("ReplaceAndSnapshot", "the old one is deleted, after a snapshot"),
        (None, "CloudFormation does not say what becomes of its data"),
    ],
)
def test_what_becomes_of_the_data_is_told(policy: str | None, fate: str) -> None:
    review = alone(change(action=Action.REMOVE, policy=policy))
    assert review.groups[0].effects[0].fate == fate
    assert alone(change()).groups[0].effects[0].fate == ""


@pytest.mark.parametrize(
    "type_",
    [
        *("AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket", "AWS::RDS::DBCluster"),
        *("AWS::EFS::FileSystem", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::SQS::Queue"),
        *("AWS::SecretsManager::Secret", "AWS::Cognito::UserPool", "AWS::Kinesis::Stream"),
    ],
)
def test_what_holds_data_is_told_first(type_: str) -> None:
    removed = [
        change(name, each, action=Action.REMOVE)
        for name, each in (("A", "AWS::SNS::Topic"), ("B", type_))
    ]
    assert [one.name for one in alone(*removed).groups[0].effects] == ["B", "A"]


def test_a_summary_names_what_is_grave_and_counts_the_rest() -> None:
    removed = [change(name, action=Action.REMOVE) for name in ("A", "B", "C")]
    assert alone(*removed, change("D"), change("E")).summary == (
        "1 stack; 3 removed (A, B and 1 more); 2 modified"
    )


def test_json_in_another_spelling_is_the_same() -> None:
    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        return valued(cell, '{"a": [1, 2]}' if cell == CELLS[0] else '{"a":[1,2]}')

    assert review_of(changes).odd == ()


def test_another_action_or_access_is_a_difference() -> None:
    more = {"AuthType": "NONE"}

    def changes(cell: Cell) -> tuple[ResourceChange, ...]:
        url = change("Url", "AWS::Lambda::Url", before={"AuthType": "AWS_IAM"}, after=more)
        new = change("Url", "AWS::Lambda::Url", action=Action.ADD, after=more)
        return (new if cell == CELLS[2] else url,)

    (group,) = review_of(changes).odd
    assert "Url action: Add here, Modify in most" in group.differs


@pytest.mark.parametrize("state", [SetState.FAILED, SetState.MISSING, SetState.UNREAD])
def test_a_stack_that_was_not_read_makes_the_review_incomplete_and_risky(state: SetState) -> None:
    sets = [set_of(cell, *valued(cell, "x")) for cell in CELLS]
    sets[2] = set_of(CELLS[2], state=state, reason="there it says why")
    review = fold("shop", "prod", "run", sets)
    assert not review.is_complete
    assert review.summary.startswith("INCOMPLETE: 1 of 8 stacks not read")
    assert review.ask(When.RISK)
    (group,) = review.unread
    assert (group.cells, group.reason) == ((CELLS[2],), "there it says why")


def test_nothing_to_do_anywhere_is_said_and_asked_nobody() -> None:
    review = fold("shop", "prod", "run", [set_of(cell, state=SetState.EMPTY) for cell in CELLS])
    assert review.is_empty
    assert review.is_complete
    assert review.summary == "8 stacks; nothing to change anywhere"
    assert not review.ask(When.CHANGES)
    assert review.ask(When.ALWAYS)


def test_outputs_alone_are_said_to_change() -> None:
    assert alone().summary == "1 stack; only tags, outputs or parameters change in some"


def test_nothing_that_was_read_is_not_nothing_to_do() -> None:
    review = fold("shop", "prod", "run", [])
    assert (review.is_empty, review.is_complete, review.ask(When.RISK)) == (False, False, True)


def test_a_stack_with_nothing_to_do_is_odd_among_others() -> None:
    sets = [set_of(cell, *valued(cell, "x")) for cell in CELLS[:3]]
    review = fold("shop", "prod", "run", [*sets, set_of(CELLS[3], state=SetState.EMPTY)])
    assert [group.state for group in review.odd] == [SetState.EMPTY]
    assert not review.is_empty


def test_a_summary_is_one_line_of_250_characters_however_much_there_is() -> None:
    names = [f"Resource{number}\n{'x' * 90}" for number in range(9)]
    review = alone(*(change(name, action=Action.REMOVE) for name in names))
    assert len(review.summary) <= 250
    assert "\n" not in review.summary


def test_parameters_that_are_not_the_same_everywhere_are_named() -> None:
    sets = [
        set_of(cell, *valued(cell, "x"), parameters={"Same": "1", "Vpc": cell.region})
        for cell in CELLS
    ]
    assert fold("shop", "prod", "run", sets).varying == ("Vpc",)


def test_secrets_are_in_nothing_that_is_kept() -> None:
    given = {"Password": "canary", "Nested": {"ApiKey": "canary", "KeyArn": "arn:k"}}
    one = change(
        properties=(
            PropertyChange("/Properties/MasterUserPassword", before="canary", after="canary2"),
            PropertyChange("/Properties/Value", after=json.dumps(given)),
            PropertyChange("/Properties/Value", after="{{resolve:ssm-secure:canary:1}}"),
        )
    )

    def odd(cell: Cell) -> tuple[ResourceChange, ...]:
        other = PropertyChange("/Properties/DbPassword", after="canary")
        usual = replace(other, after="canary9")
        return (change(properties=(other if cell == CELLS[0] else usual,)),)

    assert "canary" not in alone(one).render().decode()
    assert "arn:k" in alone(one).render().decode()
    review = review_of(odd)
    assert len(review.odd) == 1
    assert "canary" not in review.render().decode()


def test_a_review_is_what_was_written_and_nothing_else() -> None:
    review = review_of(
        lambda cell: (*valued(cell, cell.region), *(one for one, _ in RISKS.values()))
    )
    assert Review.parse(review.render(), "there") == review
    assert Review.parse(review.render(), "there").summary == review.summary
    changed = review.render().replace(b"arn:111111111111:eu-west-1", b"arn:other")
    for body in (changed, b"", b"{}", b"[]", b"\xff"):
        with pytest.raises(PermanentError, match="there"):
            Review.parse(body, "there")


def test_the_order_of_what_was_read_changes_nothing() -> None:
    sets = [set_of(cell, *valued(cell, cell.region)) for cell in CELLS]
    one, other = fold("p", "t", "e", sets), fold("p", "t", "e", sets[::-1])
    assert one == other
    assert one.digest == other.digest


SETS = tuple(set_of(cell, *valued(cell, "x")) for cell in CELLS)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ((), ["another one than was reviewed"]),
        ({"template_sha256": "other"}, ["another template"]),
        ({"state": SetState.MISSING, "id": ""}, ["was ready when it was reviewed, and is missing"]),
        ({"state": SetState.EMPTY}, ["and is empty"]),
    ],
)
def test_whatever_is_otherwise_than_reviewed_is_a_difference(now: Any, told: list[str]) -> None:
    review = fold("shop", "prod", "run", SETS)
    assert differences(review, SETS) == []
    changed = replace(SETS[0], **(now or {"id": "arn:other"}))
    found = differences(review, [changed, *SETS[1:]])
    assert len(found) == 1
    assert told[0] in found[0]
    assert found[0].startswith(str(CELLS[0]))


def test_a_stack_more_or_less_than_reviewed_is_a_difference() -> None:
    review = fold("shop", "prod", "run", SETS[1:])
    assert differences(review, SETS) == [f"{CELLS[0]}: was not reviewed"]
    (line,) = differences(review, SETS[2:])
    assert line.startswith(str(CELLS[1]))


def test_what_was_not_read_when_it_was_reviewed_may_not_be_executed() -> None:
    unread = replace(SETS[0], state=SetState.UNREAD)
    review = fold("shop", "prod", "run", [unread, *SETS[1:]])
    assert len(differences(review, SETS)) == 1
    assert len(differences(review, [unread, *SETS[1:]])) == 1
