"""The plans that have names: one list for tokens, the control API, the demo and docs/simulator.md.

A payment's access token names its plan as `sim:<name>:<anything>`, and so do the extendInfo of consult and the
refundReason of refund.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_POOR = "F:USER_BALANCE_NOT_ENOUGH"

PAYMENTS: Mapping[str, Json] = {
    "paid": {"notify": {"delay": 3}},
    "declined": {"pay": _POOR, "notify": {"delay": 3}},
    "unknown-then-notified": {
        "pay": ["U", "normal"],
        "inquiry": "U:UNKNOWN_EXCEPTION",
        "result": {"status": "SUCCESS", "after": 4},
    },
    "unknown-then-inquired": {
        "pay": ["U", "normal"],
        "result": {"status": "SUCCESS", "after": 5},
        "notify": "lost",
    },
    # The notification waits, so that what repairs the lost answer is the repeated call.
    "no-answer": {"pay": ["reset-after", "normal"], "notify": {"delay": 5}},
    "forged": {
        "pay": ["U", "normal"],
        "result": {"status": "FAIL", "code": "USER_BALANCE_NOT_ENOUGH", "after": 4},
        "notify": {"first": "forged", "lost": True},
    },
    "contradicted": {
        "pay": "U",
        "inquiry": "U:UNKNOWN_EXCEPTION",
        "result": {"status": "SUCCESS", "after": 1},
        "notify": {"then": [{"resultStatus": "F", "resultCode": "PROCESS_FAIL", "delay": 4}]},
    },
    "slow": {"pay": {"answer": "S", "delay": 1}, "notify": {"delay": 3}},
    "never": {"pay": ["U"], "result": {"status": "PROCESSING"}, "expires": False, "notify": "lost"},
    "never-arrived": {"pay": "reset-before", "notify": "lost"},
    "cancel-unanswered": {
        "pay": ["U"],
        "result": {"status": "PROCESSING"},
        "expires": False,
        "cancel": ["reset-after", "normal"],
    },
    "cancel-refused": {
        "pay": ["U"],
        "result": {"status": "PROCESSING"},
        "expires": False,
        "cancel": "F:PAYMENT_METHOD_NOT_SUPPORTED",
    },
}

AGREEMENTS: Mapping[str, Json] = {
    "waiting": {},
    "approved": {"buyer": "approve"},
    "declined": {"buyer": "decline"},
    "token-created": {"buyer": "approve", "announces": ["TOKEN_CREATED"]},
    "code-and-token": {
        "buyer": "approve",
        "announces": ["AUTHCODE_CREATED", {"authorizationNotifyType": "TOKEN_CREATED", "after": 2}],
    },
    "sixteen-codes": {"buyer": "approve", "notify": {"times": 16}},
    "code-lost": {"buyer": "approve", "notify": "lost"},
    "forged": {"buyer": "approve", "notify": {"first": "forged", "lost": True}},
    "consult-refused": {"consult": "F:NO_PAY_OPTIONS"},
    "consult-unanswered": {"consult": ["reset-after", "normal"], "buyer": "approve"},
    "exchange-refused": {"buyer": "approve", "applyToken": "F:INVALID_AUTHCODE"},
    "exchange-unknown": {"buyer": "approve", "applyToken": "U:AUTH_IN_PROCESS"},
    "exchange-unanswered-same": {
        "buyer": "approve",
        "applyToken": ["reset-after", "normal"],
        "exchangeAgain": "same",
    },
    "exchange-unanswered-another": {
        "buyer": "approve",
        "applyToken": ["reset-after", "normal"],
        "exchangeAgain": "another",
    },
    "exchange-unanswered-spent": {
        "buyer": "approve",
        "applyToken": ["reset-after", "normal"],
        "exchangeAgain": "spent",
    },
    "no-refresh-token": {"buyer": "approve", "refreshes": False},
    "expires-soon": {"buyer": "approve", "tokenLives": 864_060},
    "refresh-refused": {"buyer": "approve", "tokenLives": 864_060, "refresh": "F:INVALID_REFRESH_TOKEN"},
    "revoke-unanswered": {"buyer": "approve", "revoke": ["reset-after", "normal"]},
    "debits-declined": {"buyer": "approve", "payment": "declined"},
}

REFUNDS: Mapping[str, Json] = {
    "refunded": {},
    "refused": {"refund": "F:REFUND_NOT_SUPPORTED"},
    "no-balance": {"refund": "F:MERCHANT_BALANCE_NOT_ENOUGH"},
    "in-process": {"refund": "U:REFUND_IN_PROCESS", "result": {"status": "SUCCESS", "after": 4}},
    "in-process-then-failed": {
        "refund": "U:REFUND_IN_PROCESS",
        "result": {"status": "FAIL", "code": "PROCESS_FAIL", "after": 4},
    },
    "no-answer": {"refund": ["reset-after", "normal"]},
    "never-arrived": {"refund": "reset-before"},
    "never": {"refund": "U:REFUND_IN_PROCESS", "result": {"status": "PROCESSING"}, "notify": "lost"},
    "bounced": {"bouncesAfter": 2},
}
