"""The control API: what tests, and people with curl, plan and look at. docs/simulator.md shows each route."""

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local.alipay import presets
from local.alipay.authorizations import Agreement
from local.alipay.ledger import NAMES
from local.alipay.payments import Payment
from local.alipay.plans import PlanInvalid, parse_message
from local.alipay.refunds import Refund
from local.alipay.reports import EDITIONS
from local.alipay.simulation import Simulation

Json = dict[str, Any]


class NotFound(Exception):
    """What the request is about does not exist; the message names it."""


class NoSuchRoute(NotFound):
    """The control API has nothing there."""


class Control:
    """Its routes; the server answers `NotFound` with 404 and what is wrong with a request with 400."""

    def __init__(self, simulation: Simulation, refuse: Callable[[float], None]) -> None:
        self._simulation = simulation
        self._world = simulation.world
        self._payments = simulation.payments
        self._authorizations = simulation.authorizations
        self._refunds = simulation.refunds
        self._refuse_connections = refuse
        self._views: dict[str, Callable[[Mapping[str, str]], Json]] = {
            "health": lambda query: {"status": "ok"},
            "plans": lambda query: {
                "payment": dict(presets.PAYMENTS),
                "agreement": dict(presets.AGREEMENTS),
                "refund": dict(presets.REFUNDS),
            },
            "payments": lambda query: {"payments": [one.as_json() for one in self._payments.all()]},
            "agreements": self._view_agreements,
            "refunds": lambda query: {"refunds": [one.as_json() for one in self._refunds.all()]},
            "balance": lambda query: self._view_balance(),
            "clock": lambda query: self._view_clock(),
            "requests": lambda query: {"requests": self._world.ledger.requests(_about(query))},
            "notifications": lambda query: {"notifications": self._world.ledger.notifications(_about(query))},
            "events": self._view_events,
        }
        self._commands: dict[str, Callable[[Json], Json]] = {
            "plans": self._plan,
            "notify": self._notify,
            "buyer": self._buyer,
            "reports": self._write_reports,
            "portal": self._portal,
            "bounce": self._bounce,
            "balance": self._set_balance,
            "clock": self._set_clock,
            "keys": self._change_keys,
            "dark": self._darken,
            "refuse": self._refuse,
            "reset": self._reset,
        }

    @property
    def routes(self) -> list[str]:
        """Every route, as docs/simulator.md writes it."""
        return [*(f"GET /_sim/{name}" for name in self._views), *(f"POST /_sim/{name}" for name in self._commands)]

    def view(self, path: str, query: Mapping[str, str]) -> Json:
        """What GET shows at this path below /_sim/. Raises `NotFound`."""
        what, _, key = path.partition("/")
        if key:
            return self._view_one(what, unquote(key), query)
        if what not in self._views:
            raise NoSuchRoute
        return self._views[what](query)

    def command(self, path: str, given: Json) -> Json:
        """Do what POST asks for at this path below /_sim/. Raises `NotFound`, `ValueError`, `KeyError`, `TypeError`."""
        if path not in self._commands:
            raise NoSuchRoute
        return self._commands[path](given)

    # Looking

    def _view_one(self, what: str, key: str, query: Mapping[str, str]) -> Json:
        if what == "payments":
            return self._payment(key).as_json()
        if what == "refunds":
            return self._refund(key).as_json()
        if what == "agreements":
            return self._shown(self._agreement({"authState": key}), query)
        raise NoSuchRoute

    def _view_agreements(self, query: Mapping[str, str]) -> Json:
        if "qrCode" in query:
            return self._shown(self._agreement({"qrCode": query["qrCode"]}), query)
        return {"agreements": [self._shown(one, query) for one in self._authorizations.all()]}

    def _shown(self, agreement: Agreement, query: Mapping[str, str]) -> Json:
        with self._world.lock:
            return agreement.as_json(self._world.clock.now(), plain=query.get("secrets") == "true")

    def _view_events(self, query: Mapping[str, str]) -> Json:
        since = int(query.get("since", "0"))
        events = self._world.ledger.events(since, _about(query))
        return {"events": events, "next": events[-1]["seq"] if events else since}

    def _view_balance(self) -> Json:
        return {"balance": {currency: str(value) for currency, value in self._world.balance.items()}}

    def _view_clock(self) -> Json:
        return {"now": self._world.clock.now(), "ahead": self._world.clock.ahead_s}

    # Doing

    def _plan(self, given: Json) -> Json:
        kinds: dict[str, tuple[Any, str]] = {
            "payment": (self._payments, "paymentRequestId"),
            "agreement": (self._authorizations, "authState"),
            "refund": (self._refunds, "refundRequestId"),
        }
        for kind, (capability, key) in kinds.items():
            plans = capability.plans
            if key in given or f"{key}Prefix" in given or given.get("kind") == kind:
                plan = plans.parse(given.get("plan", {}))
                if key in given:
                    capability.replan(given[key], plan)
                elif f"{key}Prefix" in given:
                    plans.set_for_prefix(given[f"{key}Prefix"], plan)
                else:
                    plans.set_named(given["name"], plan)
                return {"planned": True}
        raise PlanInvalid("a plan is for a paymentRequestId, refundRequestId or authState, or has a kind and a name")

    def _notify(self, given: Json) -> Json:
        kind, subject = self._subject(given)
        new_code = kind == "agreement" and given.pop("newCode", False)
        message = parse_message(kind, given)
        if not message.get("url", subject.notify_url):
            raise NotFound(f"the {kind} came without a URL to notify: give one as url")
        if new_code and isinstance(subject, Agreement):
            with self._world.lock:
                self._authorizations.new_code(subject)
        sent = self._simulation.notifier.send(subject, message, attempt=0)
        return {"status": sent.status, "body": sent.body, "error": sent.error, "acknowledged": sent.acknowledged}

    def _subject(self, given: Json) -> tuple[str, Payment | Agreement | Refund]:
        """What the names in `given` stand for, and its kind; they are taken out of it."""
        if "refundRequestId" in given:
            return "refund", self._refund(given.pop("refundRequestId"))
        if "paymentRequestId" in given:
            return "payment", self._payment(given.pop("paymentRequestId"))
        if "authState" in given or "qrCode" in given:
            return "agreement", self._agreement(given)
        raise PlanInvalid("a message is about a paymentRequestId, refundRequestId, authState or qrCode")

    def _payment(self, payment_request_id: str) -> Payment:
        return _found(self._payments.get(payment_request_id), "paymentRequestId", payment_request_id)

    def _refund(self, refund_request_id: str) -> Refund:
        return _found(self._refunds.get(refund_request_id), "refundRequestId", refund_request_id)

    def _agreement(self, given: Json) -> Agreement:
        """What the authState or else the qrCode in `given` stands for; it is taken out of it."""
        if "authState" in given:
            auth_state = given.pop("authState")
            return _found(self._authorizations.find(auth_state=auth_state), "authState", auth_state)
        qr_code = given.pop("qrCode")
        return _found(self._authorizations.find(qr_code=qr_code), "qrCode", qr_code)

    def _buyer(self, given: Json) -> Json:
        agreement = self._agreement(given)
        self._authorizations.act(agreement, given["do"])
        return self._shown(agreement, {})

    def _portal(self, given: Json) -> Json:
        payment = self._payment(given["paymentRequestId"])
        return self._refunds.by_portal(payment, given["amount"]).as_json()

    def _bounce(self, given: Json) -> Json:
        refund = self._refund(given["refundRequestId"])
        self._refunds.bounce(refund)
        return refund.as_json()

    def _write_reports(self, given: Json) -> Json:
        written = self._simulation.reports.write(
            Path(given["directory"]),
            date.fromisoformat(given["day"]) if "day" in given else self._simulation.reports.today(),
            given.get("editions", EDITIONS),
            given.get("formats", ["csv"]),
            frozenset(given.get("quirks", [])),
        )
        return {"files": [str(path) for path in written]}

    def _set_balance(self, given: Json) -> Json:
        with self._world.lock:
            self._world.balance[str(given["currency"])] = int(given["value"])
        return self._view_balance()

    def _set_clock(self, given: Json) -> Json:
        ahead = given["ahead"] if "ahead" in given else datetime.fromisoformat(given["at"]).timestamp() - time.time()
        self._world.timetable.set_clock(float(ahead))
        return self._view_clock()

    def _change_keys(self, given: Json) -> Json:
        """What is not given stays as it is."""
        keys = self._simulation.keys
        keys.merchant_public_keys = given.get("merchantPublicKeys", keys.merchant_public_keys)
        if "alipayKeyVersion" in given or "alipayPrivateKey" in given:  # they change together
            keys.alipay_key_version, keys.alipay_private_key = given["alipayKeyVersion"], given["alipayPrivateKey"]
        return {"merchantPublicKeys": sorted(keys.merchant_public_keys), "alipayKeyVersion": keys.alipay_key_version}

    def _darken(self, given: Json) -> Json:
        self._world.dark = bool(given.get("on", True))
        self._world.ledger.event("dark", {}, on=self._world.dark)
        return {"on": self._world.dark}

    def _refuse(self, given: Json) -> Json:
        seconds = float(given["seconds"])
        self._world.ledger.event("refusing", {}, seconds=seconds)
        self._refuse_connections(seconds)
        return {"seconds": seconds}

    def _reset(self, given: Json) -> Json:
        self._simulation.reset()
        return {"reset": True}


def _about(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query[name] for name in NAMES if name in query}


def _found[T](found: T | None, what: str, name: str) -> T:
    if found is None:
        raise NotFound(f"no {what} {name}")
    return found
