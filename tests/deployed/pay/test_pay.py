"""POST and GET /payments: every answer that the contract names."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit import books
from tests.kit.faults import PUT_ITEM, START_EXECUTION, UPDATE_ITEM
from tests.kit.merchant import ACCESS_TOKEN, new_id, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]


def instant(text: str) -> datetime:
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


def settled_part(order: Json) -> Json:
    """The order but for its next look, which each look moves."""
    return {name: value for name, value in order.items() if name != "nextLookAt"}


def test_a_paid_payment_is_answered_200_with_the_order(fast: Deployment) -> None:
    asked_at = datetime.now(UTC).replace(microsecond=0)
    payment_request_id, answer = fast.pay("paid", notify="lost")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json"), answer
    order = answer.json
    known = fast.alipay.payment(payment_request_id)
    assert known
    times = {name: order.pop(name) for name in ("createdAt", "expiresAt", "settledAt", "paymentTime")}
    assert order == {
        "paymentRequestId": payment_request_id,
        "status": "SUCCESS",
        "paymentAmount": {"currency": "HKD", "value": "1990"},
        "referenceOrderId": "20261122-000017",
        "paymentId": known["paymentId"],
        "resultCode": "SUCCESS",
        "resultMessage": "success.",
        "settledBy": "pay",
    }
    assert asked_at <= instant(times["createdAt"]) <= instant(times["settledAt"]) <= datetime.now(UTC)
    assert instant(times["expiresAt"]) - instant(times["createdAt"]) == timedelta(seconds=55)
    assert datetime.fromisoformat(times["paymentTime"]).utcoffset() is not None
    assert fast.merchant.order(payment_request_id).json == answer.json
    books.agree(fast, payment_request_id)


def test_a_declined_payment_is_answered_200_as_failed(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("declined", pay=["F:USER_BALANCE_NOT_ENOUGH"])
    assert answer.status == 200, answer
    order = answer.json
    assert (order["status"], order["resultCode"], order["settledBy"]) == ("FAIL", "USER_BALANCE_NOT_ENOUGH", "pay")
    assert "paymentTime" not in order
    books.agree(fast, payment_request_id)


def test_an_undecided_payment_is_answered_202_with_its_address(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("undecided", **books.NEVER)
    url = f"{fast.merchant.api_url}/payments/{payment_request_id}"
    assert (answer.status, answer.headers["location"], answer.headers["retry-after"]) == (202, url, "3"), answer
    assert set(answer.json) == {
        *("paymentRequestId", "status", "paymentAmount", "referenceOrderId", "createdAt", "expiresAt", "nextLookAt")
    }
    assert answer.json["status"] == "INIT"
    looked_up = fast.merchant.order(payment_request_id)
    assert (looked_up.status, settled_part(looked_up.json)) == (200, settled_part(answer.json))


def test_pay_carries_the_merchants_fields_and_what_the_bundle_fills_in(fast: Deployment) -> None:
    request = payment(new_id("fields"), merchantAccountId="shop-7", metadata="passes through")
    answer = fast.merchant.pay(request)
    [sent] = fast.alipay.calls(request["paymentRequestId"], "pay")
    masked = request | {"paymentMethod": request["paymentMethod"] | {"paymentMethodId": "***"}}
    assert sent["body"] == masked | {
        "productCode": "AGREEMENT_PAYMENT",
        "paymentNotifyUrl": fast.description["notifyUrl"],
        "paymentExpiryTime": answer.json["expiresAt"],
    }


@pytest.mark.parametrize("plan", [{"notify": "lost"}, books.NEVER], ids=["final", "INIT"])
def test_a_replay_is_answered_with_the_same_order_and_pays_nothing(fast: Deployment, plan: Json) -> None:
    payment_request_id = fast.alipay.plan(new_id("replay"), **plan)
    request = payment(payment_request_id)
    first = fast.merchant.pay(request)
    in_a_while = (datetime.now(UTC) + timedelta(seconds=40)).isoformat(timespec="seconds")
    gone_by = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    env = {"terminalType": "WEB", "clientIp": "203.0.113.9"}
    for replay in (
        request,
        request | {"paymentExpiryTime": in_a_while},
        request | {"paymentExpiryTime": gone_by},
        request | {"env": env},
        request | {"order": request["order"] | {"env": env}},
        dict(reversed(request.items())),
    ):
        answer = fast.merchant.pay(replay)
        assert (answer.status, settled_part(answer.json)) == (first.status, settled_part(first.json)), replay
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
    books.agree(fast, payment_request_id)


def test_the_same_id_for_another_payment_is_answered_409(fast: Deployment) -> None:
    request = payment(new_id("conflict"))
    first = fast.merchant.pay(request)
    for changed in (
        {"paymentAmount": {"currency": "HKD", "value": "1991"}},
        {"paymentAmount": {"currency": "USD", "value": "1990"}},
        {"paymentMethod": request["paymentMethod"] | {"paymentMethodId": f"{ACCESS_TOKEN}2"}},
        {"paymentMethod": request["paymentMethod"] | {"paymentMethodType": "DANA"}},
        {"order": request["order"] | {"referenceOrderId": "20261122-000018"}},
    ):
        answer = fast.merchant.pay(request | changed)
        assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json"), (changed, answer)
        assert set(answer.json) >= {"type", "title", "status", "detail"}
        assert answer.json["status"] == 409
    assert fast.merchant.order(request["paymentRequestId"]).json == first.json
    assert len(fast.alipay.calls(request["paymentRequestId"], "pay")) == 1
    books.agree(fast, request["paymentRequestId"])


def test_a_malformed_request_is_answered_400_with_every_field_named(fast: Deployment) -> None:
    request = payment("much too long" * 9)
    request["paymentAmount"] = {"currency": "hkd", "value": "019"}
    request["paymentMethod"] = {"paymentMethodType": "ALIPAY_HK"}
    request["order"] = {"orderDescription": "", "orderAmount": {"currency": "HKD", "value": 1990}}
    request["settlementStrategy"] = "USD"
    request |= {
        "productCode": "AGREEMENT_PAYMENT",
        "paymentNotifyUrl": "https://example.com/",
        "paymentExpiryTime": "now",
    }
    answer = fast.merchant.pay(request)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), answer
    assert {error["field"] for error in answer.json["errors"]} == {
        "paymentRequestId",
        "paymentAmount.currency",
        "paymentAmount.value",
        "paymentMethod.paymentMethodId",
        "order.referenceOrderId",
        "order.orderDescription",
        "order.orderAmount.value",
        "settlementStrategy",
        "productCode",
        "paymentNotifyUrl",
        "paymentExpiryTime",
    }
    assert all(error["detail"] for error in answer.json["errors"])


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _order(**changes: Any) -> Json:
    return {"order": payment()["order"] | changes}


def bad_requests() -> dict[str, tuple[Any, str]]:
    """Bodies that are refused, with the field at fault."""
    amount: Json = {"currency": "HKD", "value": "1990"}
    values: list[Any] = ["0", "01", "-1", "+1", "1.5", "1e3", " 1", "", "1" * 17, "１", 1990, None, True, [], "1990\n"]
    ids: list[Any] = ["", "a" * 65, "a b", "a/b", "a.b", "é", 17, {}, "a\n"]
    fields: dict[str, tuple[Json, str]] = {
        **{
            f"amount {value!r}": ({"paymentAmount": amount | {"value": value}}, "paymentAmount.value")
            for value in values
        },
        **{
            f"currency {value!r}": ({"paymentAmount": amount | {"currency": value}}, "paymentAmount.currency")
            for value in ("HK", "HKDX", "hkd", "", 344, "ＨＫＤ")
        },
        **{f"id {value!r}": ({"paymentRequestId": value}, "paymentRequestId") for value in ids},
        **{
            f"expiry {value!r}": ({"paymentExpiryTime": value}, "paymentExpiryTime")
            for value in (
                "",
                "2026-11-22",
                "2026-13-22T17:30:55Z",
                "2026-11-22T17:30:55",
                5,
                _in(90),
                _in(-1),
                "9999-12-31T23:59:59-23:59",
            )
        },
        "no amount": ({"paymentAmount": None}, "paymentAmount"),
        "amount is text": ({"paymentAmount": "1990"}, "paymentAmount"),
        "rupiah with a fraction": ({"paymentAmount": {"currency": "IDR", "value": "30001"}}, "paymentAmount.value"),
        "no method": ({"paymentMethod": None}, "paymentMethod"),
        "token too long": (
            {"paymentMethod": {"paymentMethodType": "DANA", "paymentMethodId": ACCESS_TOKEN.ljust(129, "t")}},
            "paymentMethod.paymentMethodId",
        ),
        "no order": ({"order": None}, "order"),
        "description too long": (_order(orderDescription="d" * 257), "order.orderDescription"),
        "goods without a name": (_order(goods=[{"referenceGoodsId": "1"}]), "order.goods[0].goodsName"),
        "101 goods": (_order(goods=[{"referenceGoodsId": "1", "goodsName": "g"}] * 101), "order.goods"),
        "a number where text belongs": (_order(buyer={"referenceBuyerId": 4711}), "order.buyer.referenceBuyerId"),
        "an unknown field with a number": ({"whatever": 5}, "whatever"),
        "the product code": ({"productCode": "AGREEMENT_PAYMENT"}, "productCode"),
        "the notify URL": ({"paymentNotifyUrl": "https://example.com/"}, "paymentNotifyUrl"),
    }
    bad: dict[str, tuple[Any, str]] = {}
    for name, (changes, field) in fields.items():
        request = payment(new_id("bad")) | {key: value for key, value in changes.items() if value is not None}
        bad[name] = ({key: request[key] for key in request if changes.get(key, "kept") is not None}, field)
    text = json.dumps(payment(new_id("bad")))
    bodies: dict[str, bytes] = {
        "nothing": b"",
        "no JSON": b"paymentRequestId=1",
        "half of it": text[: len(text) // 2].encode(),
        "a list": f"[{text}]".encode(),
        "null": b"null",
        "a lone surrogate": text.replace("cinema", "\\ud800").encode(),
        "a field twice": text.replace('"order"', '"paymentRequestId": "other", "order"').encode(),
        "nested deeply": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    }
    return bad | {name: (body, "body") for name, body in bodies.items()}


def test_bad_requests_of_every_kind_are_answered_400_and_change_nothing(fast: Deployment) -> None:
    before = books.facts(fast)
    fast.faults.forget()
    wrong = {}
    for name, (request, field) in bad_requests().items():
        answer = fast.merchant.pay(request)
        problem = answer.json if answer.headers["content-type"] == "application/problem+json" else {}
        if answer.status != 400 or [error["field"] for error in problem.get("errors", [])] != [field]:
            wrong[name] = answer
    assert not wrong
    assert [call["op"] for call in fast.faults.calls() if call["op"] in (PUT_ITEM, START_EXECUTION)] == []
    assert books.facts(fast) == before


def test_an_order_nobody_asked_for_is_answered_404(fast: Deployment) -> None:
    for payment_request_id in (new_id("nobody"), "a" * 65, "a b", "é", "a%2Fb", "*", "'"):
        answer = fast.merchant.order(payment_request_id)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json"), payment_request_id
        assert answer.json["status"] == 404


@pytest.mark.fault("F31")
@pytest.mark.parametrize("posts", [32, 100])
def test_identical_posts_at_once_are_one_order_and_one_pay(fast: Deployment, posts: int) -> None:
    payment_request_id = fast.alipay.plan(new_id("at-once"), pay={"answer": "S", "delay": 0.4}, notify="lost")
    request = payment(payment_request_id)
    answers = at_once([lambda: fast.merchant.pay(request)] * posts)
    assert {answer.status for answer in answers} <= {200, 202}, answers
    order = fast.seen.settled(payment_request_id)
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
    shown = fast.merchant.order(payment_request_id).json
    init = {
        name: shown[name]
        for name in ("paymentRequestId", "paymentAmount", "referenceOrderId", "createdAt", "expiresAt")
    }
    for answer in answers:
        assert settled_part(answer.json) == (shown if answer.status == 200 else init | {"status": "INIT"})
    assert order["settledBy"] == "pay"
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F07")
def test_pay_cut_twice_is_repeated_byte_for_byte_and_debits_once(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("cut-twice", pay=["reset", "reset", "S"], notify="lost")
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "pay"), answer
    calls = fast.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 3
    assert len({call["bodySha256"] for call in calls}) == 1
    books.agree(fast, payment_request_id)


def test_a_payment_that_pay_settles_is_written_twice_and_never_polled(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("two-writes"), notify="lost")
    watched = {"match": payment_request_id, "times": -1}
    watched_calls = [{"op": op, "name": op, **watched} for op in (PUT_ITEM, UPDATE_ITEM, START_EXECUTION)]
    fast.faults.forget()
    with fast.faults.injected(*watched_calls):
        assert fast.merchant.pay(payment(payment_request_id)).status == 200
        assert [call["op"] for call in fast.faults.calls() if call["rule"]] == [PUT_ITEM, UPDATE_ITEM]
    assert fast.seen.execution(payment_request_id) is None
    assert len(fast.seen.versions(payment_request_id)) == 2


def test_a_payment_notified_before_its_first_inquiry_is_written_twice_and_not_inquired(fast: Deployment) -> None:
    with fast.polling_at(0.5):
        payment_request_id = fast.alipay.plan(
            new_id("two-writes"), pay=["U"], result={"status": "SUCCESS"}, notify={"delay": 0}
        )
        watched = [{"op": op, "match": payment_request_id, "times": -1} for op in (PUT_ITEM, UPDATE_ITEM)]
        fast.faults.forget()
        with fast.faults.injected(*watched):
            fast.merchant.pay(payment(payment_request_id))
            assert fast.seen.settled(payment_request_id)["settledBy"] == "notify"
            execution = fast.seen.ended(payment_request_id)
            assert [call["op"] for call in fast.faults.calls() if call["rule"]] == [PUT_ITEM, UPDATE_ITEM]
    assert execution["status"] == "SUCCEEDED"
    assert fast.alipay.calls(payment_request_id, "inquiryPayment") == []
    assert len(fast.seen.versions(payment_request_id)) == 2
    eventually(lambda: fast.seen.settlements(payment_request_id), "the settling line")
    books.agree(fast, payment_request_id)
