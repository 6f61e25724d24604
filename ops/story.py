"""The story of a row: what was heard of it, by whom and when, why it was not believed, and what happens next.

Pure: a row and the time go in, sentences come out.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autodebit.agreement.agreement import Agreement
from autodebit.agreement.agreement import Status as AgreementStatus
from autodebit.events import Acknowledgement, Told, unseen
from autodebit.instants import utc_text
from autodebit.payment import transitions as payment_transitions
from autodebit.payment.advice import advice
from autodebit.payment.closing import ABSENCES_MIN, PASSING_REFUSALS, close_time
from autodebit.payment.order import Order, Status
from autodebit.refund import transitions as refund_transitions
from autodebit.refund.refund import Refund, refund_document
from autodebit.refund.refund import Status as RefundStatus


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `at` None: the row does not say when. `why` is what came of it, and for what reason."""

    at: datetime | None
    who: str
    what: str
    why: str = ""

    @property
    def document(self) -> dict[str, str]:
        """As scripts read it."""
        known = {"at": utc_text(self.at) if self.at else "", "who": self.who, "what": self.what, "why": self.why}
        return {name: text for name, text in known.items() if text}


WHY: tuple[tuple[str, str], ...] = (
    (r"inquiry S: (SUCCESS)$", "Not believed: a cancel was noted, and the money may be on its way back."),
    (r"inquiry S: without", "Says nothing: the answer has no paymentStatus."),
    (r"inquiry S: ", "Alipay knows the payment and has no result yet."),
    (
        r"inquiry F/ORDER_NOT_EXIST",
        "Alipay does not have the payment. It may still be on its way, so nothing is concluded.",
    ),
    (r"inquiry [FU]/", "Says nothing: it speaks of the inquiry, not of the payment."),
    (r"pay U/", "No result yet: inquiries and notifications decide."),
    (r"pay F/", "Not believed of a repeated call, or of a code that speaks of an earlier payment: an inquiry decides."),
    (r"(pay|inquiry|cancel) without answer: unsigned", "Not believed: the answer has no signature."),
    (r"(pay|inquiry|cancel) without answer: not authentic", "Not believed: the signature is not Alipay's."),
    (r"(pay|inquiry|cancel) without answer", "Nothing was heard, so nothing is concluded."),
    (r"cancel F/ORDER_NOT_EXIST", "Alipay has nothing to cancel."),
    (r"cancel F/", "Refused: the payment goes on, and notifications and inquiries decide again."),
    (r"cancel U/", "Not decided: the same cancel is sent again."),
)
"""Why what was heard did not end the order, by how it begins."""


CROSSED = "it crossed the cancel, whose answer decides."
CANCELLED = "it came after the cancel was noted, and Alipay gives back what it has cancelled."
"""The same, of a success that is told of an order which ended as CANCELLED; the row does not say when it came."""


def why_not(said: str) -> str:
    """Why what was heard did not give a result."""
    return next((reason for pattern, reason in WHY if re.match(pattern, said)), "")


def story(row: Order | Refund) -> list[Entry]:
    """Everything the row knows, in the order of time; what has no time stands where it belongs."""
    return list(_order_story(row) if isinstance(row, Order) else _refund_story(row))


def _order_story(order: Order) -> Iterator[Entry]:
    timed = [
        Entry(order.created_at, "merchant", f"asked for the payment{_debited_by(order)}"),
        *_attempts(order),
        *_cancels(order),
        *_heard(order),
        *_told(order.told),
        *_acknowledged(order.acknowledged),
        *_result(order),
    ]
    yield from _in_order(timed)


def _attempts(order: Order) -> Iterator[Entry]:
    if order.never_sent:
        yield Entry(order.attempted_at, "pay", "could not be sent: no byte of it left", "The caller was told 503.")
        return
    again = "" if order.attempted_at == order.created_at else " once more, after a POST that had ended"
    yield Entry(order.attempted_at, "pay", f"was about to be sent{again}")
    if order.settled_at is None or order.settled_at > order.expires_at:
        yield Entry(order.expires_at, "pay", "expiry: Alipay starts no payment after this")


def _heard(order: Order) -> Iterator[Entry]:
    """What inquiries and cancels heard, the same in a row as one entry."""
    for heard in order.heard:
        who, _, what = heard.said.partition(" ")
        again = f", {heard.times} times until {moment(heard.until, heard.at)}" if heard.times > 1 else ""
        yield Entry(heard.at, who, f"{what}{again}", why_not(heard.said))


