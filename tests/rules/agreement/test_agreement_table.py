"""The agreement table's model against the template."""

from autodebit.agreement.agreement_table import AgreementItem, DueAgreements, WatchedAgreements

from tests.kit.indexes import assert_declared


def test_the_template_declares_the_key_and_the_indexes_that_are_used() -> None:
    assert_declared("AgreementTable", AgreementItem, WatchedAgreements, DueAgreements)
