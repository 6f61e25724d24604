"""What is documented of each wallet. Where the pages contradict each other, or say nothing, the comment tells.

https://global.alipay.com/docs/ac/scantopay_en/overview · https://docs.antom.com/ac/scantopay/integration_guide
"""

from dataclasses import dataclass
from datetime import datetime

_YEAR_S = 365 * 86_400.0


def _until(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class Wallet:
    """One paymentMethodType, which is also a customerBelongsTo. `least` is the smallest amount, in minor units."""

    least: int = 1
    refund_days: int = 365
    partial_refunds: bool = True
    cancels_paid: bool = True
    links: bool = True
    token_years: int = 1  # "any wallet: at least one year"
    token_until: float | None = None
    refreshes: bool = True
    tells_cancel: bool = False

    def token_expires_at(self, issued_at: float) -> float:
        """When a token issued at this epoch second expires."""
        return issued_at + self.token_years * _YEAR_S if self.token_until is None else self.token_until


_WALLETS = {
    # Who tells of a cancellation made in the wallet: Alipay, Boost and AlipayHK, or Alipay, Boost and Touch'n Go;
    # TrueMoney never. https://docs.antom.com/ac/easypay/revoke
    "ALIPAY_CN": Wallet(least=10, tells_cancel=True),
    "ALIPAY_HK": Wallet(token_until=_until("2038-01-01T00:00:00+08:00"), tells_cancel=True),
    # What was paid cannot be cancelled: the pages name Indonesian wallets and JKOPay, or Thai online banking only;
    # the stricter one here. https://docs.antom.com/ac/scantopay_zh-cn/cancel
    "DANA": Wallet(least=30_000, token_years=10, cancels_paid=False),
    "GCASH": Wallet(least=100, token_years=2),
    "TNG": Wallet(least=5, token_years=2, tells_cancel=True),
    "KAKAOPAY": Wallet(least=50, token_until=_until("2120-08-25T00:00:00+09:00"), refreshes=False),
    "NAVERPAY": Wallet(least=100),
    "TOSSPAY": Wallet(least=100),
    "TRUEMONEY": Wallet(least=100, token_years=2),
    "RABBIT_LINE_PAY": Wallet(),
    "BOOST": Wallet(least=5, tells_cancel=True),
    "MAYA": Wallet(least=100),
    "BKASH": Wallet(),
    "EASYPAISA": Wallet(least=100),
    "PAYPAY": Wallet(refund_days=90, partial_refunds=False),
    "JKOPAY": Wallet(cancels_paid=False),
    "ZALOPAY": Wallet(least=1_000, links=False, refreshes=False),
    "KPLUS": Wallet(least=100, links=False),
}


def wallet(name: str) -> Wallet:
    """The rules of the wallet of this name; one that is not in the table has the usual ones, and does not link."""
    return _WALLETS.get(name, Wallet(links=False))
