"""JSON from outside: what is refused, and what Alipay's messages do not say."""

import pytest
from autodebit.alipay.strict_json import JsonInvalid, parse_message, parse_object


def refusal(body: bytes) -> str:
    with pytest.raises(JsonInvalid) as refused:
        parse_object(body)
    return str(refused.value)


def test_a_fault_is_named_by_line_and_column() -> None:
    assert refusal(b'{\n  "a": x\n}') == "must be valid JSON; it is not at line 2, column 8"


def test_a_name_that_occurs_twice_is_refused() -> None:
    assert refusal(b'{"a":1,"a":2}') == "names a field twice"


@pytest.mark.parametrize("nothing", [b"null", b'""', b"{}", b'{"value":null,"currency":""}'])
def test_what_is_empty_in_a_message_is_not_said(nothing: bytes) -> None:
    message = b'{"paymentAmount":' + nothing + b',"result":{"resultStatus":"F","resultMessage":""}}'
    assert parse_message(message) == {"result": {"resultStatus": "F"}}


def test_lists_and_other_scalars_stay() -> None:
    assert parse_message(b'{"a":[],"b":0,"c":false,"d":[{"e":""}]}') == {"a": [], "b": 0, "c": False, "d": [{"e": ""}]}


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_message_nested_deeper_than_anybody_reads_is_refused(depth: int) -> None:
    with pytest.raises(JsonInvalid, match="nested"):
        parse_message(b'{"a":' * depth + b"1" + b"}" * depth)
