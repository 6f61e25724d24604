/*
 * The design of autodebit as a model for SPIN: one payment, from its request to its result.
 *
 *     python -m tests.proof.model        checks every claim below, and refutes every twin
 *
 * What it contains. The order's row, and every process that writes it, step by step as in the code; Alipay, idempotent
 * by id; a channel that loses, repeats, delays and reorders; a table and a Step Functions whose answers get lost, with
 * or without having done as told; a crash after every effect; strangers who forge.
 *
 * How it is abstracted.
 * - A message once sent may arrive at any later time, any number of times, or never. So there are no queues: who
 *   listens hears what Alipay could have said by now, or nothing. Of a pay that arrives again Alipay makes nothing new.
 * - There is no clock. A `overdueAt` may pass as soon as it is set, an execution may be late, the sweep may act on what
 *   the index said long ago, a POST may call pay any number of times: more schedules than real time allows. Three facts
 *   of time are kept: a sender is taken over only once it has ended (SENDING_S); who can go on does so some day (weak
 *   fairness); the quarter of an hour before the alarm passes some day (Clock). Whether a replay repeats pay
 *   (`expires_at`, the same bytes) is left to chance.
 * - FAIL stands for CANCELLED too: both say that nothing was kept. Alipay's result, once final, stays.
 * - The F that answers the only call of an id is the payment's own; an F on a repeated call may be about that call
 *   alone, and whatever is unsigned or of another amount may be anybody's.
 *
 * Closing (only where CANCELS is above 0: the claims without it are about the design as it was before).
 * - A look may close at any time (the close time is one of them), and so may the merchant. Both note the cancel, send it, and act on its answer. Done by Alipay or refused, or not yet, the answer
 *   comes or does not. A cancel that nobody waits for any more may be done late, but not after the next one was sent.
 * - That a sender is taken over only once it has ended is a fact of time, as for pay.
 * - Success may be told at any time after it was once so: by a notification that is delivered again, by the answer of
 *   a pay. An inquiry says what is so when it is answered, and may be acted on any time later.
 * - With NEVER_PLACED: Alipay makes no payment of a pay that arrives after its expiry. Of a payment that is there,
 *   ABSENCES - 1 inquiries may say ORDER_NOT_EXIST (ABSENCES is 3 in the code, and 2 here).
 * - The execution that a cancel of the merchant's starts anew is one that the sweep starts: what noted the cancel left
 *   the order overdue. Two looks at once are as a look and a cancel of the merchant's at once.
 *
 * Bounds: POSTS for one payment (one and its replays), DELIVERIES of notifications, LOOKS in a polling round, SWEEPS at
 * once, CANCELS by the merchant, CRASHES anywhere, SLIPS (lost answers); as many polling rounds as these can cause.
 *
 * Safety, asserted where it could break:
 *   ONE_DEBIT        Alipay debits once.
 *   LEFT_ONCE        INIT is left once.
 *   ALIPAYS_RESULT   The result that is stored is Alipay's.
 *   ACK_IS_STORED    A result that is acknowledged to Alipay is in the table.
 *   KNOWS_ITS_WRITE  Who settled the order knows it, and nobody else believes so: its event goes out once.
 *   ONE_POLLS        At most one execution polls the order.
 *   KEPT             What Alipay gives back is not SUCCESS here, and what it debits is not FAIL or CANCELLED.
 * Liveness, weakly fair; each is checked when its name is defined:
 *   SETTLES          An order whose result Alipay knows is settled, or its schedule is spent and a person called. The
 *                    alarms of the quarter of an hour and of an execution that broke do not count here.
 *   NEVER_SILENT     Whatever Alipay does, and even if no execution ever starts (NO_START): an order is settled, or
 *                    alarmed, or noted as never sent, and that only if nothing ever left.
 *   CANCEL_ENDS      A cancel that is noted is sent, whoever died, unless the order ends otherwise.
 * Not claimed, for it does not hold:
 *   WATCHED_202      An order whose caller was told 202 is settled or alarmed. A replay that comes while the first POST
 *                    is still sending is told 202; if that POST then cannot connect, it answers 503, and nobody looks
 *                    at the order until its request comes again.
 *
 * A twin is the design with one bug, TWIN_...; each must be refuted, or the claims would say nothing.
 */

