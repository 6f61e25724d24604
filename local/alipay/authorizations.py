"""Agreements: the QR code, the buyer's hand, the tokens, and the calls consult, applyToken, revoke and query.

https://docs.antom.com/ac/ams/authconsult · https://docs.antom.com/ac/ams/accesstokenapp ·
https://docs.antom.com/ac/ams/authrevocation · https://docs.antom.com/ac/ams/notifyauth
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.alipay import presets
from local.alipay.answers import Reply, bent
from local.alipay.ledger import digest
from local.alipay.notifier import Notifier
from local.alipay.plans import NORMAL, AgreementPlan, Behaviour, Plans, parse_agreement_plan
from local.alipay.rules import Refused, check_apply_token, check_consult, check_token
from local.alipay.wallets import wallet
from local.alipay.wire import iso_of_epoch, result
from local.alipay.world import NotPossible, Subject, World

Json = dict[str, Any]

USER_LOGIN_ID = "852-****1234"
ISSUED = "281SIM"
"""How every token and code made here begins: one that does, and is not known, is dead and no stranger's."""


@dataclass(slots=True)
class Tokens:
    """An access token, and its refresh token if the wallet has one. Times are epoch seconds."""

    access_token: str
    expires_at: float
    refresh_token: str
    refresh_expires_at: float
    dead: bool = False
    refreshed_by: "Tokens | None" = None

    def as_json(self, now: float, plain: bool) -> Json:
        shown = {"accessToken": self.access_token, "refreshToken": self.refresh_token}
        return {
            "accessTokenSha256": digest(self.access_token),
            "expiresAt": self.expires_at,
            "refreshTokenSha256": digest(self.refresh_token) if self.refresh_token else "",
            "refreshExpiresAt": self.refresh_expires_at if self.refresh_token else None,
            "alive": not self.dead and now < self.expires_at,
            **(shown if plain else {}),
        }


@dataclass(slots=True)
class AuthCode:
    """What the buyer's consent is told by. It is exchanged within a minute, once."""

    code: str
    expires_at: float
    spent: bool = False
    tokens: Tokens | None = None  # what it was exchanged for


@dataclass(slots=True, kw_only=True)
class Agreement(Subject[AgreementPlan]):
    """One authState, from the consult that brings it."""

    auth_state: str
    request: Json
    qr_code: str
    created_at: float
    expires_at: float = 0.0
    status: str = "NEW"  # no consult has come through yet
    codes: list[AuthCode] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)
    exchanges: int = 0
    refreshes: int = 0

    @property
    def name(self) -> Json:
        return {"authState": self.auth_state}

    @property
    def wallet(self) -> str:
        return str(self.request["customerBelongsTo"])

    def status_at(self, now: float) -> str:
        """NEW, WAITING, EXPIRED, DECLINED, APPROVED, LINKED, CANCELED or REVOKED."""
        return "EXPIRED" if self.status == "WAITING" and now >= self.expires_at else self.status

    def as_json(self, now: float, plain: bool = False) -> Json:
        """What the control API shows; tokens and codes in `plain` only when asked for."""
        return {
            "authState": self.auth_state,
            "qrCode": self.qr_code,
            "customerBelongsTo": self.wallet,
            "status": self.status_at(now),
            "createdAt": self.created_at,
            "expiresAt": self.expires_at,
            "exchanges": self.exchanges,
            "refreshes": self.refreshes,
            "authCodes": [
                {"authCodeSha256": digest(one.code), "expiresAt": one.expires_at, "spent": one.spent}
                | ({"authCode": one.code} if plain else {})
                for one in self.codes
            ],
            "tokens": [one.as_json(now, plain) for one in self.tokens],
            **self.counts(),
        }

    def notification(self, message: Mapping[str, Any]) -> Json:
        """The body of notifyAuthorization; `token` in the message says which one: `latest`, or `first`."""
        kind = message.get("authorizationNotifyType") or self._usual_kind()
        document: Json = {
            "authorizationNotifyType": kind,
            "result": result(message.get("resultStatus", "S"), message.get("resultCode", "SUCCESS")),
        }
        if "authClientId" in self.request:
            document["authClientId"] = self.request["authClientId"]
        if kind == "AUTHCODE_CREATED":
            document |= {"authState": self.auth_state, "userLoginId": USER_LOGIN_ID}
            document["authCode"] = self.codes[-1].code if self.codes else _new("C")
        else:
            tokens = self.tokens[0 if message.get("token") == "first" else -1] if self.tokens else None
            document["accessToken"] = tokens.access_token if tokens else _new("A")
            if kind == "TOKEN_CREATED":
                document |= {"authState": self.auth_state, "userLoginId": USER_LOGIN_ID}
        return document

    def _usual_kind(self) -> str:
        return "TOKEN_CANCELED" if self.status in ("CANCELED", "REVOKED") else "AUTHCODE_CREATED"


