"""The secret in every spelling that dashboards, SDKs and people produce, and the cache in front of it."""

import base64
import textwrap
from typing import Any

import pytest
from autodebit.alipay.credentials import (
    FAILED_READ_S,
    MAX_AGE_S,
    MIN_AGE_S,
    CredentialsStore,
    parse_credentials,
    parse_private_key,
    parse_public_key,
)
from autodebit.alipay.signature import SignedMessage, sign
from autodebit.errors import CredentialsUnavailable, SignatureInvalid
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.samples import CLIENT_ID, KEYS, private_key, public_key, secret

LABELS = ["PRIVATE KEY", "RSA PRIVATE KEY", "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"]


def spellings(key: str) -> dict[str, str]:
    """One key in base64 as it arrives: armour of every label, line breaks of every kind."""
    lines = textwrap.wrap(key, 64)
    written = {
        "bare": key,
        "bare in lines": "\n".join(lines),
        "bare with a newline at the end": key + "\n",
        "bare with carriage returns": "\r\n".join(lines),
        "bare, indented": "\n".join(f"    {line}" for line in lines),
        "bare with tabs and spaces": "\t " + " ".join(lines) + " \t",
        "bare with written newlines": "\\n".join(lines) + "\\n",
        "bare with written carriage returns": "\\r\\n".join(lines) + "\\r\\n",
    }
    for label in LABELS:
        begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
        written[f"{label} in lines"] = "\n".join([begin, *lines, end, ""])
        written[f"{label} with carriage returns"] = "\r\n".join([begin, *lines, end, ""])
        written[f"{label} in one line"] = f"{begin}\n{key}\n{end}"
        written[f"{label} without line breaks"] = begin + key + end
        written[f"{label} with spaces for line breaks"] = f"{begin} {' '.join(lines)} {end}"
        written[f"{label} with written newlines"] = "\\n".join([begin, *lines, end, ""])
    written["begin without end"] = "-----BEGIN PRIVATE KEY-----\n" + key
    written["end without begin"] = key + "\n-----END PRIVATE KEY-----"
    written["begin and end of two kinds"] = f"-----BEGIN RSA PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----"
    written["of two kinds without line breaks"] = written["begin and end of two kinds"].replace("\n", "")
    return written


PRIVATE = {f"pkcs8 {how}": text for how, text in spellings(KEYS["merchant"]["pkcs8"]).items()}
PRIVATE |= {f"pkcs1 {how}": text for how, text in spellings(KEYS["merchant"]["pkcs1"]).items() if "RSA" not in how}
PUBLIC = spellings(KEYS["alipay1"]["public"])


@pytest.mark.parametrize("spelling", PRIVATE)
def test_the_merchants_key_is_read_in_every_spelling(spelling: str) -> None:
    assert parse_private_key(PRIVATE[spelling]).private_numbers() == private_key("merchant").private_numbers()


@pytest.mark.parametrize("spelling", PUBLIC)
def test_alipays_key_is_read_in_every_spelling(spelling: str) -> None:
    assert parse_public_key(PUBLIC[spelling]).public_numbers() == public_key("alipay1").public_numbers()


def test_alipays_key_is_read_in_pkcs1_too() -> None:
    assert parse_public_key(KEYS["alipay1"]["publicPkcs1"]).public_numbers() == public_key("alipay1").public_numbers()


def test_a_secret_is_read_whole() -> None:
    keys = {"1": KEYS["alipay1"]["public"], "2": KEYS["alipay2"]["public"]}
    read = parse_credentials(secret(privateKeyVersion="3", alipayPublicKeys=keys, note="fields of others pass"))
    assert (read.client_id, read.private_key_version) == (CLIENT_ID, "3")
    assert set(read.alipay_public_keys) == {"1", "2"}
    assert read.alipay_public_keys["2"].public_numbers() == public_key("alipay2").public_numbers()


def test_no_key_is_in_what_is_printed_of_credentials() -> None:
    read = parse_credentials(secret())
    assert read.private_key.key_size == 2048
    assert repr(read) == str(read)
    assert CLIENT_ID in repr(read)
    assert KEYS["merchant"]["pkcs8"][:20] not in repr(read)


# --- Secrets that do not do --------------------------------------------------------------------------------------

