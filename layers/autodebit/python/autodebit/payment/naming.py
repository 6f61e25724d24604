"""How a call names the payment it is about: inquiryPayment and cancel have the same body."""

from autodebit.alipay.strict_json import canonical
from autodebit.payment.order import Order


def naming_body(order: Order) -> bytes:
    """The body of a call about the order; the merchant's id is the one that is always known.

    Where one client id serves several accounts, the account is named too: https://docs.antom.com/ac/ams/paymentri_online
    """
    account = {} if order.merchant_account_id is None else {"merchantAccountId": order.merchant_account_id}
    return canonical({"paymentRequestId": order.payment_request_id} | account)
