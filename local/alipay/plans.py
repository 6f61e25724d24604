"""What a test, or a person with curl, wants Alipay to do. docs/simulator.md has the grammar, `presets` the names."""

import re
from collections.abc import Callable, Mapping
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
KEYS = ("signed", "otherkey", "badsig", "none")
_MESSAGE_OF = {
    "payment": ("notifyType", "amount", "paymentId"),
    "agreement": ("authorizationNotifyType", "token"),
    "refund": ("notifyType", "amount", "refundStatus"),
}
_ANY_MESSAGE = (
    *("resultStatus", "resultCode", "set", "omit", "rename", "body", "clientId", "requestTime", "url", "path", "key"),
    *("algorithm", "keyVersion", "encoding", "alterByte", "headers"),
)


class PlanInvalid(ValueError):
    """A plan or a message that says something this simulator would otherwise silently not do."""


class PlanUnknown(Exception):
    """A token, an extendInfo or a reason that names a plan which does not exist; the message says which do."""


@dataclass(frozen=True)
class Behaviour:
    """How one call is answered."""

    transport: str = "answer"
    claim: str = NORMAL  # the truth, or S, F, U whatever the truth
    code: str = ""
    seal: str = "signed"
    http_status: int = 200
    delay_s: float = 0.0
    claimed_status: str = ""  # paymentStatus or refundStatus of an inquiry
    changed: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    alter_byte: bool = False
    processed: bool | None = None

    @property
    def authentic(self) -> bool:
        """Whether Alipay itself would stand by this answer."""
        return self.transport == "answer" and self.seal == "signed" and not self.alter_byte

    @property
    def overrules(self) -> bool:
        """Whether Alipay signed a success, which is then the truth, whatever speaks against it."""
        return self.claim == "S" and self.authentic

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
    """The truth about a payment or a refund, `after_s` seconds after it was accepted."""

    status: str
    code: str
    after_s: float = 0.0