class Authorizations:
    """All agreements and their plans."""

    def __init__(self, world: World, notifier: Notifier) -> None:
        self.plans = Plans("agreement", parse_agreement_plan, presets.AGREEMENTS)
        self.calls = {
            "authorizations/consult": ("consult", self._consult),
            "authorizations/applyToken": ("applyToken", self._apply_token),
            "authorizations/revoke": ("revoke", self._revoke),
            "authorizations/query": ("query", self._query),
        }
        self._world = world
        self._clock = world.clock
        self._notifier = notifier
        self._agreements: dict[str, Agreement] = {}
        self._by_qr_code: dict[str, Agreement] = {}
        self._by_code: dict[str, tuple[Agreement, AuthCode]] = {}
        self._by_access_token: dict[str, tuple[Agreement, Tokens]] = {}
        self._by_refresh_token: dict[str, tuple[Agreement, Tokens]] = {}

    def clear(self) -> None:
        for agreement in self._agreements.values():
            agreement.forgotten = True
        for index in (self._agreements, self._by_qr_code, self._by_code, self._by_access_token, self._by_refresh_token):
            index.clear()
        self.plans.clear()

    # Looking them up

    def find(self, auth_state: str = "", qr_code: str = "") -> Agreement | None:
        return self._agreements.get(auth_state) or self._by_qr_code.get(qr_code)

    def all(self) -> list[Agreement]:
        with self._world.lock:
            return list(self._agreements.values())

    def replan(self, auth_state: str, plan: AgreementPlan) -> None:
        """Plan an agreement; what it is told and how its calls are answered begins anew."""
        with self._world.lock:
            self.plans.set_for(auth_state, plan)
            if auth_state in self._agreements:
                self._agreements[auth_state].replan(plan)

    # What payments ask

    def auth_state_of(self, access_token: str) -> str:
        """The agreement this token belongs to; empty if it was not issued here."""
        found = self._by_access_token.get(access_token)
        return found[0].auth_state if found else ""

    def plan_of_debits(self, access_token: str) -> str:
        """The name of the payment plan that debits with this token follow; empty if it names none."""
        found = self._by_access_token.get(access_token)
        return found[0].plan.payment if found else ""

    def refusal_to_debit(self, access_token: str, wallet_name: str) -> str:
        """The code that says why this token debits nobody; empty for one that does, or that a stranger issued."""
        found = self._by_access_token.get(access_token)
        if found is None:
            return "INVALID_ACCESS_TOKEN" if access_token.startswith(ISSUED) else ""
        agreement, tokens = found
        return "" if self._lives(tokens) and agreement.wallet == wallet_name else "INVALID_ACCESS_TOKEN"

    def _lives(self, tokens: Tokens) -> bool:
        return not tokens.dead and self._clock.now() < tokens.expires_at

    # consult

    def _consult(self, body: Json) -> Reply:
        check_consult(body)
        if not wallet(body["customerBelongsTo"]).links:
            raise Refused("NO_PAY_OPTIONS", "customerBelongsTo offers no Scan to Link.")
        auth_state = body["authState"]
        agreement = self._agreements.get(auth_state)
        if agreement is None:
            agreement = self._meet(auth_state, body)
        elif agreement.request != body or agreement.status_at(self._clock.now()) not in ("NEW", "WAITING"):
            raise Refused("PARAM_ILLEGAL", "authState was used before.")
        behaviour = agreement.next_behaviour("consult")
        if behaviour.does and agreement.status == "NEW":
            self._open(agreement)
        return Reply(behaviour, _consult_document(agreement, behaviour), agreement.name)

    def _meet(self, auth_state: str, body: Json) -> Agreement:
        """The agreement of this authState, to be counted; its QR code works once a consult comes through."""
        agreement = Agreement(
            plan=self.plans.of(auth_state, body.get("extendInfo", "")),
            notify_url=body.get("authNotifyUrl", ""),
            auth_state=auth_state,
            request=body,
            qr_code=f"https://qr.wallet.example/{_new('Q')}",
            created_at=self._clock.now(),
        )
        self._agreements[auth_state] = agreement
        self._by_qr_code[agreement.qr_code] = agreement
        return agreement

    def _open(self, agreement: Agreement) -> None:
        agreement.status = "WAITING"
        agreement.expires_at = self._clock.now() + agreement.plan.qr_code_lives_s
        self._world.ledger.event("consulted", agreement.name, customerBelongsTo=agreement.wallet)
        buyer = agreement.plan.buyer
        if buyer.do != "wait":
            due = self._clock.now() + buyer.after_s
            self._world.later(due, agreement, lambda: self._act_by_itself(agreement))

    # The buyer's hand

    def _act_by_itself(self, agreement: Agreement) -> None:
        if agreement.status_at(self._clock.now()) == "WAITING":
            self.act(agreement, agreement.plan.buyer.do)

    def act(self, agreement: Agreement, what: str) -> None:
        """What the buyer does in the wallet: approve, decline, expire or cancel. Raises `NotPossible`.

        `expire` is not the buyer's doing but time's: the QR code, the code or the token, whichever is the latest,
        is over now.
        """
        with self._world.lock:
            now = self._clock.now()
            status = agreement.status_at(now)
            if what in ("approve", "decline") and status != "WAITING":
                raise NotPossible(f"the QR code is {status}: it can be used once, for 15 minutes")
            if what == "cancel" and status != "LINKED":
                raise NotPossible(f"the agreement is {status}: there is nothing to cancel")
            if what == "approve":
                self._approve(agreement)
            elif what == "decline":
                agreement.status = "DECLINED"
            elif what == "cancel":
                self._end(agreement, "CANCELED")
                tells = agreement.plan.tells_cancel
                if wallet(agreement.wallet).tells_cancel if tells is None else tells:
                    self._announce(agreement, {"authorizationNotifyType": "TOKEN_CANCELED"})
            elif what == "expire":
                self._expire(agreement, now)
            else:
                raise NotPossible(f"a buyer can approve, decline or cancel, and time can expire, but not {what!r}")
            self._world.ledger.event(f"buyer:{what}", agreement.name)

    def _approve(self, agreement: Agreement) -> None:
        agreement.status = "APPROVED"
        code = self.new_code(agreement)
        notify = agreement.plan.notify
        if notify.first:
            self._notifier.extra(agreement, {"key": notify.first, "authorizationNotifyType": "AUTHCODE_CREATED"})
        for announcement in agreement.plan.announces:
            if announcement["authorizationNotifyType"] == "TOKEN_CREATED" and code.tokens is None:
                code.tokens = self._issue(agreement)
            self._announce(agreement, announcement)

    def _announce(self, agreement: Agreement, announcement: Json) -> None:
        message = {name: value for name, value in announcement.items() if name != "after"}
        self._notifier.announce(agreement, message, announcement.get("after"))

    def _expire(self, agreement: Agreement, now: float) -> None:
        if agreement.tokens:
            for tokens in agreement.tokens:
                tokens.expires_at = min(tokens.expires_at, now)
        elif agreement.codes:
            agreement.codes[-1].expires_at = now
        else:
            agreement.expires_at = now

    def new_code(self, agreement: Agreement) -> AuthCode:
        """Another authCode, which lives a minute like the first."""
        code = AuthCode(_new("C"), self._clock.now() + agreement.plan.auth_code_lives_s)
        agreement.codes.append(code)
        self._by_code[code.code] = (agreement, code)
        return code

    def _issue(self, agreement: Agreement, refresh: Tokens | None = None) -> Tokens:
        """New tokens for this agreement, which is linked by them; `refresh` are those whose refresh brings them."""
        now = self._clock.now()
        rules, plan = wallet(agreement.wallet), agreement.plan
        expires_at = rules.token_expires_at(now) if plan.token_lives_s is None else now + plan.token_lives_s
        refreshes = rules.refreshes if plan.refreshes is None else plan.refreshes
        refresh_token = (_new("R") if refreshes else "") if refresh is None or plan.rotates else refresh.refresh_token
        tokens = Tokens(_new("A"), expires_at, refresh_token, expires_at)
        agreement.tokens.append(tokens)
        agreement.status = "LINKED"
        self._by_access_token[tokens.access_token] = (agreement, tokens)
        if refresh_token:
            self._by_refresh_token[refresh_token] = (agreement, tokens)
        self._world.ledger.event(
            "tokenIssued", agreement.name, accessTokenSha256=digest(tokens.access_token), refreshed=refresh is not None
        )
        return tokens

    def _end(self, agreement: Agreement, status: str) -> None:
        """No token of the agreement debits or refreshes any more."""
        agreement.status = status
        for tokens in agreement.tokens:
            tokens.dead = True

    # applyToken

    def _apply_token(self, body: Json) -> Reply:
        check_apply_token(body)
        if body["grantType"] == "AUTHORIZATION_CODE":
            return self._exchange(body)
        return self._refresh(body)

    def _exchange(self, body: Json) -> Reply:
        found = self._by_code.get(body["authCode"])
        if found is None:
            return Reply(Behaviour(), {"result": result("F", "INVALID_AUTHCODE")})
        agreement, code = found
        behaviour = agreement.next_behaviour("applyToken")
        refused = not self._is_exchangeable(agreement, code, body)
        tokens = None
        if behaviour.does and (behaviour.overrules or not refused):
            again = code.spent
            if code.tokens is None or (again and agreement.plan.exchange_again == "another"):
                if code.tokens is not None:
                    code.tokens.dead = True
                code.tokens = self._issue(agreement)
            code.spent, tokens = True, code.tokens
            agreement.exchanges += 1
        elif behaviour.claim == "F" and behaviour.authentic:
            code.spent = True  # a code that was refused is spent
        document = _tokens_document(behaviour, "INVALID_AUTHCODE" if refused else "", tokens)
        return Reply(behaviour, document, agreement.name)

    def _is_exchangeable(self, agreement: Agreement, code: AuthCode, body: Json) -> bool:
        if body["customerBelongsTo"] != agreement.wallet:
            return False
        if code.spent:
            ended = agreement.status in ("CANCELED", "REVOKED")
            return code.tokens is not None and not ended and agreement.plan.exchange_again != "spent"
        return self._clock.now() < code.expires_at

    def _refresh(self, body: Json) -> Reply:
        found = self._by_refresh_token.get(body["refreshToken"])
        if found is None:
            return Reply(Behaviour(), {"result": result("F", "INVALID_REFRESH_TOKEN")})
        agreement, old = found
        behaviour = agreement.next_behaviour("refresh")
        refused = not self._is_refreshable(agreement, old, body)
        tokens = None
        if behaviour.does and (behaviour.overrules or not refused):
            if old.refreshed_by is not None and agreement.plan.refresh_again == "same":
                tokens = old.refreshed_by
            else:
                if old.refreshed_by is not None:
                    old.refreshed_by.dead = True
                tokens = self._issue(agreement, refresh=old)
                agreement.refreshes += 1
                if tokens.refresh_token != old.refresh_token:
                    old.refreshed_by = tokens
                old.dead = old.dead or agreement.plan.old_token == "dies"
        document = _tokens_document(behaviour, "INVALID_REFRESH_TOKEN" if refused else "", tokens)
        return Reply(behaviour, document, agreement.name)

    def _is_refreshable(self, agreement: Agreement, old: Tokens, body: Json) -> bool:
        if body["customerBelongsTo"] != agreement.wallet or agreement.status != "LINKED":
            return False
        if old.refreshed_by is not None and agreement.plan.refresh_again == "spent":
            return False
        return self._clock.now() < old.refresh_expires_at

    # revoke, query

    def _revoke(self, body: Json) -> Reply:
        check_token(body)
        found = self._by_access_token.get(body["accessToken"])
        if found is None:
            return Reply(Behaviour(), {"result": result("F", "INVALID_ACCESS_TOKEN")})
        agreement, tokens = found
        behaviour = agreement.next_behaviour("revoke")
        refused = not self._lives(tokens)
        if behaviour.does and (behaviour.overrules or not refused) and agreement.status == "LINKED":
            self._end(agreement, "REVOKED")
            self._world.ledger.event("revoked", agreement.name)
            if agreement.plan.tells_revoke:
                self._announce(agreement, {"authorizationNotifyType": "TOKEN_CANCELED"})
        status, code = _claimed(behaviour, "INVALID_ACCESS_TOKEN" if refused else "")
        return Reply(behaviour, bent({"result": result(status, code)}, behaviour), agreement.name)

    def _query(self, body: Json) -> Reply:
        check_token(body)
        found = self._by_access_token.get(body["accessToken"])
        if found is None:
            return Reply(Behaviour(), {"result": result("F", "INVALID_ACCESS_TOKEN")})
        agreement, tokens = found
        behaviour = agreement.next_behaviour("query")
        document = _tokens_document(behaviour, "", tokens)
        if document["result"]["resultStatus"] == "S":
            del document["userLoginId"]
            # Its values are not documented: these are a guess, and nobody should decide by them.
            document["tokenStatusType"] = "ACTIVE" if self._lives(tokens) else "INACTIVE"
        return Reply(behaviour, document, agreement.name)


