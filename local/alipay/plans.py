"""What a test, or a person with curl, wants Alipay to do with a payment. `server` lists the grammar."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

NORMAL = "normal"
FINAL = ("SUCCESS", "FAIL", "CANCELLED")
SEALS = ("unsigned", "badsig", "otherkey")
TRANSPORTS = (
    "hang",
    "reset-before",
    "reset-after",
    "html",
    "truncated",
    "broken",
    "gzipbomb",
    "huge",
    "drip",
)
# These F codes speak about the call or about an earlier one, so they never decide the payment by themselves.
CONFLICTS = ("REPEAT_REQ_INCONSISTENT", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED")


class PlanInvalid(ValueError):
    """A plan that says something this simulator would otherwise silently not do."""


@dataclass(frozen=True)
class Behaviour:
    """How one call is answered."""

    transport: str = "answer"
    claim: str = NORMAL  # the truth, or S, F, U whatever the truth
    code: str = ""
    seal: str = "signed"
    http_status: int = 200
    delay_s: float = 0.0
    payment_status: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    alter_byte: bool = False
    processed: bool | None = None

    @property
    def authentic(self) -> bool:
        """Whether Alipay itself would stand by this answer."""
        return self.transport == "answer" and self.seal == "signed" and not self.alter_byte

    @property
    def rejected(self) -> bool:
        """Whether, unless the plan knows better, the call never got as far as the wallet."""
        return self.transport == "http" or (self.seal == "unsigned" and self.claim == "F")

    @property
    def does(self) -> bool:
        """Whether a call other than pay does what it asks for: not if it is lost, or answered with F or U.

        `processed` in the plan decides otherwise.
        """
        if self.processed is not None:
            return self.processed
        return self.transport != "reset-before" and not self.rejected and self.claim in (NORMAL, "S")


@dataclass(frozen=True)
class Result:
    """The truth about a payment, `after_s` seconds after it was accepted."""

    status: str
    code: str
    after_s: float = 0.0


@dataclass(frozen=True)
class NotifyPlan:
    """Which notifications of a payment arrive."""

    lost: bool = False
    lose: int = 0
    times: int = 1
    delay_s: float | None = None
    first: str = ""
    pending: bool = False
    then: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything planned for one payment; the last behaviour of each list repeats."""

    pay: tuple[Behaviour, ...] = (Behaviour(),)
    inquiry: tuple[Behaviour, ...] = (Behaviour(),)
    cancel: tuple[Behaviour, ...] = (Behaviour(),)
    result: Result | None = None
    expires: bool = True
    notify: NotifyPlan = NotifyPlan()

    def behaviour(self, call: str, calls_before: int) -> Behaviour:
        steps: tuple[Behaviour, ...] = getattr(self, call)
        return steps[min(calls_before, len(steps) - 1)]


def parse_plan(given: Mapping[str, Any]) -> Plan:
    _only(given, "plan", "pay", "inquiry", "cancel", "result", "expires", "notify")
    result = given.get("result")
    expires = given.get("expires", (result or {}).get("expires", True))
    return Plan(
        pay=_behaviours(given.get("pay", [])),
        inquiry=_behaviours(given.get("inquiry", [])),
        cancel=_behaviours(given.get("cancel", [])),
        result=_result(result) if result is not None else None,
        expires=bool(expires),
        notify=_notify_plan(given.get("notify", NORMAL)),
    )


def _behaviours(given: Any) -> tuple[Behaviour, ...]:
    steps = given if isinstance(given, list) else [given]
    return tuple(parse_behaviour(step) for step in steps) or (Behaviour(),)


def parse_behaviour(given: str | Mapping[str, Any]) -> Behaviour:
    if isinstance(given, str):
        return _spoken(given)
    _only(
        given,
        "behaviour",
        *("answer", "delay", "amount", "paymentRequestId", "paymentId", "paymentStatus", "code"),
        *("omit", "set", "httpStatus", "alterByte", "processed"),
    )
    spoken = _spoken(given.get("answer", NORMAL))
    changed = dict(given.get("set", {}))
    changed |= {name: given[name] for name in ("paymentRequestId", "paymentId") if name in given}
    if "amount" in given:
        changed["paymentAmount"] = given["amount"]
    return Behaviour(
        transport=spoken.transport,
        claim=spoken.claim,
        code=given.get("code", spoken.code),
        seal=spoken.seal,
        http_status=int(given.get("httpStatus", spoken.http_status)),
        delay_s=float(given.get("delay", 0)),
        payment_status=given.get("paymentStatus", ""),
        changed=changed,
        omitted=tuple(given.get("omit", ())),
        alter_byte=bool(given.get("alterByte", False)),
        processed=given.get("processed"),
    )