@dataclass(frozen=True)
class NotifyPlan:
    """Which notifications arrive, and how."""

    lost: bool = False
    lose: int = 0
    times: int = 1
    delay_s: float | None = None
    first: str = ""
    pending: bool = False
    then: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How the calls about one thing are answered, and what is told of it; the last behaviour of each list repeats."""

    calls: Mapping[str, tuple[Behaviour, ...]]
    notify: NotifyPlan = NotifyPlan()

    def behaviour(self, call: str, calls_before: int) -> Behaviour:
        steps = self.calls[call]
        return steps[min(calls_before, len(steps) - 1)]


@dataclass(frozen=True)
class PaymentPlan(Plan):
    """Everything planned for one payment: the calls pay, inquiry and cancel."""

    result: Result | None = None
    expires: bool = True


@dataclass(frozen=True)
class BuyerPlan:
    """What the buyer does with the QR code by itself: `approve` or `decline`, or nothing (`wait`)."""

    do: str = "wait"
    after_s: float = 1.0


@dataclass(frozen=True)
class AgreementPlan(Plan):
    """Everything planned for one agreement: the calls consult, applyToken, refresh, revoke and query."""

    buyer: BuyerPlan = BuyerPlan()
    announces: tuple[Json, ...] = ({"authorizationNotifyType": "AUTHCODE_CREATED"},)
    qr_code_lives_s: float = 900.0
    auth_code_lives_s: float = 60.0
    token_lives_s: float | None = None  # None: as documented of the wallet
    refreshes: bool | None = None
    rotates: bool = True
    exchange_again: str = "spent"
    refresh_again: str = "same"
    old_token: str = "lives"
    tells_cancel: bool | None = None
    tells_revoke: bool = False
    payment: str = ""


@dataclass(frozen=True)
class RefundPlan(Plan):
    """Everything planned for one refund: the calls refund and inquiryRefund."""

    result: Result | None = None
    bounces_after_s: float | None = None


class Plans[P: Plan]:
    """The plans for one kind of thing: some have names, some belong to an id or to the beginning of one."""

    def __init__(self, kind: str, parse: Callable[[Mapping[str, Any]], P], presets: Mapping[str, Json]) -> None:
        self._kind = kind
        self._parse = parse
        self._presets = {name: parse(given) for name, given in presets.items()}
        self.clear()

    def clear(self) -> None:
        """Forget all but the presets."""
        self._named = dict(self._presets)
        self._by_id: dict[str, P] = {}
        self._by_prefix: dict[str, P] = {}

    def parse(self, given: str | Mapping[str, Any]) -> P:
        """A plan by its name, or as an object. Raises `PlanUnknown` and `PlanInvalid`."""
        return self.named(given) if isinstance(given, str) else self._parse(given)

    def named(self, name: str) -> P:
        """The plan of this name. Raises `PlanUnknown`."""
        if name not in self._named:
            known = ", ".join(self._named)
            raise PlanUnknown(f"There is no {self._kind} plan {name!r}. There are: {known}.")
        return self._named[name]

    def set_named(self, name: str, plan: P) -> None:
        self._named[name] = plan

    def set_for(self, key: str, plan: P) -> None:
        self._by_id[key] = plan

    def set_for_prefix(self, prefix: str, plan: P) -> None:
        self._by_prefix[prefix] = plan

    def of(self, key: str, said: str = "", otherwise: str = "") -> P:
        """The plan of this id, of its longest beginning, of the name in `said`, or of the name `otherwise`.

        `said` names a plan as `sim:<name>:<anything>`; other texts say nothing. Raises `PlanUnknown`.
        """
        if key in self._by_id:
            return self._by_id[key]
        if prefixes := [prefix for prefix in self._by_prefix if key.startswith(prefix)]:
            return self._by_prefix[max(prefixes, key=len)]
        if said.startswith("sim:"):
            return self.named(said.split(":")[1])
        return self.named(otherwise) if otherwise else self._parse({})


def parse_payment_plan(given: Mapping[str, Any]) -> PaymentPlan:
    _only(given, "plan", "pay", "inquiry", "cancel", "result", "expires", "notify")
    result = given.get("result")
    expires = given.get("expires", (result or {}).get("expires", True))
    return PaymentPlan(
        calls=_calls(given, "pay", "inquiry", "cancel"),
        notify=_notify_plan("payment", given.get("notify", NORMAL)),
        result=_result(result) if result is not None else None,
        expires=bool(expires),
    )


def parse_agreement_plan(given: Mapping[str, Any]) -> AgreementPlan:
    calls = ("consult", "applyToken", "refresh", "revoke", "query")
    lives = {"qrCodeLives": "qr_code_lives_s", "authCodeLives": "auth_code_lives_s", "tokenLives": "token_lives_s"}
    choices = {
        "exchangeAgain": ("exchange_again", ("spent", "same", "another")),
        "refreshAgain": ("refresh_again", ("same", "another", "spent")),
        "oldToken": ("old_token", ("lives", "dies")),
    }
    switches = {
        "refreshes": "refreshes",
        "rotates": "rotates",
        "tellsCancel": "tells_cancel",
        "tellsRevoke": "tells_revoke",
    }
    _only(given, "plan", *calls, *lives, *choices, *switches, "buyer", "announces", "notify", "payment")
    more: dict[str, Any] = {field: float(given[name]) for name, field in lives.items() if name in given}
    for name, (field_name, words) in choices.items():
        if name in given:
            more[field_name] = _one_of(given[name], name, words)
    more |= {field: bool(given[name]) for name, field in switches.items() if name in given}
    if "buyer" in given:
        more["buyer"] = _buyer_plan(given["buyer"])
    if "announces" in given:
        more["announces"] = tuple(_announcement(one) for one in given["announces"])
    return AgreementPlan(
        calls=_calls(given, *calls),
        notify=_notify_plan("agreement", given.get("notify", NORMAL)),
        payment=given.get("payment", ""),
        **more,
    )


def _buyer_plan(given: Any) -> BuyerPlan:
    spoken = {"do": given} if isinstance(given, str) else given
    _only(spoken, "buyer", "do", "after")
    do = _one_of(spoken.get("do", "wait"), "buyer", ("approve", "decline", "wait"))
    return BuyerPlan(do, float(spoken.get("after", BuyerPlan.after_s)))


def _announcement(given: Any) -> Json:
    spoken = {"authorizationNotifyType": given} if isinstance(given, str) else given
    message = parse_message("agreement", spoken, "after")
    _one_of(message.get("authorizationNotifyType"), "announces", ("AUTHCODE_CREATED", "TOKEN_CREATED"))
    return message


def parse_refund_plan(given: Mapping[str, Any]) -> RefundPlan:
    _only(given, "plan", "refund", "inquiryRefund", "result", "notify", "bouncesAfter")
    result = given.get("result")
    return RefundPlan(
        calls=_calls(given, "refund", "inquiryRefund"),
        notify=_notify_plan("refund", given.get("notify", NORMAL)),
        result=_result(result) if result is not None else None,
        bounces_after_s=float(given["bouncesAfter"]) if "bouncesAfter" in given else None,
    )


def _one_of(given: Any, what: str, words: tuple[str, ...]) -> str:
    if given not in words:
        raise PlanInvalid(f"{what} must be one of {', '.join(words)}, not {given!r}")
    return str(given)


def _calls(given: Mapping[str, Any], *names: str) -> dict[str, tuple[Behaviour, ...]]:
    return {name: _behaviours(given.get(name, [])) for name in names}


def _behaviours(given: Any) -> tuple[Behaviour, ...]:
    steps = given if isinstance(given, list) else [given]
    return tuple(parse_behaviour(step) for step in steps) or (Behaviour(),)


def parse_behaviour(given: str | Mapping[str, Any]) -> Behaviour:
    if isinstance(given, str):
        return _spoken(given)
    _only(
        given,
        "behaviour",
        *("answer", "delay", "amount", "paymentRequestId", "paymentId", "paymentStatus", "refundStatus", "code"),
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
        claimed_status=given.get("paymentStatus", given.get("refundStatus", "")),
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


def parse_message(kind: str, given: Any, *more: str) -> Json:
    """A notification about a thing of this kind that differs from the normal one; `more` are seconds the plan adds.

    Raises `PlanInvalid` for what would otherwise be sent as if it had not been said.
    """
    _only(given, f"a message about a {kind}", *_MESSAGE_OF[kind], *_ANY_MESSAGE, *more)
    words = {"key": KEYS, "encoding": ("lower", "upper", "plain"), "token": ("latest", "first")}
    for name in given.keys() & words.keys():
        _one_of(given[name], name, words[name])
    for name, form in (("set", dict), ("rename", dict), ("headers", dict), ("omit", list)):
        if not isinstance(given.get(name, form()), form):
            raise PlanInvalid(f"{name} must be {'a list' if form is list else 'an object'}")
    return dict(given) | {name: float(given[name]) for name in more if name in given}


def _notify_plan(kind: str, given: Any) -> NotifyPlan:
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
    keys = {"forged": "otherkey", "badsig": "badsig", "unsigned": "none"}
    return NotifyPlan(
        lost=bool(given.get("lost", False)),
        lose=int(given.get("lose", 0)),
        times=int(given.get("times", 1)),
        delay_s=float(given["delay"]) if "delay" in given else None,
        first=keys[_one_of(given["first"], "first", tuple(keys))] if "first" in given else "",
        pending=bool(given.get("pending", False)),
        then=tuple(parse_message(kind, one, "delay") for one in given.get("then", ())),
    )


def _only(given: Mapping[str, Any], what: str, *known: str) -> None:
    if not isinstance(given, Mapping):
        raise PlanInvalid(f"{what} must be an object")
    if unknown := sorted(set(given) - set(known)):
        raise PlanInvalid(f"{what} has no field {', '.join(unknown)}. There are: {', '.join(known)}")