def _new(letter: str) -> str:
    """A token or code that nobody can guess; the letter tells which."""
    return f"{ISSUED}{letter}{secrets.token_hex(20)}"


def _claimed(behaviour: Behaviour, refusal: str) -> tuple[str, str]:
    """resultStatus and resultCode of an answer: the truth, or what the plan claims."""
    if behaviour.claim == NORMAL:
        return ("F", refusal) if refusal else ("S", "SUCCESS")
    return behaviour.claim, behaviour.code or {"S": "SUCCESS", "U": "UNKNOWN_EXCEPTION"}.get(behaviour.claim, "")


def _consult_document(agreement: Agreement, behaviour: Behaviour) -> Json:
    status, code = _claimed(behaviour, "")
    document: Json = {"result": result(status, code)}
    if status == "S":
        text = agreement.qr_code
        image = text.replace("https://qr.", "https://img.")
        document |= {
            "normalUrl": text.replace("https://qr.", "https://open."),
            "authCodeForm": {
                "codeDetails": [
                    {"displayType": "TEXT", "codeValueType": "QRCODE", "codeValue": text},
                    {"displayType": "MIDDLEIMAGE", "codeValueType": "QRCODE", "codeValue": image},
                ]
            },
        }
    return bent(document, behaviour)


def _tokens_document(behaviour: Behaviour, refusal: str, tokens: Tokens | None) -> Json:
    """An S without tokens is one that is not true: it carries some that nobody issued."""
    status, code = _claimed(behaviour, refusal)
    document: Json = {"result": result(status, code)}
    if status == "S":
        tokens = tokens or Tokens(_new("A"), 2**31, _new("R"), 2**31)
        document |= {
            "accessToken": tokens.access_token,
            "accessTokenExpiryTime": iso_of_epoch(tokens.expires_at),
            "userLoginId": USER_LOGIN_ID,
        }
        if tokens.refresh_token:
            document["refreshToken"] = tokens.refresh_token
            document["refreshTokenExpiryTime"] = iso_of_epoch(tokens.refresh_expires_at)
    return bent(document, behaviour)
