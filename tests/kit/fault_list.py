"""The faults that the tests of this directory produce, by the name that `@pytest.mark.fault` gives them.

A row says what goes wrong and what has to come of it. After each of them also holds what `books.agree` asserts: one
debit at most, INIT left at most once, the stored result Alipay's, and an order that is final or watched.
"""

SHOWN = {
    "F01": "initiate dies once INIT is stored: a replay goes on with the same order, or it stays INIT, and an alarm",
    "F02": "initiate dies before pay is sent: ORDER_NOT_EXIST concludes nothing, and after 15 minutes an alarm",
    "F03": "initiate dies while pay is on the wire: settled by inquiry or notification",
    "F04": "initiate dies with Alipay's S in hand, unwritten: settled by another witness, and settledBy names it",
    "F05": "no connection to the gateway, or no such host: 503, nothing sent; the same request succeeds once later",
    "F06": "a certificate that nobody vouches for: 503, an alarm, and not a byte of the payment leaves",
    "F07": "debited, and the connection cut before the answer: repeated byte for byte or inquired, one debit",
    "F08": "an answer slower than patience: 202 in time, settled later, the late answer does no harm",
    "F09": "HTTP 500, 502, 429, 302 with a body or without: INIT, and no redirect is followed",
    "F10": "an unsigned success: not believed, counted",
    "F11": "an unsigned failure such as INVALID_SIGNATURE: INIT, and the alarm that speaks of the configuration",
    "F12": "an answer signed by another key, or altered: INIT, counted",
    "F13": "a signed success about another amount, currency or id: INIT, kept as a contradiction, alarm, not paid",
    "F14": "REPEAT_REQ_INCONSISTENT or ORDER_IS_CLOSED on a repeat: decided by inquiry",
    "F15": "HTML, half an answer, a gzip bomb, 50 MB, byte by byte: bounded memory and time, INIT",
    "F16": "PROCESSING for 14 minutes, an hour, for ever: polled on schedule, alarms, and no result by waiting",
    "F17": "ORDER_NOT_EXIST first, SUCCESS later: SUCCESS",
    "F18": "inquiry fails, is unknown, times out, is rate-limited: INIT, the next one waits, 3 s apart at least",
    "F19": "every notification lost: settled by inquiry",
    "F20": "the notification overtakes pay's answer: settled by notify, and the answer of the POST shows it",
    "F21": "8 duplicates, 50 at once: one write, each acknowledged",
    "F22": "PENDING after the result; a failure after the success: 200, unchanged; the second is kept, and an alarm",
    "F23": "notify dies between its write and its answer: the redelivery is acknowledged and changes nothing",
    "F24": "the table applies a write and its answer is lost: recognized as one's own",
    "F25": "the table throttles, fails or is silent in notify: 5xx, and the redelivery settles",
    "F26": "the poller or GET is told what was true a moment ago: one useless inquiry at most, no step back",
    "F27": "no secret at a cold start: pay 503 and nothing sent; notify 5xx, not 401",
    "F28": "Alipay changes its key: both are accepted in the overlap, the old one not after it",
    "F29": "StartExecution throttled, or the name taken, open or closed: one execution polls, or the sweep sees to it",
    "F30": "the inquiry function throttled, slow or dying: retried; what is given up ends failed, alarms, is taken up",
    "F31": "the same request many times at once: one debit, the same order in each answer",
    "F32": "one function's clock ten minutes wrong: nothing concluded early, the expiry unchanged, no message refused",
    "F33": "the order settles between a look and its inquiry: that inquiry is the last",
    "F34": "a deployment while executions are open: they end by the old definition with the new code",
    "F36": "a consumer of events that fails five times: its dead-letter queue holds the very event, nothing is lost",
    "F37": "the emulator and its tables killed amid the load: every order resolved after the restart",
    "F38": "the gateway dark for ten minutes with 1,000 orders open: each settled at its next scheduled inquiry",
    "F42": "a cancel refused for good: INIT, the polling goes on, the code is kept",
    "F44": "the publisher dies, the bus is busy, takes a part or never one: told at least once, equal to the byte",
}

LATER = {
    "F35": "a cancel that crosses a success: it ends as Alipay's ledger says",
    "F39": "a process that dies once the cancel is noted: the next look or the sweep sends it",
    "F40": "a cancel without an answer: repeated unchanged, CANCELLED once it is answered S, never SUCCESS meanwhile",
    "F41": "a success while the cancel is unanswered: acknowledged, kept; the cancel's answer decides",
    "F43": "ORDER_NOT_EXIST to everything, then a late success: FAIL after the close time, and a contradiction",
}
