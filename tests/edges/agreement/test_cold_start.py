"""Most payments bring their token: what a cold start of initiate pay imports must not grow for those that do not."""

import subprocess
import sys

from tests.kit import ROOT

IMPORTED = """
import sys
sys.path[:0] = [r"{package}", r"{function}"]
import app
print(sorted(name for name in sys.modules if name.startswith("autodebit.agreement")))
app.debits()
print(sorted(name for name in sys.modules if name.startswith("autodebit.agreement")))
"""


def test_initiate_pay_imports_the_vault_when_a_payment_names_an_agreement() -> None:
    script = IMPORTED.format(
        package=ROOT / "layers" / "autodebit" / "python", function=ROOT / "functions" / "initiate_pay"
    )
    environment = {
        "ORDERS_TABLE": "orders",
        "AGREEMENTS_TABLE": "agreements",
        "TOKEN_KEY": "key",
        "ALIPAY_GATEWAY_URL": "https://gateway.example",
        "CREDENTIALS_SECRET": "secret",
        "POLLING_STATE_MACHINE": "machine",
        "INQUIRY_SCHEDULE": "3,3",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_SERVICE_NAME": "autodebit",
    }
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert printed[0] == "[]"
    assert "autodebit.agreement.vault" in printed[1]
