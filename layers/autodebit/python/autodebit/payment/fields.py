"""The fields of the pay API and their rules.

Source: https://docs.antom.com/ac/ams/payment_agreement
"""

import re
from dataclasses import replace
from typing import Any

from autodebit.alipay.amount import CURRENCY, POSITIVE, STATED, Amount, amount_fields, multiple_fault
from autodebit.alipay.fields import FIELD_ERRORS_MAX, Fields, Items, Text, check, required
from autodebit.errors import FieldError
from autodebit.payment.expiry import EXPIRY_TIME, calendar_fault

PAYMENT_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

REFERENCE_LENGTH_MAX = 64
"""Of `referenceOrderId`."""

_NAME = Fields({"firstName": Text(32), "middleName": Text(32), "lastName": Text(32), "fullName": Text(128)})
_ADDRESS = Fields(
    {
        "region": required(2),
        "state": Text(8),
        "city": Text(32),
        "address1": Text(256),
        "address2": Text(256),
        "zipCode": Text(32),
    }
)
_ENV = Fields(
    {
        "terminalType": required(64),
        "osType": Text(64),
        "userAgent": Text(1024),
        "deviceTokenId": Text(64),
        "clientIp": Text(64),
        "cookieId": Text(64),
        "extendInfo": Text(2048),
    }
)
_GOODS = Fields(
    {
        "referenceGoodsId": required(64),
        "goodsName": required(256),
        "goodsCategory": Text(64),
        "goodsUnitAmount": amount_fields(STATED),
        "goodsQuantity": Text(
            16, pattern=re.compile(r"[1-9][0-9]*"), rule="must be a whole number from 1, in at most 16 digits"
        ),
    }
)
_ORDER = Fields(
    {
        "referenceOrderId": required(REFERENCE_LENGTH_MAX),
        "orderDescription": required(256),
        "orderAmount": amount_fields(STATED, required=True),
        "goods": Items(_GOODS, 100),
        "buyer": Fields(
            {
                "referenceBuyerId": Text(64),
                "buyerName": _NAME,
                "buyerPhoneNo": Text(24),
                "buyerEmail": Text(64),
            }
        ),
        "shipping": Fields(
            {
                "shippingName": _NAME,
                "shippingAddress": _ADDRESS,
                "shippingCarrier": Text(128),
                "shippingPhoneNo": Text(16),
            }
        ),
        "merchant": Fields(
            {
                "referenceMerchantId": required(32),
                "merchantMCC": Text(32),
                "merchantName": Text(256),
                "merchantDisplayName": Text(64),
                "merchantAddress": _ADDRESS,
            }
        ),
        "env": _ENV,
        "extendInfo": Fields(
            {
                "chinaExtraTransInfo": Fields(
                    {
                        "businessType": Text(
                            16,
                            required=True,
                            pattern=re.compile(r"[1-5](\|[1-5]){0,4}"),
                            rule="must be of 1 (hotel), 2 (air), 3 (study abroad), 4 (goods), 5 (other), joined by |",
                        )
                    }
                )
            }
        ),
    },
    required=True,
)
_BY_TOKEN = Fields(
    {"paymentMethodType": required(64), "paymentMethodId": required(128), "extendInfo": Text(2048)}, required=True
)
_BY_AGREEMENT = Fields(
    {
        "paymentMethodType": Text(64),
        "agreementId": Text(
            64, True, re.compile(r"[A-Za-z0-9_-]{1,64}"), "must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        ),
        "extendInfo": Text(2048),
    }
)
PAY_REQUEST = Fields(
    {
        "paymentRequestId": Text(
            64,
            required=True,
            pattern=PAYMENT_REQUEST_ID,
            rule="must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ),
        "paymentAmount": amount_fields(POSITIVE, required=True),
        "paymentMethod": _BY_TOKEN,
        "order": _ORDER,
        "settlementStrategy": Fields({"settlementCurrency": replace(CURRENCY, required=False)}),
        "paymentExpiryTime": EXPIRY_TIME,
        "creditPayPlan": Fields({"installmentNum": Text(8), "creditPayFeeType": Text(64), "feePercentage": Text(6)}),
        "appId": Text(32),
        "merchantRegion": Text(2),
        "userRegion": Text(2),
        "merchantAccountId": Text(32),
        "env": replace(_ENV, fields={**_ENV.fields, "terminalType": Text(64)}),
    }
)

PAY_BY_AGREEMENT = replace(PAY_REQUEST, fields={**PAY_REQUEST.fields, "paymentMethod": _BY_AGREEMENT})
"""The same where an agreement is named: its wallet and its token are known here."""

OWNED = ("productCode", "paymentNotifyUrl")
"""Fields of the pay API that the bundle fills in."""


def check_pay_fields(request: dict[str, Any]) -> list[FieldError]:
    """Every fault of a pay request, each named by its field; an empty list if there is none."""
    method = request.get("paymentMethod")
    by_agreement = isinstance(method, dict) and "agreementId" in method
    errors = check(PAY_BY_AGREEMENT if by_agreement else PAY_REQUEST, request, OWNED)
    if isinstance(method, dict) and by_agreement and "paymentMethodId" in method:
        errors.append(FieldError("paymentMethod.paymentMethodId", "must be left out where agreementId is given"))
    if len(errors) < FIELD_ERRORS_MAX:
        named = {error.field for error in errors}
        at_fault = {field.partition(".")[0] for field in named}
        if "paymentAmount" not in at_fault:
            wallet = None if "paymentMethod" in at_fault else request["paymentMethod"].get("paymentMethodType")
            errors += multiple_fault(Amount.of(request["paymentAmount"]), "paymentAmount", wallet)
        if "paymentExpiryTime" not in named:  # a name that nobody knows may begin like it: paymentExpiryTime.x
            errors += calendar_fault(request.get("paymentExpiryTime"))
        if not at_fault & {"order", "env"}:
            errors += _check_mini_app(request)
    return errors[:FIELD_ERRORS_MAX]


def _check_mini_app(request: dict[str, Any]) -> list[FieldError]:
    """A mini program's payment names the program. https://docs.antom.com/ac/ams/payment_agreement"""
    envs = (request.get("env"), request["order"].get("env"))
    if "appId" in request or not any(env and env.get("terminalType") == "MINI_APP" for env in envs):
        return []
    return [FieldError("appId", "is required with terminalType MINI_APP")]