#ifndef POSTS
#define POSTS 2
#endif
#ifndef DELIVERIES
#define DELIVERIES 2
#endif
#ifndef LOOKS
#define LOOKS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef SWEEPS
#define SWEEPS 1
#endif
#ifndef SLIPS
#define SLIPS 1
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#define ABSENCES LOOKS
#define ROUNDS (CRASHES + SLIPS + POSTS + CANCELS + 1)

mtype = {
	NONE,                           /* no row; no payment */
	INIT, PROCESSING,               /* the order's open status; the payment's */
	SUCCESS, FAIL,
	OPEN, CONTRADICTION, UNKNOWN,   /* readings: `Undecided`, `Contradiction`; GatewayError, or refused */
	ABSENT, DUE, NEVER,             /* overdueAt */
	FRESH, RUNNING, ENDED           /* an execution */
};

/* Rounds after the alarm that the schedule is spent: one, or a sweep that is late for ever would open them for ever. */
#define MORE_ROUNDS(round) (round + 1 < ROUNDS && (!spent || round == 0))

#define FINAL(what) (what == SUCCESS || what == FAIL)

/* The row in the order table, `order_table.OrderItem`. */
mtype status = NONE;
byte attempt;                        /* token of the POST that may be sending pay */
bit neverSent;
bit watchShard;                      /* with overdueAt: the row is in the index of watched orders */
mtype overdueAt = ABSENT;
byte pollingRound;

#if CANCELS > 0
bit mark;                           /* cancelRequestedAt: noted, and not answered S or F */
bit doubt;                          /* an F answered a cancel, and an earlier one may have been done */
bit changed;                        /* cancelAttempt is another than the look has read */
byte sender;                        /* who is alive and may send a cancel: MERCHANT, LOOK, nobody */
byte wire;                          /* the cancel sent last */
bit unplaced;                       /* the order ends as one that Alipay has never had */
#ifdef NEVER_PLACED
bit expired;
byte absences;                      /* inquiries after the expiry that found nothing */
bit cancelAbsent;                   /* and so did the cancel */
byte unseen;                        /* inquiries that did not find the payment that is there */
#define EXPIRED expired
#else
#define EXPIRED false
#endif
#define NOBODY   0
#define MERCHANT 1
#define LOOK     2
#define NOTHING  0
#define UNDER_WAY 1
#define DONE     2
#define REFUSED  3
#define NOT_THERE 4
#endif

/* Alipay's ledger, by paymentRequestId. The second id is a twin's. */
mtype ledger[2] = NONE;
byte pays[2];                       /* how many may have been sent; 2 stands for more */
byte debits;

/* Step Functions: the execution of each round, and the round that is being polled, counted from 1. */
mtype execution[ROUNDS] = FRESH;
byte polled;

bit spent;                          /* alarm: PollingSpent, or an execution broke after its last look was noted */
bit tooLong;                        /* alarm: OrdersInitTooLong */
bit quarterOfAnHour;

byte delivery = 1;                  /* the next notification */
bit ended[POSTS + 1];               /* POSTs that answered or died: older than SENDING_S */
byte leftInit;                      /* how often INIT was left */
byte crashes, slips;                /* used up of the bounds */
hidden byte applied, won, fault;    /* of a write: whether it changed the row, says so, is known to have failed */

/* The safety claims. One that is defined as 1 from outside is left out. */
#ifndef ONE_DEBIT
#define ONE_DEBIT        (debits <= 1)
#endif
#ifndef LEFT_ONCE
#define LEFT_ONCE        (leftInit <= 1)
#endif
#if CANCELS > 0
#define SAME             (status == ledger[0] || (unplaced && status == FAIL && ledger[0] == NONE))
#else
#define SAME             (status == ledger[0])
#endif
#ifndef ALIPAYS_RESULT
#define ALIPAYS_RESULT   SAME
#endif
#ifndef KEPT
#define KEPT             (!FINAL(status) || SAME)
#endif
#ifndef ACK_IS_STORED
#define ACK_IS_STORED    (FINAL(status))
#endif
#ifndef KNOWS_ITS_WRITE
#define KNOWS_ITS_WRITE  (won == applied)
#endif
#ifndef ONE_POLLS
#define ONE_POLLS        (polled == 0)
#endif
#ifndef ENOUGH_ROUNDS               /* of the model: its bound cuts off nothing but rounds after the alarm */
#define ENOUGH_ROUNDS    (spent)
#endif

