"""The runbook's "Changing keys", on both sides, while a thousand payments come in: none is refused, none is lost.

The last test of its stack: the keys stay changed.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from local.alipay.keys import new_pair
from tests.kit import books
from tests.kit.merchant import Answer, new_id, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]

PAYMENTS = 1000
CLIENTS = 4
KINDS: dict[str, Json] = {
    "rotated-paid": {},
    "rotated-notified": {"pay": ["U"], "result": {"status": "SUCCESS", "after": 0.2}, "inquiry": ["U", "U", "normal"]},
    "rotated-inquired": {"pay": ["U"], "result": {"status": "SUCCESS", "after": 0.2}, "notify": "lost"},
}

MIN_AGE_S = 60
"""A message that does not verify has the secret read anew if it was last read so long ago."""


def test_keys_change_on_both_sides_under_1000_payments(
    spare: Deployment, record_property: Callable[[str, object], None]
) -> None:
    here = spare
    for kind, plan in KINDS.items():
        here.alipay.plan_all(kind, **plan)
    ids = [new_id(list(KINDS)[number % len(KINDS)]) for number in range(PAYMENTS)]
    secret = here.credentials
    before = {"merchantPublicKeys": {"1": public_of(secret)}}
    new_merchant, new_alipay = new_pair(), new_pair()
    answers: dict[str, Answer] = {}
    began = time.monotonic()

    def pay(number: int) -> None:
        # Spread over the whole procedure: the last ones come when it is done.
        time.sleep(max(0.0, began + number / PAYMENTS * 1.3 * MIN_AGE_S - time.monotonic()))
        answers[ids[number]] = here.merchant.pay(payment(ids[number]))

    def so_far(share: float) -> None:
        eventually(lambda: len(answers) >= share * PAYMENTS, f"{share:.0%} of the payments")

    with ThreadPoolExecutor(CLIENTS) as pool:
        paying = [pool.submit(pay, number) for number in range(PAYMENTS)]
        so_far(0.05)
        # 1. Alipay's new key into the secret, beside the old one; 2. the merchant's new key into the dashboard.
        both = secret | {"alipayPublicKeys": secret["alipayPublicKeys"] | {"2": new_alipay[1]}}
        put(here, both)
        added = time.monotonic()
        here.alipay.change_keys(merchantPublicKeys=before["merchantPublicKeys"] | {"2": new_merchant[1]})
        so_far(0.2)
        # 3. The merchant signs with the new key. Whoever has the secret cached signs with the old one a while longer.
        put(here, both | {"privateKey": new_merchant[0], "privateKeyVersion": "2"})
        eventually(lambda: time.monotonic() > added + MIN_AGE_S, "who has the old secret may read it anew", 600)
        # 4. Alipay signs with its new key.
        here.alipay.change_keys(alipayPrivateKey=new_alipay[0], alipayKeyVersion="2")
        for each in paying:
            each.result()
    for payment_request_id in ids:
        assert answers[payment_request_id].status in (200, 202), answers[payment_request_id]
        assert here.seen.settled(payment_request_id)["status"] == "SUCCESS"
    refused = [
        delivery for key in ids for delivery in here.alipay.notifications(key) if (delivery["status"] or 200) >= 400
    ]
    assert refused == []
    used = Counter(
        line.fields["keyVersion"] for line in here.seen.lines("payment settled") if "keyVersion" in line.fields
    )
    record_property("notificationsByKeyVersion", dict(used))

    # 5. Five minutes later nobody has the old secret cached: the old keys go.
    put(
        here,
        {
            "clientId": secret["clientId"],
            "privateKey": new_merchant[0],
            "privateKeyVersion": "2",
            "alipayPublicKeys": {"2": new_alipay[1]},
        },
    )
    here.alipay.change_keys(merchantPublicKeys={"2": new_merchant[1]})
    for function in ("InitiatePay", "Notify", "Inquiry"):
        here.functions.kill(function)
    last = [here.pay(f"{kind}-last", **plan)[0] for kind, plan in KINDS.items()]
    for payment_request_id in last:
        assert here.seen.settled(payment_request_id)["status"] == "SUCCESS"
    books.agree(here, *ids, *last)


def put(here: Deployment, secret: Json) -> None:
    here.aws("secretsmanager").put_secret_value(
        SecretId=here.description["credentialsSecret"], SecretString=json.dumps(secret)
    )


def public_of(secret: Json) -> str:
    """The merchant's public key as the dashboard has it."""
    private = load_der_private_key(base64.b64decode(secret["privateKey"]), None)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()