def _cancels(order: Order) -> Iterator[Entry]:
    if order.cancel_requested_at:
        yield Entry(order.cancel_requested_at, "cancel", "was noted", "From here on a success says nothing.")
    if order.cancel_attempted_at:
        yield Entry(order.cancel_attempted_at, "cancel", "was about to be sent")
    for said in sorted(order.crossed):
        who, _, what = said.partition(" ")
        yield Entry(
            None, who, what, f"Kept, not believed: {CANCELLED if order.status is Status.CANCELLED else CROSSED}"
        )


def _refund_story(refund: Refund) -> Iterator[Entry]:
    seen = "was seen: somebody asked for it in the portal" if refund.observed else "asked for the refund"
    timed = [
        Entry(refund.created_at, "inquiry" if refund.observed else "merchant", seen),
        *_refund_heard(refund),
        *_told(refund.told),
        *_acknowledged(refund.acknowledged),
        *_result(refund),
    ]
    yield from _in_order(timed)


def _refund_heard(refund: Refund) -> Iterator[Entry]:
    """How it was sent, what told that Alipay has it in process, and the last inquiry that brought no result."""
    if refund.never_sent:
        yield Entry(refund.attempted_at, "refund", "could not be sent: no byte of it left")
    elif not refund.observed:
        yield Entry(refund.attempted_at, "refund", "was about to be sent")
    if refund.in_process:
        who, _, what = refund.in_process.partition(" ")
        yield Entry(None, who, what, "Alipay has it in process, so it is not sent again.")
    if refund.last_inquiry:
        number = f"{refund.inquiries} inquiries, the last" if refund.inquiries > 1 else "1 inquiry"
        said = refund.last_inquiry.removeprefix("inquiry ")
        yield Entry(None, "inquiry", f"{number}: {said}", why_not(refund.last_inquiry).replace("payment", "refund"))


def _result(row: Order | Refund) -> Iterator[Entry]:
    if row.settled_at is None or row.settled_by is None:
        return
    status, code, who = row.status.value, row.result_code, row.settled_by.value
    why = "Believed: this is the result."
    if row.never_sent and who in ("cancel", "refund"):
        why = f"Ended here: {row.result_message or 'Nothing of it ever left, so there was nothing to ask Alipay for.'}"
    yield Entry(row.settled_at, who, f"{status} {code}" if code and code != status else status, why)


def _in_order(entries: list[Entry]) -> Iterator[Entry]:
    """By time; those without one follow the entry that they were named after."""
    at = entries[0].at
    keyed = []
    for entry in entries:
        at = entry.at or at
        keyed.append((at, entry))
    yield from (entry for _, entry in sorted(keyed, key=lambda pair: pair[0] or datetime.max.replace(tzinfo=UTC)))


def _told(told: tuple[Told, ...]) -> Iterator[Entry]:
    """What was told; of a contradiction, what it was: nothing else in the row says when."""
    for entry in told:
        said = json.loads(entry.detail).get("contradiction") if entry.detail else None
        if said:
            who, _, what = said.partition(" ")
            yield Entry(entry.at, who, what, "Contradicts the row: kept, not applied. A person has to look.")
        elif entry.kind.endswith("Unresolved"):
            yield Entry(entry.at, "events", f"{entry.kind} was told", "No result in time. A person has to look.")


def _acknowledged(acknowledged: tuple[Acknowledgement, ...]) -> Iterator[Entry]:
    for entry in acknowledged:
        yield Entry(entry.at, "person", f"{entry.by} acknowledged it", entry.why)


def _debited_by(order: Order) -> str:
    if order.agreement_id:
        return f", by agreement {order.agreement_id}"
    return f", by {order.payment_method_type}" if order.payment_method_type else ""


def awaits_a_person(row: Order | Refund) -> bool:
    """Whether something is told of the row that a person has to look at, and that nobody has acknowledged."""
    of = payment_transitions if isinstance(row, Order) else refund_transitions
    kinds = unseen(row.told, row.acknowledged)
    return of.CONTRADICTED in kinds or (of.UNRESOLVED in kinds and row.is_init)


def last_heard(row: Order | Refund) -> str:
    """What was heard last of a row without a result, in a few words."""
    if row.never_sent:
        return "never sent"
    if isinstance(row, Order) and row.cancel_requested_at is not None:
        return row.last_cancel or "cancel noted"
    return row.last_inquiry or "nothing since it was sent"


