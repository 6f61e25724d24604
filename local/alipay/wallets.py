"""What is documented of each wallet. Where the pages contradict each other, or say nothing, the comment tells.

https://global.alipay.com/docs/ac/scantopay_en/overview
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wallet:
    """One paymentMethodType, which is also a customerBelongsTo."""

    cancels_paid: bool = True


_WALLETS = {
    # The pages name Indonesian wallets and JKOPay, or Thai online banking only: the stricter one here.
    # https://docs.antom.com/ac/scantopay_zh-cn/cancel
    "DANA": Wallet(cancels_paid=False),
    "JKOPAY": Wallet(cancels_paid=False),
}


def wallet(name: str) -> Wallet:
    """The rules of the wallet of this name; one that is not in the table has the usual ones."""
    return _WALLETS.get(name, Wallet())