/* Which paymentRequestId a POST pays under: a twin has a second one. */
#ifdef TWIN_REPLAY_UNDER_A_NEW_ID
#define ID id
#else
#define ID 0
#endif

/* The POST is answered with 202 if the order is INIT. */
#ifdef WATCHED_202
bit told;
#define TELL_202 if :: status == INIT -> told = 1 :: else fi
#else
#define TELL_202 skip
#endif

/* The process dies after the effect just had. */
#define MAY_CRASH  if :: true :: crashes < CRASHES -> crashes++; goto crashed fi
/* The table or Step Functions did not answer, twice; TableFault, PollingFault. */
#define SLIP       slips < SLIPS -> slips++

#if CANCELS > 0
/* What a success needs besides INIT: no cancel stands unanswered; in doubt, only an inquiry counts, and only one that was
   asked since the last cancel was noted. `fresh` says that it is an inquiry. */
#if defined(TWIN_SUCCESS_BELIEVED_WHILE_CANCELLING)
#define MAY_BE(result, fresh) (!doubt || (fresh && !changed) || result != SUCCESS)
#elif defined(TWIN_F_OF_A_REPEATED_CANCEL_BELIEVED)
#define MAY_BE(result, fresh) (result != SUCCESS || !mark)
#elif defined(TWIN_INQUIRY_OLDER_THAN_THE_CANCEL_BELIEVED)
#define MAY_BE(result, fresh) (result != SUCCESS || (!mark && (!doubt || fresh)))
#else
#define MAY_BE(result, fresh) (result != SUCCESS || (!mark && (!doubt || (fresh && !changed))))
#endif
#define CROSSED               (status == INIT && fault == 2)
#else
#define MAY_BE(result, fresh) true
#endif

/* `OrderTable.settle`: one write on status = INIT, under a token. The answer may be lost (`won` is then told by the
   stored token), or table and answer both (fault); what the SDK repeats is refused, for nothing returns to INIT. A success
   that crosses a cancel is kept with the order and settles nothing (fault is 2). */
inline settle(result, fresh)
{
	won = 0; fault = 0; applied = 0;
	if
#ifdef TWIN_NO_GUARD
	:: true ->
#else
	:: status == INIT && MAY_BE(result, fresh) ->
#endif
		status = result; applied = 1; watchShard = 0; overdueAt = ABSENT;
		attempt = 0; neverSent = 0; pollingRound = 0;   /* nobody reads them any more */
		leftInit++;
		assert(LEFT_ONCE);
		assert(ALIPAYS_RESULT);
		if
		:: won = 1
#ifdef TWIN_OWN_WRITE_TAKEN_FOR_ANOTHERS
		:: SLIP
#else
		:: SLIP; won = applied                      /* `settleToken` */
#endif
		:: SLIP; fault = 1
		fi
#ifndef TWIN_NO_GUARD
	:: status != INIT
#endif
#if CANCELS > 0
	:: status == INIT && !MAY_BE(result, fresh) -> fault = 2
#endif
	:: SLIP; fault = 1
	fi;
	assert(fault || KNOWS_ITS_WRITE)
}

/* `PollingMachine.start`: a second start of a round finds the first, and does nothing if that has ended. */
inline start(round)
{
	if
	:: execution[round] == FRESH ->
		assert(ONE_POLLS);
		execution[round] = RUNNING; polled = round + 1
	:: else
	fi
}