def what_next(row: Order | Refund, now: datetime, close_after_s: int, refunds: Sequence[Refund] = ()) -> list[str]:
    """What happens to the row by itself, and what a person may do.

    `close_after_s` is the template's CloseAfter, `refunds` are those of a payment.
    """
    steps = list(_order_next(row, now, close_after_s) if isinstance(row, Order) else _refund_next(row, now))
    steps += [
        f"Its refund {refund.key} has no result yet: `ops show {refund.key}`." for refund in refunds if refund.is_init
    ]
    return steps or ["Nothing: it has its result."]


def _order_next(order: Order, now: datetime, close_after_s: int) -> Iterator[str]:
    yield from _for_a_person(order)
    if not order.is_init:
        if order.status is Status.FAIL and not order.contradictions:
            yield f"Nothing by itself. For the merchant: {advice(order.result_code).value}."
        return
    if order.never_sent:
        yield "Nothing by itself. The same POST sends it; `ops cancel` ends it without a call."
        return
    yield _next_look(order, now)
    close_at = close_time(order, close_after_s)
    if order.cancel_requested_at is not None:
        yield "The cancel is sent again, unchanged, until Alipay answers it. S ends the order as CANCELLED."
    elif close_at is None:
        yield "It is never closed by itself (CloseAfter is 0): `ops cancel` asks Alipay to close it."
    elif order.is_spent:
        return
    elif now < close_at:
        yield f"Close time {moment(close_at, now)} ({distance(close_at, now)}): one more inquiry, then the cancel."
    else:
        yield _after_close(order, now, close_at)


def _for_a_person(row: Order | Refund) -> Iterator[str]:
    if awaits_a_person(row):
        if row.contradictions:
            named = "order" if isinstance(row, Order) else "refund"
            yield f"Money may have moved otherwise than the {named} says: compare with Alipay's dashboard."
        yield f'A person has to look at it: then `ops acknowledge {row.key} --why "…"`.'


def _after_close(order: Order, now: datetime, close_at: datetime) -> str:
    if order.cancel_refused_at is None or order.cancel_refused_at < close_at:
        return f"Its close time ({moment(close_at, now)}) has passed: the next look inquires, then sends the cancel."
    if order.cancel_code == "ORDER_NOT_EXIST":
        return (
            f"Alipay has never had it, by {order.absences} of {ABSENCES_MIN} inquiries: "
            "when all say so it ends as FAIL ORDER_NOT_EXIST."
        )
    if order.cancel_code in PASSING_REFUSALS:
        return f"Alipay refused to close it ({order.cancel_code}): the cancel is sent again with each look."
    return f"Alipay refused to close it ({order.cancel_code}): the cancel is not repeated by itself."


def _refund_next(refund: Refund, now: datetime) -> Iterator[str]:
    yield from _for_a_person(refund)
    if not refund.is_init:
        if refund.status is RefundStatus.FAIL and not refund.contradictions:
            yield f"Nothing by itself. For the merchant: {refund_document(refund)['advice']}."
            yield "Another refund needs a new refundRequestId."
        return
    if refund.never_sent:
        yield "Nothing by itself. The same POST sends it."
        yield "Its amount is reserved; a minute after it was tried, a new refund that needs the amount takes it."
        return
    yield _next_look(refund, now)
    yield "Its amount stays reserved until Alipay says how it ended."


def agreement_next(agreement: Agreement, now: datetime) -> list[str]:
    """What happens to an agreement by itself, and what a person may do."""
    match agreement.shown_status(now):
        case AgreementStatus.AUTHORIZING if agreement.auth_code is not None:
            return ["Its authCode is being exchanged. A code lives a minute: after that it ends as FAILED."]
        case AgreementStatus.AUTHORIZING if agreement.qr_code is None:
            return ["There is no QR code yet: the same request, sent again, asks for one."]
        case AgreementStatus.AUTHORIZING:
            end = agreement.expires_at
            return [f"Waits for the buyer to scan the QR code, until {moment(end, now)} ({distance(end, now)})."]
        case "EXPIRED":
            return [f"The QR code is over. An authorization that comes late still links; else {LINK_AGAIN}."]
        case AgreementStatus.FAILED if agreement.perhaps_linked:
            return [
                "The wallet may show it as linked. Its token is not known here: it can be neither debited nor revoked.",
                f"For the buyer: {LINK_AGAIN}; if the wallet shows two links, end the older one there.",
            ]
        case AgreementStatus.FAILED:
            return [f"Nothing by itself. For the buyer: {LINK_AGAIN}."]
        case AgreementStatus.UNLINKING:
            return [
                "No payment by it is sent. Alipay is asked to revoke its token, until it answers.",
                *_revocation_look(agreement, now),
            ]
        case AgreementStatus.LINKED:
            return list(_linked_next(agreement, now))
        case _:
            return [f"Nothing: it has ended. For the buyer: {LINK_AGAIN}."]


