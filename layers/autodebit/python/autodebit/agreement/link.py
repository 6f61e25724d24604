"""Link a wallet: store the agreement, and ask Alipay's consult for the QR code that the buyer scans.

Where this process may die: before the agreement is stored, nothing was asked. After that the row says since when an
attempt is under way; once that must be dead, the same request takes over with a new authState. A QR code that was shown
to nobody does no harm.
"""

import time
from datetime import UTC, datetime
from uuid import uuid4

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement, QrCode, Status, qr_code_expires_at
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.outcome import Refused, read_consult
from autodebit.agreement.request import LinkRequest, new_auth_state
from autodebit.agreement.transitions import Word
from autodebit.alipay.gateway import AlipayGateway
from autodebit.errors import AgreementConflict, ConsultRefused, ConsultUnanswered, GatewayError, NotSent, TableFault
from autodebit.polling import SENDING_S
from autodebit.telemetry import logger

CONSULT_CALLS_MAX = 3
"""Calls of consult in one POST."""

BUDGET_S = 25.0
"""For all calls of consult, counted from the start of the POST: what is left of API Gateway's 29 s is for the table."""

LOOK_AGAIN_S = 0.25
"""While another request for the same agreement has its QR code fetched."""


class Linker:
    """Takes one agreement as far as its QR code within one POST."""

    def __init__(self, table: AgreementTable, gateway: AlipayGateway) -> None:
        self._table = table
        self._gateway = gateway

    def link(self, request: LinkRequest, notify_url: str, deadline: float) -> tuple[Agreement, bool]:
        """The agreement as it stands, and whether this very POST brought its QR code. `deadline` is on
        time.monotonic's clock. Raises AgreementConflict, ConsultRefused, ConsultUnanswered and NotSent.
        """
        try:
            agreement, ours = self._taken(request, deadline)
        except TableFault as error:
            telemetry.fault(error)
            raise NotSent("agreement table") from error
        if not ours:
            return agreement, False
        try:
            return self._consult(agreement, request, notify_url, deadline), True
        except TableFault as error:
            # What Alipay said is lost: once this attempt must be dead, the same request asks again.
            telemetry.fault(error)
            raise ConsultUnanswered from error

    def _taken(self, request: LinkRequest, deadline: float) -> tuple[Agreement, bool]:
        """The agreement, and whether this POST is the one to ask for its QR code."""
        now, attempt = datetime.now(UTC), uuid4().hex
        auth_state = new_auth_state(request.agreement_id)
        created = self._table.create(
            Agreement(
                agreement_id=request.agreement_id,
                status=Status.AUTHORIZING,
                customer_belongs_to=request.customer_belongs_to,
                merchant_region=request.merchant_region,
                merchant_account_id=request.merchant_account_id,
                created_at=now,
                auth_state=auth_state,
                expires_at=qr_code_expires_at(now),
                attempt=attempt,
                attempted_at=now,
            )
        )
        agreement = created.row
        if not created.won:
            if agreement.customer_belongs_to != request.customer_belongs_to:
                raise AgreementConflict(agreement.agreement_id)
            agreement = self._await_other(agreement, deadline)
            if agreement.status is not Status.AUTHORIZING or agreement.qr_code is not None:
                return agreement, False
            taken = self._table.ask_again(agreement, attempt, now, auth_state, qr_code_expires_at(now))
            if not taken.won:
                return self._shown(self._await_other(taken.row, deadline)), False
            agreement = taken.row
        return agreement, True

    def _await_other(self, agreement: Agreement, deadline: float) -> Agreement:
        """The agreement once no other request has consult under way. Raises ConsultUnanswered if it takes too long."""
        while agreement.status is Status.AUTHORIZING and agreement.qr_code is None and agreement.attempt is not None:
            if (datetime.now(UTC) - agreement.attempted_at).total_seconds() > SENDING_S:
                break
            if time.monotonic() >= deadline:
                raise ConsultUnanswered
            time.sleep(LOOK_AGAIN_S)
            agreement = self._table.get(agreement.agreement_id)
            if agreement.status is Status.AUTHORIZING and agreement.qr_code is None and agreement.attempt is None:
                raise ConsultUnanswered  # the other one was not answered either
        return agreement

    def _shown(self, agreement: Agreement) -> Agreement:
        if agreement.status is Status.AUTHORIZING and agreement.qr_code is None:
            raise ConsultUnanswered
        return agreement

    def _consult(self, agreement: Agreement, request: LinkRequest, notify_url: str, deadline: float) -> Agreement:
        """Call consult, the same again while it says nothing, and act on what it says."""
        body = request.consult_body(agreement.auth_state, notify_url)
        said = "not called"
        for _ in range(CONSULT_CALLS_MAX):
            try:
                reading = read_consult(self._gateway.call("authorizations/consult", body, deadline))
            except GatewayError as error:
                telemetry.call_failed("consult", error)
                said = f"consult without answer: {error.reason}"
                if isinstance(error, NotSent):
                    break
                continue
            if isinstance(reading, QrCode):
                return self._table.note_qr_code(agreement, reading).row
            if isinstance(reading, Refused):
                self._table.fail(agreement, Word.CONSULT, reading.code, datetime.now(UTC))
                logger.warning("consult refused", resultCode=reading.code)
                raise ConsultRefused(reading.code, reading.message)
            said = reading.said
        self._table.put_back(agreement, said, unaccounted=0)
        raise ConsultUnanswered