/* POST /payments, `payment.initiate`: "Takes one payment as far as it goes within one POST." */
proctype Post(byte me)
{
	byte round, seen;
#ifdef TWIN_REPLAY_UNDER_A_NEW_ID
	byte id;
#endif
	bit first;                      /* `first_call`: no earlier pay of this order is unaccounted for */
	mtype reading;

end:
	atomic {
		me == 1 || status != NONE;  /* whichever is first is called 1; a replay may come at any time, or not */
		if
		:: true
		:: me > 1 -> goto over
		fi
	};

	/* `OrderTable.create`: INIT is stored with its overdueAt before anything is sent, or what stands there is read.
	   Here and in both takeovers: an answer that is lost is made up for by `attempt`; lost for good, it is a crash. */
	atomic {
		if
		:: status == NONE ->
			status = INIT; attempt = me; first = 1;
#ifndef TWIN_NOT_OVERDUE_WHEN_CREATED
			watchShard = 1; overdueAt = DUE;
#endif
			MAY_CRASH;
			goto pay
		:: FINAL(status) -> goto over
		:: status == INIT && neverSent -> seen = attempt; goto take_over_never_sent
		:: status == INIT && !neverSent -> TELL_202; goto over     /* it is being sent, or has expired */
#if defined(TWIN_REPLAY_UNDER_A_NEW_ID)
		:: status == INIT && !neverSent && ended[attempt] -> id = 1; goto pay
#elif defined(TWIN_REPLAY_WITHOUT_A_CLAIM)
		:: status == INIT && !neverSent -> goto pay
#elif defined(TWIN_TAKEN_OVER_WHILE_SENDING)
		:: status == INIT && !neverSent -> seen = attempt
#else
		:: status == INIT && !neverSent && ended[attempt] -> seen = attempt  /* `_repeat`: its sender is dead */
#endif
		fi
	};

	/* `OrderTable.take_over_sending`: the replay that is first repeats pay, and no F will settle by its answer. */
	atomic {
		if
		:: status == INIT && attempt == seen && !neverSent ->
			attempt = me; round = pollingRound;
			MAY_CRASH;
			goto pay
		:: else -> TELL_202; goto over
		fi
	};

take_over_never_sent:
	/* `OrderTable.take_over_never_sent`: nothing ever left, so the replay that is first starts afresh. */
	atomic {
		if
#ifdef TWIN_UNSENT_TAKEN_OVER_TWICE
		:: status == INIT ->
#else
		:: status == INIT && attempt == seen && neverSent ->
#endif
			attempt = me; neverSent = 0; first = 1; round = pollingRound;
#ifndef TWIN_NOT_OVERDUE_WHEN_TAKEN_OVER
			watchShard = 1; overdueAt = DUE;
#endif
			spent = 0; tooLong = 0;                 /* an alarm from before does not count for what comes */
#ifdef NEVER_PLACED
			expired = 0;                            /* it has another expiry */
#ifndef TWIN_ABSENCES_OUTLIVE_A_TAKEOVER
			absences = 0; cancelAbsent = 0;
#endif
#endif
			MAY_CRASH;
			goto pay
		:: else -> TELL_202; goto over
		fi
	};

pay:
	/* `_pay`: "called up to three times while it says nothing" (here: as often as it likes). NotSent only if no byte of
	   any call left. */
	atomic {
		if
		:: first -> seen = 0; goto unsent_pay       /* NotSent: refused connection, no credentials, certificate */
		:: !first -> seen = 0; goto poll            /* enough; or no time left */
		:: true ->                                  /* it is on the wire */
			seen = 0;
			if :: pays[ID] < 2 -> pays[ID]++ :: else fi;
			MAY_CRASH
		fi
	};
	atomic {
		/* The transport and `outcome.read_pay`: what may come back. */
		if
		:: reading = UNKNOWN                        /* nothing in time, not 200, unreadable, another's key */
		:: reading = OPEN                           /* U; or F: REPEAT_REQ_INCONSISTENT, ORDER_IS_CLOSED */
		:: ledger[ID] == SUCCESS -> reading = SUCCESS
#if CANCELS > 0
		:: debits > 0 -> reading = SUCCESS          /* it was so when pay was first answered */
#endif
		:: (ledger[ID] == FAIL || pays[ID] > 1) ->  /* F: the payment's, or that of a repeated call alone */
			reading = (first -> FAIL : OPEN)
		:: reading = CONTRADICTION                  /* signed S, another amount, currency or id */
#ifdef TWIN_UNSIGNED_F_BELIEVED
		:: reading = FAIL
#endif
#ifdef TWIN_UNSIGNED_S_BELIEVED
		:: reading = SUCCESS
#endif
		fi;
#ifdef TWIN_AMOUNT_NOT_COMPARED
		if :: reading == CONTRADICTION -> reading = SUCCESS :: else fi;
#endif
#ifdef TWIN_CONTRADICTION_SETTLES
		if :: reading == CONTRADICTION -> reading = FAIL :: else fi;
#endif
		if
		:: reading == UNKNOWN ->
#ifdef TWIN_UNSENT_ALTHOUGH_IT_MAY_HAVE_LEFT
			reading = 0; goto unsent_pay;
#endif
#ifndef TWIN_F_OF_A_REPEATED_PAY_BELIEVED
			first = 0;
#endif
			reading = 0;
			goto pay
		:: FINAL(reading)
		:: else -> reading = 0; goto poll
		fi
	};

	/* `settle`; a fault is passed over: "the polling will hear it again". */
	atomic {
		settle(reading, false);
		reading = 0;
		MAY_CRASH;
		if :: !fault -> goto over :: else fi
	};

poll:
	/* `_poll`; if the start fails, "the sweep does it". */
	atomic {
		if
#ifndef NO_START
		:: start(round)                             /* whether or not the answer comes */
#endif
		:: true                                     /* PollingFault, and not started */
		fi;
		TELL_202;
		goto over
	};

unsent_pay:
	/* `OrderTable.note_never_sent`: if this attempt is still the order's sender. If the answer is lost the SDK repeats the
	   write, which may then find that a replay has taken over. */
	atomic {
		if
#if defined(TWIN_UNSENT_NOTED_FOR_ANOTHER)
		:: status == INIT ->
#elif CANCELS > 0 && !defined(TWIN_NEVER_SENT_NOTED_OVER_A_CANCEL)
		:: status == INIT && attempt == me && !mark ->      /* whoever looks for the cancel must find the order */
#else
		:: status == INIT && attempt == me ->
#endif
			neverSent = 1; watchShard = 0; overdueAt = ABSENT;
			MAY_CRASH;
			if
			:: true
			:: SLIP; goto unsent_pay
			fi
		:: else -> TELL_202
		:: SLIP                                     /* not noted: the sweep finds the order */
		fi
	};

	atomic {
		skip;
crashed:
over:	ended[me] = 1; round = 0; seen = 0; first = 0; reading = 0
	}
}