def _revocation_look(agreement: Agreement, now: datetime) -> Iterator[str]:
    at = agreement.overdue_at
    if at is not None and at <= now:
        yield f"A look is overdue since {moment(at, now)}: the sweep, every minute, has it asked again."
    elif at is not None:
        yield f"If nobody has by {moment(at, now)} ({distance(at, now)}), the sweep has it asked again."


def _linked_next(agreement: Agreement, now: datetime) -> Iterator[str]:
    end, due_at = agreement.token_expires_at, agreement.due_at
    if end is None:
        yield "It pays. When its token ends is not known, so it is not refreshed."
        return
    yield f"It pays until {moment(end, now)} ({distance(end, now)})."
    if agreement.refresh_refused is not None:
        yield f"The wallet refused to refresh it ({agreement.refresh_refused}). For the buyer: {LINK_AGAIN}."
    elif agreement.refresh_token is None:
        yield f"It has no token to refresh it by. Before it ends, for the buyer: {LINK_AGAIN}."
    elif due_at is not None and due_at > now:
        yield f"Its token is refreshed from {moment(due_at, now)} on ({distance(due_at, now)}), by the hourly run."
    else:
        yield "Its token is refreshed by the next hourly run."
    if agreement.expiring_told:
        yield "AgreementExpiring was told."


LINK_AGAIN = "link again, with a new agreementId"


def in_brief(row: Order | Refund, now: datetime) -> str:
    """What happens next, in a few words."""
    if not row.is_init:
        return "a person has to look"
    return f"a person has to look; {_look_in_brief(row, now)}" if awaits_a_person(row) else _look_in_brief(row, now)


def _look_in_brief(row: Order | Refund, now: datetime) -> str:
    if row.never_sent:
        return "waits for its POST"
    if row.is_spent or row.overdue_at is None:
        return "nobody looks any more"
    if row.overdue_at <= now:
        return f"overdue since {moment(row.overdue_at, now)}: the sweep"
    if row.next_look_at is None or row.next_look_at <= now:
        return "a look is due now"
    return f"look about {moment(row.next_look_at, now)} ({distance(row.next_look_at, now)})"


def _next_look(row: Order | Refund, now: datetime) -> str:
    if row.is_spent:
        return "Nobody looks any more: the schedule is spent. A notification still ends it; `ops poll` looks again."
    if row.overdue_at is not None and row.overdue_at <= now:
        return f"A look is overdue since {moment(row.overdue_at, now)}: the sweep, every minute, has it polled again."
    if row.next_look_at is None:
        return "Nobody waits for it."
    late = f"if nobody has by {moment(row.overdue_at, now)}, the sweep has it polled again" if row.overdue_at else ""
    if row.next_look_at == row.overdue_at:
        return f"It is being sent or looked at; {late}."
    if row.next_look_at <= now:
        return f"A look is due now; {late}."
    return f"Next look about {moment(row.next_look_at, now)} ({distance(row.next_look_at, now)}); {late}."


def moment(at: datetime, near: datetime | None = None) -> str:
    """An instant as people read it here: UTC, to the second, without its date on the day of `near`."""
    date, _, time = utc_text(at).partition("T")
    return time if near is not None and utc_text(near).startswith(date) else f"{date} {time}"


def distance(at: datetime, now: datetime) -> str:
    """How far an instant is: `in 2 min`, `3 h ago`."""
    seconds = (at - now).total_seconds()
    return f"in {age(seconds)}" if seconds >= 0 else f"{age(-seconds)} ago"


def age(seconds: float) -> str:
    """A duration in its largest unit that is not 1 of the next: `75 s`, `21 min`, `30 h`, `4 days`."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} days"