def _spoken(text: str) -> Behaviour:
    """`[seal:]normal`, `[seal:]S`, `[seal:]U[:CODE]`, `[seal:]F:CODE`, `http:NNN`, or a transport."""
    if text == "reset":
        text = "reset-after"
    if text in TRANSPORTS:
        return Behaviour(transport=text)
    if match := re.fullmatch(r"http:([1-5][0-9]{2})", text):
        return Behaviour(transport="http", http_status=int(match[1]))
    if text == "ORDER_NOT_EXIST":
        return Behaviour(claim="F", code=text)
    seal, found, rest = text.partition(":")
    if not found or seal not in SEALS:
        seal, rest = "signed", text
    claim, _, code = rest.partition(":")
    if claim not in (NORMAL, "S", "U", "F") or (claim == "F") > bool(code):
        raise PlanInvalid(f"unknown behaviour: {text!r}")
    return Behaviour(claim=claim, code=code, seal=seal)


def _result(given: Mapping[str, Any]) -> Result:
    _only(given, "result", "status", "code", "after", "expires")
    status = given.get("status", "SUCCESS")
    codes = {"SUCCESS": "SUCCESS", "FAIL": "PROCESS_FAIL", "CANCELLED": "ORDER_IS_CANCELED"}
    if status not in FINAL and status != "PROCESSING":
        raise PlanInvalid(f"unknown result status: {status!r}")
    return Result(status, given.get("code", codes.get(status, "PAYMENT_IN_PROCESS")), float(given.get("after", 0)))


def _notify_plan(given: Any) -> NotifyPlan:
    if isinstance(given, str):
        words = {
            NORMAL: NotifyPlan(),
            "lost": NotifyPlan(lost=True),
            "forged": NotifyPlan(first="otherkey"),
            "badsig": NotifyPlan(first="badsig"),
        }
        if given not in words:
            raise PlanInvalid(f"unknown notify plan: {given!r}")
        return words[given]
    _only(given, "notify", "lost", "lose", "times", "delay", "first", "pending", "then")
    first = {"forged": "otherkey"}.get(given.get("first", ""), given.get("first", ""))
    if first not in ("", *SEALS):
        raise PlanInvalid(f"unknown first notification: {first!r}")
    return NotifyPlan(
        lost=bool(given.get("lost", False)),
        lose=int(given.get("lose", 0)),
        times=int(given.get("times", 1)),
        delay_s=float(given["delay"]) if "delay" in given else None,
        first=first,
        pending=bool(given.get("pending", False)),
        then=tuple(given.get("then", ())),
    )


def _only(given: Mapping[str, Any], what: str, *known: str) -> None:
    if not isinstance(given, Mapping):
        raise PlanInvalid(f"{what} must be an object")
    if unknown := sorted(set(given) - set(known)):
        raise PlanInvalid(f"{what} has unknown fields: {', '.join(unknown)}")


_PRESETS: dict[str, Json] = {
    "paid": {},
    "declined": {"pay": ["F:USER_BALANCE_NOT_ENOUGH"]},
    "unknown-then-notified": {"pay": ["U", NORMAL], "result": {"status": "SUCCESS", "after": 2}},
    "unknown-then-inquired": {
        "pay": ["U", NORMAL],
        "result": {"status": "SUCCESS", "after": 2},
        "notify": "lost",
    },
    # The notification waits, so that what repairs the lost answer is the repeated call.
    "no-answer": {"pay": ["reset-after", NORMAL], "notify": {"delay": 20}},
    "never": {"pay": ["U"], "result": {"status": "PROCESSING"}, "expires": False, "notify": "lost"},
    "forged": {
        "pay": ["U", NORMAL],
        "result": {"status": "FAIL", "code": "USER_BALANCE_NOT_ENOUGH", "after": 4},
        "notify": {"first": "forged"},
    },
}
PRESETS = {name: parse_plan(given) for name, given in _PRESETS.items()}


def preset(access_token: str) -> Plan | None:
    """The plan that an access token `sim:<planName>:<anything>` names."""
    parts = access_token.split(":", 2)
    return PRESETS.get(parts[1]) if len(parts) > 1 and parts[0] == "sim" else None