/* POST /notifications/payment, `payment.receive`: one delivery. */
proctype Notify(byte me)
{
	mtype reading;

	/* The message, and the order as it stands. */
end:
	atomic {
		status != NONE && me == delivery;
		delivery++;                                 /* whichever is first is called 1 */
		if
		:: goto over                                /* lost; or forged, 401; or of another amount, 409 */
		:: FINAL(ledger[0]) -> reading = ledger[0]
#if CANCELS > 0
		:: debits > 0 -> reading = SUCCESS          /* sent before the cancel, and delivered now */
#endif
		:: ledger[0] != NONE -> goto over           /* PAYMENT_PENDING, U: acknowledged, no effect */
#ifdef TWIN_FORGED_NOTIFICATION_BELIEVED
		:: reading = SUCCESS
#endif
#ifdef TWIN_AMOUNT_NOT_COMPARED
		:: reading = SUCCESS
#endif
#ifdef TWIN_CONTRADICTION_SETTLES
		:: reading = FAIL
#endif
#ifdef TWIN_PENDING_SETTLES
		:: ledger[0] == PROCESSING -> reading = SUCCESS
#endif
		fi;
		if
		:: status == INIT
		:: else -> goto acknowledge
		fi;
#ifdef TWIN_ACKNOWLEDGED_BEFORE_THE_WRITE
		assert(ACK_IS_STORED)
#endif
	};
	atomic {
		settle(reading, false);
		MAY_CRASH;
#ifdef TWIN_FAULT_ACKNOWLEDGED
		goto acknowledge;
#endif
		if
		:: fault -> goto over                       /* kept as crossed; or 5xx: "Alipay delivers again", in another delivery */
		:: else -> goto acknowledge
		fi
	};

	atomic {
		skip;
acknowledge:
		assert(ACK_IS_STORED);
crashed:
over:	reading = 0
	}
}

#if CANCELS > 0
/* The cancel is noted, conditionally on nobody being alive who sends one; `first`: no earlier one is unaccounted for. It
   makes the order overdue again, should its schedule be spent. */
inline note_cancel(who)
{
	first = !mark; mark = 1; sender = who; changed = 1; watchShard = 1; overdueAt = DUE;
	spent = 0                                       /* an alarm from before does not count for what comes */
}

#ifdef TWIN_TAKEN_OVER_WHILE_CANCELLING
#define MAY_CANCEL (status == INIT)
#else
#define MAY_CANCEL (status == INIT && sender == NOBODY)
#endif

/* Only who noted it last takes the mark away; of a repetition's F there remains a doubt. */
inline refused(who)
{
	if
	:: status == INIT && sender == who ->
		mark = 0;
		if :: !first -> doubt = 1 :: else fi;
#ifdef NEVER_PLACED
		if :: wire == NOT_THERE && expired -> cancelAbsent = 1 :: else fi;
#endif
		wire = NOTHING
	:: status == INIT && sender == who && slips < SLIPS -> slips++      /* it stays: nothing was stored */
	:: status != INIT || sender != who
	fi
}