CANARY = "Q0FOQVJZ"


def of_no_known_algorithm(key: str) -> str:
    """The key under the object identifier 1.2.840.113549.1.1.99 instead of RSA's 1.2.840.113549.1.1.1."""
    rsa = bytes.fromhex("2a864886f70d010101")
    return base64.b64encode(base64.b64decode(key).replace(rsa, rsa[:-1] + b"\x63")).decode()


ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32))

WRONG_KEYS = {
    "empty": "",
    "white space": " \n ",
    "text": f"my key is {CANARY}!",
    "other base64": CANARY * 20,
    "cut off": KEYS["merchant"]["pkcs8"][:-40],
    "of 1024 bits": KEYS["rsa1024"]["pkcs8"],
    "an elliptic curve": KEYS["ec"]["pkcs8"],
    "encrypted": KEYS["encrypted"]["pkcs8"],
    "a public key": KEYS["merchant"]["public"],
    "other letters than ASCII": KEYS["merchant"]["pkcs8"] + "é",
    "junk inside": KEYS["merchant"]["pkcs8"][:60] + "!" + KEYS["merchant"]["pkcs8"][60:],
    "armour without a label": "-" * 10 + KEYS["merchant"]["pkcs8"],
    "armour in small letters": f"-----BEGIN private key-----\n{KEYS['merchant']['pkcs8']}\n-----END private key-----",
    "words around armour without a label": f"{CANARY} -----BEGIN -----{KEYS['merchant']['pkcs8']}-----END -----",
    "of no known algorithm": of_no_known_algorithm(KEYS["merchant"]["pkcs8"]),
    "an Edwards curve": base64.b64encode(
        ED25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    ).decode(),
    "an encrypted PEM": f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{CANARY}\n-----END",
}
WRONG_PUBLIC_KEYS = WRONG_KEYS | {
    "of 1024 bits": KEYS["rsa1024"]["public"],
    "an elliptic curve": KEYS["ec"]["public"],
    "a public key": KEYS["merchant"]["pkcs8"],
    "junk inside": KEYS["alipay1"]["public"][:60] + "!" + KEYS["alipay1"]["public"][60:],
    "of no known algorithm": of_no_known_algorithm(KEYS["alipay1"]["public"]),
    "an Edwards curve": base64.b64encode(
        ED25519.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode(),
}


def refusal(text: str) -> str:
    with pytest.raises(CredentialsUnavailable) as refused:
        assert parse_credentials(text).private_key  # parsed when it is first needed
    assert refused.value.__cause__ is None, "the cause may quote the secret"
    return str(refused.value)


@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_a_private_key_that_does_not_do_is_named_and_not_quoted(kind: str) -> None:
    said = refusal(secret(privateKey=WRONG_KEYS[kind]))
    assert said.startswith("privateKey ")
    assert CANARY not in said
    assert KEYS["merchant"]["pkcs8"][:20] not in said


def test_numbers_that_do_not_belong_together_are_refused_where_the_secret_is_put_in_place() -> None:
    numbers = key_of_numbers_that_do_not_belong_together()
    assert parse_private_key(numbers)
    with pytest.raises(CredentialsUnavailable, match="privateKey"):
        parse_private_key(numbers, validate=True)


def key_of_numbers_that_do_not_belong_together() -> str:
    """The merchant's key with one bit of its private exponent turned."""
    der = bytearray(base64.b64decode(KEYS["merchant"]["pkcs8"]))
    der[400] ^= 1
    return base64.b64encode(der).decode()


@pytest.mark.parametrize("kind", WRONG_PUBLIC_KEYS)
def test_a_public_key_that_does_not_do_is_named_by_its_version_and_not_quoted(kind: str) -> None:
    keys = {"1": KEYS["alipay1"]["public"], "7": WRONG_PUBLIC_KEYS[kind]}
    said = refusal(secret(alipayPublicKeys=keys))
    assert said.startswith("alipayPublicKeys.7 ")
    assert CANARY not in said


def test_a_public_key_that_does_not_do_is_named_without_a_version_where_it_has_none() -> None:
    with pytest.raises(CredentialsUnavailable, match=r"^alipayPublicKeys is no "):
        parse_public_key(CANARY)


@pytest.mark.parametrize("field", ["clientId", "privateKey", "privateKeyVersion"])
@pytest.mark.parametrize("value", [None, "", 1, True, ["x"], {"a": CANARY}])
def test_a_field_that_is_no_text_is_named(field: str, value: Any) -> None:
    assert refusal(secret(**{field: value})) == f"{field} is missing or is no string"


@pytest.mark.parametrize("field", ["clientId", "privateKeyVersion"])
def test_white_space_around_a_text_came_with_the_pasting(field: str) -> None:
    read = parse_credentials(secret(**{field: " \t500\r\n"}))
    assert "500" in (read.client_id, read.private_key_version)


@pytest.mark.parametrize("version", ["v1", "01", "1.0", "latest", "", "１", "-1", "1 1"])
def test_a_key_version_that_no_message_can_name_is_refused(version: str) -> None:
    assert "privateKeyVersion" in refusal(secret(privateKeyVersion=version))
    assert "alipayPublicKeys" in refusal(secret(alipayPublicKeys={version: KEYS["alipay1"]["public"]}))


@pytest.mark.parametrize("spelling", [" 1", "1 ", "\t1\n"])
def test_white_space_around_a_key_version_of_alipays_came_with_the_pasting(spelling: str) -> None:
    read = parse_credentials(secret(alipayPublicKeys={spelling: KEYS["alipay1"]["public"]}))
    assert set(read.alipay_public_keys) == {"1"}


def test_one_key_version_under_two_spellings_is_refused() -> None:
    key = KEYS["alipay1"]["public"]
    assert "twice" in refusal(secret(alipayPublicKeys={"1": key, " 1": key}))


@pytest.mark.parametrize("quoted", ['"5Y00"', "'5Y00'", "`5Y00`", "\u201c5Y00\u201d"])
def test_a_client_id_inside_pasted_quotes_is_refused(quoted: str) -> None:
    assert refusal(secret(clientId=quoted)).startswith("clientId has quotes")


def pem(label: str, key: str) -> str:
    return f"-----BEGIN {label}-----\n" + "\n".join(textwrap.wrap(key, 64)) + f"\n-----END {label}-----\n"


BAG = "Bag Attributes\n    localKeyID: 01 02\n    friendlyName: merchant\nKey Attributes: <No Attributes>\n"


@pytest.mark.parametrize(
    "text",
    [
        BAG + pem("PRIVATE KEY", KEYS["merchant"]["pkcs8"]),
        "# the key of the shop\n" + pem("PRIVATE KEY", KEYS["merchant"]["pkcs8"]) + "# end\n",
        "\ufeff" + pem("RSA PRIVATE KEY", KEYS["merchant"]["pkcs8"]),
        BAG + pem("CERTIFICATE", KEYS["merchant"]["pkcs8"]),
        pem("CERTIFICATE", KEYS["alipay1"]["public"]) + pem("PRIVATE KEY", KEYS["merchant"]["pkcs8"]),
        BAG.replace("\n", "\\n") + pem("PRIVATE KEY", KEYS["merchant"]["pkcs8"]).replace("\n", "\\n"),
    ],
    ids=["bag attributes", "comments", "byte order mark", "another label", "two blocks", "written newlines"],
)
def test_text_around_the_armour_explains_and_is_no_key(text: str) -> None:
    assert parse_private_key(text).private_numbers() == private_key("merchant").private_numbers()


def test_a_secret_may_begin_with_a_byte_order_mark() -> None:
    assert parse_credentials("\ufeff" + secret()).client_id == CLIENT_ID


def test_a_fault_in_the_secrets_json_is_named_by_line_and_column() -> None:
    assert refusal('{"clientId":\n 5Y00}').startswith("the secret is not JSON at line 2, column 3; ")


def test_a_number_that_is_too_long_is_a_fault_in_the_secrets_json() -> None:
    assert refusal("1" * 5_000) == "the secret is not JSON"


@pytest.mark.parametrize("field", ["clientId", "privateKeyVersion"])
@pytest.mark.parametrize("value", [" ", "5Y 00", "5Y\n00", "5Y\r\nX: y", "5Y,00", "5Y\0", "é", "\ud800"])
def test_a_text_that_no_header_can_carry_is_named_before_anything_is_sent(field: str, value: str) -> None:
    assert refusal(secret(**{field: value})).startswith(f"{field} ")


@pytest.mark.parametrize("value", [None, {}, [], "x", CANARY, 1])
def test_without_alipays_keys_there_are_no_credentials(value: Any) -> None:
    said = refusal(secret(alipayPublicKeys=value))
    assert said == "alipayPublicKeys is missing or is no object"


@pytest.mark.parametrize("value", [None, 1, [], {}, True])
def test_a_public_key_of_another_type_is_named(value: Any) -> None:
    assert refusal(secret(alipayPublicKeys={"1": value})).startswith("alipayPublicKeys.1 ")


@pytest.mark.parametrize(
    "text",
    [
        *("", CANARY, "{", f'"{CANARY}"', f'["{CANARY}"]', "null", "{}", f"{{'clientId': '{CANARY}'}}"),
        pytest.param("[" * 20_000, id="nested deeply"),
    ],
)
def test_a_secret_that_is_no_object_is_refused_without_being_quoted(text: str) -> None:
    assert CANARY not in refusal(text)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
@settings(max_examples=60)
def test_whatever_stands_for_a_key_is_a_key_or_refused(text: str) -> None:
    for parse in (parse_private_key, parse_public_key):
        with pytest.raises(CredentialsUnavailable):
            parse(text)


# --- The cache ---------------------------------------------------------------------------------------------------

MESSAGE = SignedMessage("/v1/notifications/payment", CLIENT_ID, "2026-11-22T01:30:03-08:00", b"{}")
ONE = sign(MESSAGE, private_key("alipay1"), "1")
TWO = sign(MESSAGE, private_key("alipay2"), "2")


class Secret:
    """What Secrets Manager holds, how often it was read, and the time."""

    def __init__(self) -> None:
        self.text = secret()
        self.reads = 0
        self.now = 1000.0
        self.down = False

    def read(self) -> str:
        self.reads += 1
        if self.down:
            raise CredentialsUnavailable("ThrottlingException")
        return self.text

    def store(self) -> CredentialsStore:
        return CredentialsStore(self.read, lambda: self.now)

    def replace_key(self, *, overlap: bool) -> None:
        keys = {"2": KEYS["alipay2"]["public"]} | ({"1": KEYS["alipay1"]["public"]} if overlap else {})
        self.text = secret(alipayPublicKeys=keys)


@pytest.fixture
def kept() -> Secret:
    return Secret()


def test_nothing_is_read_before_it_is_needed_and_then_once(kept: Secret) -> None:
    store = kept.store()
    assert kept.reads == 0
    for _ in range(100):
        store.get()
        store.authenticate(MESSAGE, ONE)
    assert kept.reads == 1


def test_a_secret_is_read_again_when_it_is_five_minutes_old(kept: Secret) -> None:
    store = kept.store()
    first = store.get()
    kept.text = secret(clientId="another")
    kept.now += MAX_AGE_S - 0.001
    assert store.get() is first
    kept.now += 0.001
    assert store.get().client_id == "another"
    assert kept.reads == 2
    assert MAX_AGE_S == 300


def test_however_many_messages_do_not_verify_the_secret_is_read_once_a_minute(kept: Secret) -> None:
    store = kept.store()
    store.get()
    for _ in range(10 * 60 * 5):
        kept.now += 0.2
        with pytest.raises(SignatureInvalid):
            store.authenticate(MESSAGE, TWO)
    assert kept.reads <= 1 + 10
    assert MIN_AGE_S == 60


def test_a_flood_right_after_the_start_reads_nothing_more(kept: Secret) -> None:
    store = kept.store()
    for _ in range(1000):
        with pytest.raises(SignatureInvalid):
            store.authenticate(MESSAGE, "")
    assert kept.reads == 1


@pytest.mark.parametrize("header", ["", "garbage", TWO, ONE[:-9]])
def test_what_does_not_verify_does_not_verify_after_reading_again_either(kept: Secret, header: str) -> None:
    store = kept.store()
    store.get()
    kept.now += MIN_AGE_S
    with pytest.raises(SignatureInvalid):
        store.authenticate(MESSAGE, header)
    assert kept.reads == 2


def test_a_new_key_is_picked_up_by_the_first_message_it_signed(kept: Secret) -> None:
    store = kept.store()
    assert store.authenticate(MESSAGE, ONE) == "1"
    kept.replace_key(overlap=True)
    kept.now += MIN_AGE_S
    assert store.authenticate(MESSAGE, TWO) == "2"
    assert store.authenticate(MESSAGE, ONE) == "1"
    assert kept.reads == 2


def test_a_key_that_was_removed_verifies_no_more_after_five_minutes(kept: Secret) -> None:
    store = kept.store()
    store.authenticate(MESSAGE, ONE)
    kept.replace_key(overlap=False)
    kept.now += MAX_AGE_S
    with pytest.raises(SignatureInvalid):
        store.authenticate(MESSAGE, ONE)
    assert store.authenticate(MESSAGE, TWO) == "2"


@pytest.mark.parametrize("broken", ["down", "no json", "no keys"])
def test_what_is_cached_goes_on_being_used_when_the_secret_cannot_be_had(kept: Secret, broken: str) -> None:
    store = kept.store()
    first = store.get()
    kept.down = broken == "down"
    kept.text = {"no json": "{", "no keys": secret(alipayPublicKeys={})}.get(broken, kept.text)
    for _ in range(3):
        kept.now += MAX_AGE_S
        assert store.get() is first
        assert store.authenticate(MESSAGE, ONE) == "1"
        with pytest.raises(SignatureInvalid):
            store.authenticate(MESSAGE, TWO)
    kept.down, kept.text = False, secret(clientId="another")
    kept.now += MAX_AGE_S
    assert store.get().client_id == "another"


def test_a_failed_read_counts_as_one_of_the_minutes_reads(kept: Secret) -> None:
    store = kept.store()
    store.get()
    kept.down = True
    kept.now += MIN_AGE_S
    for _ in range(100):
        with pytest.raises(SignatureInvalid):
            store.authenticate(MESSAGE, TWO)
    assert kept.reads == 2


def test_a_start_without_the_secret_is_no_forgery(kept: Secret) -> None:
    store = kept.store()
    kept.down = True
    with pytest.raises(CredentialsUnavailable):
        store.authenticate(MESSAGE, ONE)
    with pytest.raises(CredentialsUnavailable):
        store.get()
    kept.down = False
    kept.now += FAILED_READ_S
    assert store.authenticate(MESSAGE, ONE) == "1"


def test_whatever_comes_while_the_secret_cannot_be_had_at_all_it_is_read_once_a_second(kept: Secret) -> None:
    kept.down, kept.now = True, 0.0
    store = kept.store()
    for second in range(1, 4):
        for _ in range(100):
            with pytest.raises(CredentialsUnavailable, match=r"^ThrottlingException$"):
                store.authenticate(MESSAGE, TWO)
        kept.now += FAILED_READ_S - 0.001
        with pytest.raises(CredentialsUnavailable):
            store.get()
        assert kept.reads == second
        kept.now += 0.001
    assert FAILED_READ_S == 1


def test_who_pasted_the_own_public_key_is_told_so() -> None:
    store = CredentialsStore(lambda: secret(alipayPublicKeys={"1": KEYS["merchant"]["public"]}))
    with pytest.raises(SignatureInvalid) as refused:
        store.authenticate(MESSAGE, ONE)
    assert "your own public key" in str(refused.value)


@pytest.mark.parametrize("client_id", ["", "another", CLIENT_ID.lower(), CLIENT_ID + " "])
def test_a_genuine_message_to_another_client_is_refused(kept: Secret, client_id: str) -> None:
    other = SignedMessage(MESSAGE.path, client_id, MESSAGE.time, MESSAGE.body)
    with pytest.raises(SignatureInvalid):
        kept.store().authenticate(other, sign(other, private_key("alipay1"), "1"))


def test_a_message_that_does_not_verify_is_refused_as_such_also_when_the_private_key_is_broken() -> None:
    store = CredentialsStore(lambda: secret(privateKey="broken"))
    message = SignedMessage("/v1/notifications/payment", CLIENT_ID, "2026-11-22T01:30:03-08:00", b"{}")
    with pytest.raises(SignatureInvalid, match=r"^signature$"):
        store.authenticate(message, sign(message, private_key("alipay2"), "1"))
    assert store.get().holds_own_public_key() is False
