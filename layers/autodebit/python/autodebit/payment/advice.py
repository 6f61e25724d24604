"""What a merchant may do after a payment failed, by its `resultCode`.

Codes: https://docs.antom.com/ac/ams/payment_agreement · https://docs.antom.com/ac/ams/paymentri_online ·
https://docs.antom.com/ac/ams/paymentrn_online. Trying again: https://docs.antom.com/ac/aba_zh-cn/best_practice
"""

from enum import StrEnum


class Advice(StrEnum):
    """What comes next, for the merchant's software to branch on."""

    RETRY_LATER = "RETRY_LATER"
    """The same wallet may pay later, with a new paymentRequestId."""
    ASK_BUYER = "ASK_BUYER"
    """The buyer has to do something in the wallet first."""
    LINK_AGAIN = "LINK_AGAIN"
    """The authorization is dead: the buyer has to link the wallet anew."""
    CORRECT_REQUEST = "CORRECT_REQUEST"
    """The request was wrong."""
    FIX_SETUP = "FIX_SETUP"
    """Contract, keys or account have to be mended."""
    DO_NOT_RETRY = "DO_NOT_RETRY"
    """Another attempt is pointless or forbidden."""


CODES: dict[Advice, frozenset[str]] = {
    Advice.RETRY_LATER: frozenset(
        {
            "USER_BALANCE_NOT_ENOUGH",
            "USER_AMOUNT_EXCEED_LIMIT",
            "PAYMENT_COUNT_EXCEED_LIMIT",
            "SUSPECTED_RISK",
            "ORDER_IS_CLOSED",
            "ORDER_NOT_EXIST",
        }
    ),
    Advice.ASK_BUYER: frozenset(
        {
            "USER_KYC_NOT_QUALIFIED",
            "USER_PAYMENT_VERIFICATION_FAILED",
            "USER_STATUS_ABNORMAL",
            "USER_NOT_EXIST",
            "VERIFY_TIMES_EXCEED_LIMIT",
            "VERIFY_UNMATCHED",
        }
    ),
    Advice.LINK_AGAIN: frozenset({"INVALID_ACCESS_TOKEN"}),
    Advice.CORRECT_REQUEST: frozenset(
        {
            "PARAM_ILLEGAL",
            "CURRENCY_NOT_SUPPORT",
            "SETTLE_CONTRACT_NOT_MATCH",
            "INVALID_PAYMENT_METHOD_META_DATA",
            "PAYMENT_AMOUNT_EXCEED_LIMIT",
            "INVALID_AMOUNT",
        }
    ),
    Advice.FIX_SETUP: frozenset(
        {
            "ACCESS_DENIED",
            "KEY_NOT_FOUND",
            "INVALID_CONTRACT",
            "INVALID_MERCHANT_STATUS",
            "MERCHANT_KYB_NOT_QUALIFIED",
            "MERCHANT_NOT_REGISTERED",
            "NO_INTERFACE_DEF",
            "INVALID_API",
            "NO_PAY_OPTIONS",
            "PAYMENT_NOT_QUALIFIED",
            "PAYMENT_PROHIBITED",
        }
    ),
    Advice.DO_NOT_RETRY: frozenset(
        {
            "PROCESS_FAIL",
            "RISK_REJECT",
            "FRAUD_REJECT",
            "SYSTEM_ERROR",
            "MERCHANT_BALANCE_NOT_ENOUGH",
            # They speak of another payment under the same id.
            "ORDER_IS_CANCELED",
            "REPEAT_REQ_INCONSISTENT",
            # Payment codes shown in a shop, and cards: they do not concern a linked wallet.
            "EXPIRED_CODE",
            "INVALID_PAYMENT_CODE",
            "AUTHENTICATION_REQUIRED",
            "CARD_NOT_SUPPORTED",
            "DO_NOT_HONOR",
            "INVALID_CARD",
            "INVALID_CARD_NUMBER",
            "INVALID_EXPIRATION_DATE",
            "ISSUER_REJECTS_TRANSACTION",
            # No reason for a failure; should one come with them all the same, nothing is known of it.
            "SUCCESS",
            "PAYMENT_IN_PROCESS",
            "REQUEST_TRAFFIC_EXCEED_LIMIT",
            "UNKNOWN_EXCEPTION",
        }
    ),
}
"""Every documented code once. A code that is not here is advised as `DO_NOT_RETRY`."""

_ADVICE: dict[str | None, Advice] = {code: advice for advice, codes in CODES.items() for code in codes}


def advice(result_code: str | None) -> Advice:
    """The advice for a payment that failed with this code."""
    return _ADVICE.get(result_code, Advice.DO_NOT_RETRY)
