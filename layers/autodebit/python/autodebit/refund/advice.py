"""What to do about a refund that failed, by its result code alone.

https://docs.antom.com/ac/ams/refund_online
"""

_ADVICE: dict[str, tuple[str, ...]] = {
    # The same amount may be given back later, with a new refundRequestId.
    "RETRY_LATER": ("MERCHANT_BALANCE_NOT_ENOUGH",),
    # The request was wrong; look at what is left before asking again.
    "CORRECT_REQUEST": (
        "PARAM_ILLEGAL",
        "CURRENCY_NOT_SUPPORT",
        "REFUND_AMOUNT_EXCEED",
        "PARTIAL_REFUND_NOT_SUPPORTED",
    ),
    # Contract, keys or account.
    "FIX_SETUP": ("ACCESS_DENIED", "KEY_NOT_FOUND", "INVALID_MERCHANT_STATUS", "NO_INTERFACE_DEF", "INVALID_API"),
}
_BY_CODE: dict[str | None, str] = {code: advice for advice, codes in _ADVICE.items() for code in codes}


RELEASED_ADVICE = "CORRECT_REQUEST"
"""For a refund that never left, and whose amount went to another one."""


def refund_advice(result_code: str | None) -> str:
    """RETRY_LATER, CORRECT_REQUEST, FIX_SETUP, or DO_NOT_RETRY for anything else."""
    return _BY_CODE.get(result_code, "DO_NOT_RETRY")
