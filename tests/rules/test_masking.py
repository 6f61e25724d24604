"""No token in what is kept of Alipay's messages, and no sentence lost that holds none."""

from urllib.parse import quote

import pytest
from autodebit.alipay.masking import masked, without_token
from autodebit.payment.identity import digest

from tests.kit.samples import ID, TOKEN, order

SENTENCES = [
    "单笔支付金额超过限额50000元请降低金额后重试",
    "お支払い金額が1回あたりの上限50000円を超えています",
    "결제금액이1회한도50000원을초과하였습니다",
    "payment_amount_exceed_limit_2",
    "The user balance is not enough.",
    "success.",
    "",
]
TOKENS = [
    "SANDBOX-ACCESS-TOKEN-ALPHA",
    "tok_test_1234",
    "2810:1113:0000:abcd:efgh",
    "sim:paid:1",
    "a.b+c/d=e~f",
    TOKEN,
]


def unknown(text: str) -> bool:
    return False


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_without_a_token_stays_as_it_is(sentence: str) -> None:
    assert masked(sentence, unknown) == sentence
    assert masked(sentence, order(token_digest=digest(ID, TOKEN)).is_token) == sentence


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "sentence", ["{} is invalid", "token={}.", "accessToken:'{}' expired", "令牌{}无效", "({})", "{}", "[{}]: no"]
)
def test_a_token_that_the_row_knows_by_its_digest_is_removed_wherever_it_is_quoted(token: str, sentence: str) -> None:
    stored = order(token_digest=digest(ID, token))
    for spelling in (token, quote(token, safe=""), token.replace("/", "\\/")):
        assert masked(sentence.format(spelling), stored.is_token) == sentence.format("***")


@pytest.mark.parametrize("token", ["_tok-test_1234", "c2VjcmV0LXRva2Vu==", "/a+b/=="])
@pytest.mark.parametrize("sentence", ["{} is invalid", "令牌{}无效", "no {}", "({})", "['{}']", '{{"token":"{}"}}'])
def test_a_token_may_begin_and_end_with_other_characters_than_letters_and_digits(token: str, sentence: str) -> None:
    stored = order(token_digest=digest(ID, token))
    assert masked(sentence.format(token), stored.is_token) == sentence.format("***")


@pytest.mark.parametrize("token", ["tok_test_1234", "c2VjcmV0LXRva2Vu=="])
@pytest.mark.parametrize(
    "sentence",
    ["accessToken%3D{}%26x", "no%20{}%20here", "%22{}%22", "%e4%bb%a4%e7%89%8c{}%20x", 'x\\"{}\\"', "x\\{}\\x", "\\{}"],
)
def test_a_token_is_removed_between_what_was_escaped_for_a_url_or_json(token: str, sentence: str) -> None:
    stored = order(token_digest=digest(ID, token))
    for spelling in (token, quote(token, safe="")):
        found = masked(sentence.format(spelling), stored.is_token)
        assert found.replace("\\***", "***") == sentence.format("***").replace("\\***", "***")


@pytest.mark.parametrize(
    ("piece", "looks"),
    [
        ("a-", 12352),
        ("[a", 12416),
        ("[.a", 11093),
        ("%2", 12416),
        ("%61-", 4160),
        ("\\a", 8256),
        ("令a", 12288),
        ("令-", 6176),
        ("-[[-]]", 2795),
        (" - ", 2752),
        ("[", 0),
        ("令", 0),
        ("\\", 1),
    ],
    ids=repr,
)
def test_a_token_is_looked_for_only_where_one_may_begin_and_end(piece: str, looks: int) -> None:
    """Each look costs a keyed digest, some microseconds: 100 ms went by where there were 33,000 of them."""
    asked: list[str] = []

    def is_token(text: str) -> bool:
        asked.append(text)
        return False

    masked((piece * 256)[:256], is_token)
    assert len(asked) == looks
    assert all(len(text) <= 128 for text in asked)


def test_a_token_that_is_quoted_twice_is_removed_twice() -> None:
    stored = order(token_digest=digest(ID, "tok_test_1234"))
    assert masked("tok_test_1234 is not tok_test_1234", stored.is_token) == "*** is not ***"


def test_tokens_that_touch_are_removed_each() -> None:
    stored = order(token_digest=digest(ID, "a1b2=="))
    assert masked("a1b2==a1b2== is invalid", stored.is_token) == "****** is invalid"


def test_a_token_within_a_token_is_removed_with_it() -> None:
    assert masked("no tok_test_1234 here", {"tok_test_1234", "test"}.__contains__) == "no *** here"


def test_the_longest_token_is_removed_from_the_end_of_a_long_message_though_each_character_is_encoded() -> None:
    stored = order(token_digest=digest(ID, "/" * 128))
    assert masked("no " * 100 + "%2F" * 128 + " here", stored.is_token) == "no " * 100 + "*** here"


def test_the_digest_of_another_payment_knows_nothing_of_a_token() -> None:
    assert not order(token_digest=digest("another", TOKEN)).is_token(TOKEN)
    assert not order().is_token("")


def test_what_looks_like_some_token_is_masked_last_of_all() -> None:
    assert masked(f"the token {TOKEN} is invalid", unknown) == "the token *** is invalid"


@pytest.mark.parametrize(
    ("text", "masked_as"),
    [
        ("tokenABCDEFG1234", "***"),
        ("tokenABCDEF1234", "tokenABCDEF1234"),
        ("tokenABCDEFGH123", "tokenABCDEFGH123"),
        ("tokenABCDEFGHIJK 1 2 3 4", "tokenABCDEFGHIJK 1 2 3 4"),
        ("1-2-3-4=token/abc", "***"),
    ],
    ids=["16 characters, 4 digits", "15 characters", "3 digits", "digits of other words", "digits apart"],
)
def test_a_token_has_16_characters_and_4_digits_at_least(text: str, masked_as: str) -> None:
    assert masked(f"the text {text} is", unknown) == f"the text {masked_as} is"


@pytest.mark.parametrize("token", TOKENS)
def test_where_the_token_is_at_hand_it_is_removed_even_inside_a_word(token: str) -> None:
    for spelling in (token, quote(token, safe=""), quote(token, safe="").lower()):
        answer = {"result": {"resultStatus": "F", "resultMessage": f"no x{spelling}x here"}, "paymentId": "1"}
        assert without_token(answer, token) == {
            "result": {"resultStatus": "F", "resultMessage": "no x***x here"},
            "paymentId": "1",
        }


def test_an_answer_without_a_message_is_left_alone() -> None:
    answer = {"result": {"resultStatus": "U"}}
    assert without_token(answer, TOKEN) is answer
