"""Who may do what with a store, judged by an evaluator that is not ours."""

import copy

from proof.decisions import PLACES, documents, expected, table, wrong

HERE = [row for row in table() if row.place == PLACES[0]]


def test_every_row_of_the_table_is_decided_as_the_policies_are_meant() -> None:
    assert len(HERE) > 500
    assert wrong(documents(), HERE) == []


def test_the_table_holds_both_verdicts_for_bucket_and_key() -> None:
    for service in ("s3:", "kms:"):
        verdicts = {expected(row) for row in HERE if row.action.startswith(service)}
        assert verdicts == {True, False}


def test_a_policy_that_lets_a_stranger_in_is_caught() -> None:
    weak = copy.deepcopy(documents())
    statements = weak[f"bucket {PLACES[0]}"]["Statement"]
    weak[f"bucket {PLACES[0]}"]["Statement"] = [
        one for one in statements if one["Sid"] != "DenyPlainHttp"
    ]
    assert any("tls=(False" in row for row in wrong(weak, HERE))
