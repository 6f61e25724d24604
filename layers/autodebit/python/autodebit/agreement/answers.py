"""Which agreement a request names, and the answers that show one."""

from datetime import UTC, datetime

from autodebit.agreement.agreement import Agreement, Status, agreement_document
from autodebit.agreement.fields import AGREEMENT_ID
from autodebit.api import RETRY_AFTER_S, Answer, Event, answer
from autodebit.errors import AgreementNotFound
from autodebit.telemetry import logger


def named_agreement(event: Event) -> str:
    """The agreementId in the path. Raises AgreementNotFound: what cannot be an id has no agreement."""
    agreement_id = (event.get("pathParameters") or {}).get("agreementId") or ""
    if not AGREEMENT_ID.fullmatch(agreement_id):
        raise AgreementNotFound
    logger.append_keys(agreementId=agreement_id)
    return str(agreement_id)


def found(agreement: Agreement) -> Answer:
    """The answer to a look-up: 200 and the agreement."""
    return answer(200, agreement_document(agreement, datetime.now(UTC)))


def taken(agreement: Agreement, url: str, *, new: bool) -> Answer:
    """The answer to a request for a link: 201 if this request brought the QR code, else 200."""
    document = agreement_document(agreement, datetime.now(UTC))
    return answer(201, document, {"Location": url}) if new else answer(200, document)


def revoked(agreement: Agreement, url: str) -> Answer:
    """The answer to a revocation: 202 and where to look while Alipay has not answered, 200 once it is over."""
    if agreement.status is not Status.UNLINKING:
        return found(agreement)
    document = agreement_document(agreement, datetime.now(UTC))
    return answer(202, document, {"Location": url, "Retry-After": str(RETRY_AFTER_S)})