/* POST /payments/{paymentRequestId}/cancel, `payment.cancel`. */
proctype Cancel()
{
	bit first;

end:
	atomic {
		status != NONE;
		if
		:: goto over                                /* nobody asks for it */
		:: FINAL(status) -> goto over
		:: status == INIT && neverSent
		:: status == INIT && !neverSent -> goto note
		fi
	};
	/* Nothing ever left: no call is needed. */
	atomic {
		if
#ifdef TWIN_NEVER_SENT_NOT_ASKED_AGAIN
		:: status == INIT ->
#else
		:: status == INIT && neverSent ->
#endif
			unplaced = 1; settle(FAIL, true); unplaced = applied
		:: else
		fi;
		goto over
	};

note:
	atomic {
		if
#ifdef TWIN_MARK_AFTER_THE_CALL
		:: true -> sender = MERCHANT
#else
		:: MAY_CANCEL -> note_cancel(MERCHANT); MAY_CRASH
		:: !MAY_CANCEL -> goto over                 /* 202: somebody else sends it; or final */
		:: SLIP; goto over                          /* 503: nothing was noted */
#endif
		fi
	};
	atomic { wire = UNDER_WAY; MAY_CRASH };
	atomic {
		if
		:: wire == DONE -> goto done
		:: wire == REFUSED || wire == NOT_THERE -> refused(MERCHANT)
		:: true                                     /* no answer, U, unsigned: the looks go on */
#ifdef TWIN_CANCELLED_ON_SILENCE
		:: wire == UNDER_WAY -> goto done
#endif
		fi;
#ifdef TWIN_MARK_AFTER_THE_CALL
		if :: status == INIT && wire == UNDER_WAY -> note_cancel(MERCHANT) :: else fi;
#endif
		goto over
	};
done:
	atomic { settle(FAIL, true); skip };
	atomic {
		skip;
crashed:
over:	if :: sender == MERCHANT -> sender = NOBODY :: else fi;
		first = 0
	}
}
#endif

/* The execution that polls (`functions/polling.asl.json`) and its looks (`payment.inquire`): LOOKS of them. */
active proctype Polling()
{
	byte look;
	mtype reading;
#if CANCELS > 0
	bit first, absent;
#endif

end:
	do
	:: atomic { polled > 0 -> look = 0 };
again:
		/* "The order first, and only if it is INIT, Alipay's inquiryPayment." */
		atomic {
			if
			:: status != INIT -> goto over
			:: else
			fi;
#if CANCELS > 0
#ifdef TWIN_ASKED_WHILE_A_CANCEL_WAS_UNANSWERED
			changed = 0;
#else
			changed = mark;         /* as the row is read before asking: `cancelAttempt`, and nothing unanswered */
#endif
			absent = 0;
#endif
			if
			:: reading = OPEN       /* no answer, not believed, F or U of the call, PROCESSING, other amount */
			:: FINAL(ledger[0]) -> reading = ledger[0]
#ifdef NEVER_PLACED
#ifdef TWIN_ABSENCE_BEFORE_THE_EXPIRY_COUNTS
			:: ledger[0] == NONE -> reading = OPEN; absent = 1
#else
			:: ledger[0] == NONE && expired -> reading = OPEN; absent = 1
#endif
			:: ledger[0] != NONE && expired && unseen + 1 < ABSENCES -> unseen++; reading = OPEN; absent = 1
#endif
#ifdef TWIN_ORDER_NOT_EXIST_FAILS
			:: ledger[0] == NONE -> reading = FAIL
#endif
#ifdef TWIN_AMOUNT_NOT_COMPARED
			:: reading = SUCCESS
#endif
#ifdef TWIN_CONTRADICTION_SETTLES
			:: reading = FAIL
#endif
			fi
		};
		if
		:: atomic {
				FINAL(reading) -> settle(reading, true);
				if
				:: fault == 1 -> goto crashed       /* States.ALL */
				:: fault == 2 -> reading = OPEN     /* kept as crossed: the cancel decides */
				:: fault == 0 -> MAY_CRASH; goto over
				fi
			}
		:: atomic {
				!FINAL(reading) ->
				/* `OrderTable.note_inquiry`: "by when somebody will have looked again", or NEVER after the last look. */
				if
				:: status == INIT ->
					overdueAt = (look + 1 < LOOKS -> DUE : NEVER);
#ifdef NEVER_PLACED
					if :: absent && absences < ABSENCES -> absences++ :: else fi;
#endif
					MAY_CRASH
				:: status != INIT -> goto over
				:: SLIP; goto crashed
				fi;
#if CANCELS == 0
				goto next
#endif
			}
		fi;
#if CANCELS > 0
		/* `payment.cancel`: a cancel that is noted is sent again; and at the close time one is. */
		atomic {
			if
			:: status != INIT -> goto over
#ifdef TWIN_NOTED_CANCEL_FORGOTTEN
			:: status == INIT && mark -> goto next
#else
			:: status == INIT && mark
#endif
#ifdef NEVER_PLACED
			:: status == INIT && !mark && expired
#else
			:: status == INIT && !mark
#endif
			:: status == INIT && !mark -> goto next     /* the close time has not come */
			fi;
			if
			:: MAY_CANCEL -> note_cancel(LOOK); MAY_CRASH
			:: !MAY_CANCEL -> goto next
			:: SLIP; goto crashed
			fi
		};
		atomic { wire = UNDER_WAY; MAY_CRASH };
		atomic {
			if
			:: wire == DONE -> settle(FAIL, true); if :: fault -> goto crashed :: else -> goto over fi
			:: wire == REFUSED || wire == NOT_THERE -> refused(LOOK)
			:: true
			fi;
			if :: sender == LOOK -> sender = NOBODY :: else fi;
			first = 0;
			MAY_CRASH
		};
#ifdef NEVER_PLACED
		atomic {
			if
#ifdef TWIN_ONE_ABSENCE_IS_ENOUGH
			:: absences > 0 && cancelAbsent ->
#else
			:: absences == ABSENCES && cancelAbsent ->
#endif
				unplaced = 1; settle(FAIL, true); unplaced = applied;
				if :: fault -> goto crashed :: else -> goto over fi
			:: else
			fi
		};
#endif
#endif
		atomic {
			skip;
next:
			look++; reading = 0;
			if
			:: look < LOOKS -> goto again
			:: else
			fi
		};
		/* PollingSpent: "the order is INIT: a person takes over". */
#ifdef TWIN_FAILED_ON_EXHAUSTION
		atomic { settle(FAIL, true) };
#endif
#ifdef TWIN_SPENT_WITHOUT_ALARM
		atomic { goto over };
#endif
		atomic { spent = 1; goto over };

crashed:	/* The state machine repeats the look, or gives up (InquiryBroken), which is alarmed. That alarm counts here
		   only if the sweep will not resume. */
		atomic {
#if CANCELS > 0
			if :: sender == LOOK -> sender = NOBODY :: else fi;
			first = 0;
#endif
			if
			:: reading = 0; goto again
			:: if :: overdueAt == NEVER -> spent = 1 :: else fi; goto over
			fi
		};
		atomic {
			skip;
over:		execution[polled - 1] = ENDED; polled = 0; look = 0; reading = 0;
#if CANCELS > 0
			if :: sender == LOOK -> sender = NOBODY :: else fi;
			first = 0; absent = 0
#endif
		}
	od
}

#ifdef TWIN_NO_SWEEP
#define OVERDUE false
#else
#define OVERDUE (watchShard && overdueAt == DUE && status == INIT)
#endif

/* `sweep`, every minute: "have every order polled that nobody looked at in time". */
active [SWEEPS] proctype Sweep()
{
	byte round;

end:
	do
	:: atomic { OVERDUE -> round = pollingRound };      /* `OrderTable.overdue`: from the index, maybe long ago */
		/* `_have_polled`: start; if the round's name is used up, see whether it still runs. */
		atomic {
			if
#ifdef TWIN_SWEEP_DOES_NOT_ASK_WHETHER_IT_RUNS
			:: execution[round] != FRESH -> goto start_round
#elif !defined(TWIN_SWEEP_SKIPS_ENDED_EXECUTIONS)
			:: execution[round] == ENDED -> goto start_round
#endif
#ifdef NO_START
			:: goto count
#else
			:: execution[round] != ENDED -> start(round); MAY_CRASH
			:: SLIP; start(round); goto count       /* started, the answer lost: PollingFault ends the run */
			:: SLIP; goto count
#endif
#ifdef TWIN_SWEEP_SKIPS_ENDED_EXECUTIONS
			:: execution[round] == ENDED
#endif
			fi
		};
		/* `OrderTable.note_watched`. */
		atomic {
			if :: status == INIT -> overdueAt = DUE; MAY_CRASH :: else fi;
			goto count
		};
start_round:
		/* `OrderTable.start_round`: once, and only then is the next round started. */
		atomic {
			if
			:: status == INIT && pollingRound == round && MORE_ROUNDS(round) ->
				round++;
				pollingRound = round; overdueAt = DUE;
				MAY_CRASH;
				if :: true :: SLIP; goto count fi   /* won, though not known so: the next run starts it */
			:: status == INIT && pollingRound == round && !MORE_ROUNDS(round) ->
				assert(ENOUGH_ROUNDS);
				goto count
			:: status != INIT || pollingRound != round -> goto count
			fi
		};
		atomic {
#ifndef NO_START
			start(round); MAY_CRASH;
#endif
			goto count
		};
#ifdef NEVER_SILENT
	:: !OVERDUE -> goto count
#endif
		/* `init_since`, whatever became of the taking on. */
		atomic {
			skip;
crashed:
count:
#if defined(NEVER_SILENT) && !defined(TWIN_NO_COUNT)
			if :: quarterOfAnHour && watchShard && overdueAt != ABSENT && status == INIT -> tooLong = 1 :: else fi;
#endif
			round = 0
		}
	od
}

/* Alipay: the first pay of an id makes a payment, any later one none; it gets its result, or never one. */
active proctype Alipay()
{
end:
	do
#if CANCELS > 0
	:: atomic { pays[0] > 0 && ledger[0] == NONE && !EXPIRED -> ledger[0] = PROCESSING; assert(KEPT) }
#ifdef NEVER_PLACED
	:: atomic { status != NONE && !expired -> expired = 1 }
#endif
	:: atomic {
			wire == UNDER_WAY ->
			if
			:: ledger[0] == NONE -> wire = NOT_THERE
			:: ledger[0] != NONE -> wire = REFUSED      /* the window, the wallet, a code of the transport */
			:: ledger[0] != NONE -> wire = DONE; ledger[0] = FAIL; assert(KEPT)
			fi
		}
#else
	:: atomic { pays[0] > 0 && ledger[0] == NONE -> ledger[0] = PROCESSING }
#endif
	:: atomic { ledger[0] == PROCESSING -> ledger[0] = SUCCESS; debits++; assert(ONE_DEBIT && KEPT) }
	:: atomic { ledger[0] == PROCESSING -> ledger[0] = FAIL }
#ifdef TWIN_REPLAY_UNDER_A_NEW_ID
	:: atomic { pays[1] > 0 && ledger[1] == NONE -> ledger[1] = SUCCESS; debits++; assert(ONE_DEBIT) }
#endif
#ifdef NEVER_SILENT
	:: !FINAL(ledger[0])                            /* it takes its time, if need be for ever */
#endif
	od
}

#ifdef NEVER_SILENT
/* A quarter of an hour passes. */
active proctype Clock()
{
end:
	status != NONE -> quarterOfAnHour = 1
}
#endif

init {
	atomic {
		byte one = 1;
		do
		:: one <= POSTS -> run Post(one); one++
		:: else -> break
		od;
		one = 1;
		do
		:: one <= DELIVERIES -> run Notify(one); one++
		:: else -> break
		od;
#if CANCELS > 0
		run Cancel();
#endif
		one = 0
	}
}

#ifdef SETTLES
ltl settles { [] (FINAL(ledger[0]) -> <> (FINAL(status) || spent)) }
#endif
#ifdef NEVER_SILENT
ltl never_silent { [] (status == INIT -> <> (FINAL(status) || spent || tooLong || (neverSent && pays[0] == 0))) }
#endif
#ifdef WATCHED_202
ltl watched_202 { [] (told -> <> (FINAL(status) || spent)) }
#endif
#ifdef CANCEL_ENDS
#define CUT_OFF (spent && !MORE_ROUNDS(pollingRound))     /* by the bound of the model; a person is called */
ltl cancel_ends { [] ((mark && status == INIT) -> <> (!mark || FINAL(status) || wire != NOTHING || CUT_OFF)) }
#endif
