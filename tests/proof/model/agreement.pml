/*
 * Linking as a model for SPIN: one agreement, from its authCode to its end.
 *
 *     python -m tests.proof.model        checks every claim below, and refutes every twin
 *
 * What it contains. The agreement's row, and every process that writes it, step by step as in the code; Alipay, which
 * answers a repeated exchange with the same token, with another, or with INVALID_AUTHCODE (AGAIN); answers that are lost
 * with or without the call being done; a call that is done late; a crash after every effect.
 *
 * How it is abstracted.
 * - A conditional write is one step. There is no clock: an attempt is taken over only once its process has ended
 *   (ATTEMPT_S), the code's minute passes at some time (`over`), and so does a token's `overdueAt`.
 * - Tokens are versions: a refresh brings the next one, and the one before it dies at once.
 * - The sweep is an execution that starts whenever the row is watched; LOOKS of them, one after the other or at once.
 * - A refresh whose answer is lost is repeated with the same refresh token and brings the same tokens; so it is modelled
 *   as one that is answered. Not claimed: that a revocation ends a token that such a refresh brought and nobody heard of.
 *
 * Safety, asserted where it could break:
 *   ONE_AT_A_TIME    At most one exchange is under way.
 *   END_IS_THE_END   UNLINKED and FAILED are never left, LINKED never for AUTHORIZING.
 *   HAS_A_TOKEN      What is LINKED has a token that Alipay issued.
 *   FAILED_IS_TRUE   FAILED without "perhaps linked" means that Alipay issued no token for it.
 *   REVOKED_IS_TRUE  UNLINKED by a revocation means that no token of it lives.
 *   ENDED_IS_TRUE    UNLINKED by a dead token or by a cancel means that no newer token lives.
 *   NOTHING_SENT     A payment that reads the row once the revocation is noted is not sent.
 *   ACK_IS_STORED    A code that is acknowledged is in the row, or the row has no use for it.
 * Not modelled: that somebody looks at all. The tests of the sweep show it on the deployed stack.
 *
 * A twin is the design with one bug, TWIN_...; each must be refuted, or the claims would say nothing.
 */

#ifndef LOOKERS
#define LOOKERS 2
#endif
#ifndef LOOKS
#define LOOKS 2
#endif
#ifndef CODES
#define CODES 2
#endif
#ifndef PAYS
#define PAYS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 2
#endif

/* A claim whose name is defined as 1 is left out. */
#ifndef ONE_AT_A_TIME
#define ONE_AT_A_TIME 0
#endif
#ifndef END_IS_THE_END
#define END_IS_THE_END 0
#endif
#ifndef HAS_A_TOKEN
#define HAS_A_TOKEN 0
#endif
#ifndef FAILED_IS_TRUE
#define FAILED_IS_TRUE 0
#endif
#ifndef REVOKED_IS_TRUE
#define REVOKED_IS_TRUE 0
#endif
#ifndef ENDED_IS_TRUE
#define ENDED_IS_TRUE 0
#endif
#ifndef NOTHING_SENT
#define NOTHING_SENT 0
#endif
#ifndef ACK_IS_STORED
#define ACK_IS_STORED 0
#endif
#define CLAIM(left_out, fact) assert(left_out || (fact))

mtype = { AUTHORIZING, LINKED, UNLINKING, UNLINKED, FAILED, SAME, ANOTHER, SPENT, S, F, NOTHING };

/* The row. With ENDS it is LINKED, and the ways to its end are checked; without, the way to its link. */
#ifdef ENDS
mtype status = LINKED;
byte token = 1;                      /* the version that is kept; 0 for none */
byte issued = 1;                     /* versions issued so far; the newest is the one that lives */
bit spent = 1;                       /* the code was exchanged, or refused */
#else
mtype status = AUTHORIZING;
byte token;
byte issued;
bit spent;
#endif
bit code;                            /* an authCode is stored */
bit watched;                         /* the sweep finds it */
byte attempt;                        /* whose call is under way: a process's number, 0 for nobody's */
byte unaccounted;                    /* calls of applyToken that may have been done and were not answered */
bit perhaps;

/* Alipay. */
mtype again;                         /* what a repeated exchange is answered */
bit dead;                            /* the authorization is over */
byte late;                           /* exchanges that were sent and may be done at any later time */
#define LIVES (issued > 0 && !dead)

/* The world. */
bit over;                            /* the code's minute has passed */
byte exchanging;                     /* exchanges under way */
bit alive[8];                        /* the process of this number has not ended */
byte crashes = CRASHES, losses = LOSSES;

inline enter(to) {
	CLAIM(END_IS_THE_END, status != UNLINKED && status != FAILED && to != AUTHORIZING);
	status = to
}

/* What Alipay does with an exchange, and what it would answer. */
inline exchange(answer) {
	if
	:: dead -> answer = F
	:: !dead && !spent -> spent = 1; issued++; answer = S
	:: !dead && !spent -> spent = 1; answer = F       /* it is refused, and nothing issued */
	:: !dead && spent && issued == 0 -> answer = F
	:: !dead && spent && issued > 0 && again == SAME -> answer = S
	:: !dead && spent && issued > 0 && again == ANOTHER && issued < 3 -> issued++; answer = S
	:: !dead && spent && issued > 0 && again == ANOTHER && issued == 3 -> answer = S
	:: !dead && spent && issued > 0 && again == SPENT -> answer = F
	fi
}

active proctype Chance() {
	if :: again = SAME :: again = ANOTHER :: again = SPENT fi;
	over = 1
}

/* A call that nobody waits for any more arrives all the same. */
#ifndef ENDS
active proctype Late() {
	mtype ignored;
end:	do
	:: atomic { late > 0 -> late--; if :: dead || spent -> skip :: !dead && !spent -> exchange(ignored) fi }
	od
}
#endif

/* notifyAuthorization: the code, again or another one. */
#ifndef ENDS
active [CODES] proctype Notify() {
	bit lost;
	atomic {
		if
		:: crashes > 0 -> crashes--; lost = 1        /* dead before the write: delivered again, too late */
		:: true
		fi
	}
#ifdef TWIN_CODE_ACKNOWLEDGED_BEFORE_THE_WRITE
	CLAIM(ACK_IS_STORED, !lost);
#endif
	atomic {
		if
		:: !lost && status == AUTHORIZING && !code -> code = 1; watched = 1
		:: else
		fi
	}
	if
	:: !lost -> CLAIM(ACK_IS_STORED, code || status != AUTHORIZING)
	:: lost
	fi
}
#endif

/* An execution: looks, and acts on what it sees. */
active [LOOKERS] proctype Look() {
	byte looks, before, seen;
	mtype said;
	bit mine;
	byte me = _pid + 1;
	do
	:: atomic { (looks < LOOKS && (code || status == UNLINKING)) -> looks++; alive[me] = 1 };
		if
		:: status == AUTHORIZING && code ->
			/* The exchange. */
			atomic {
				before = unaccounted; seen = attempt; mine = 0;
				if
#ifdef TWIN_TAKEN_OVER_WHILE_CALLING
				:: true
#else
				:: seen == 0 || !alive[seen]
#endif
					-> mine = 1
				:: else
				fi
			};
			if
			:: mine && over && looks > 1 ->
				/* Too late for a call: it failed. */
				atomic {
					if
					:: status == AUTHORIZING && (attempt == 0 || !alive[attempt]) ->
						enter(FAILED); watched = 0; code = 0;
#ifdef TWIN_SILENCE_IS_NO_TRACE
						perhaps = 0;
#else
						perhaps = (unaccounted > 0);
#endif
						CLAIM(FAILED_IS_TRUE, perhaps || (issued == 0 && late == 0))
					:: else
					fi
				}
			:: mine && !(over && looks > 1) ->
				atomic {
					if
#ifdef TWIN_NO_LOCK
					:: status == AUTHORIZING ->
#else
					:: status == AUTHORIZING && attempt == seen && unaccounted == before ->
#endif
						attempt = me;
#ifndef TWIN_COUNTED_AFTER_THE_CALL
						unaccounted = before + 1;
#endif
						exchanging++;
						CLAIM(ONE_AT_A_TIME, exchanging == 1)
					:: else -> mine = 0
					fi
				};
				if
				:: mine ->
					/* The call. */
					atomic {
						if
						:: exchange(said)
						:: losses > 0 -> losses--; exchange(said); said = NOTHING
						:: losses > 0 -> losses--; late++; said = NOTHING
						fi
					};
					if
					:: atomic { crashes > 0 -> crashes--; exchanging--; alive[me] = 0; mine = 0 }
					:: true
					fi;
					if
					:: mine && said == S ->
						atomic {
							exchanging--;
							if
							:: status == AUTHORIZING ->
								enter(LINKED); token = issued; attempt = 0; code = 0; watched = 0;
								CLAIM(HAS_A_TOKEN, token > 0)
							:: else -> if :: attempt == me -> attempt = 0 :: else fi
							fi
						}
					:: mine && said == F ->
						atomic {
							exchanging--;
							if
							:: status == AUTHORIZING ->
								enter(FAILED); attempt = 0; code = 0; watched = 0;
#ifdef TWIN_F_AFTER_A_LOST_CALL_IS_PLAIN
								perhaps = 0;
#else
								perhaps = (before > 0);
#endif
								CLAIM(FAILED_IS_TRUE, perhaps || (issued == 0 && late == 0))
							:: else -> if :: attempt == me -> attempt = 0 :: else fi
							fi
						}
					:: mine && said == NOTHING ->
						atomic {
							exchanging--;
							if
							:: attempt == me -> attempt = 0;
#ifdef TWIN_COUNTED_AFTER_THE_CALL
								unaccounted = before + 1
#endif
							:: else
							fi
						}
					:: !mine
					fi
				:: !mine
				fi
			:: !mine
			fi
		:: status == UNLINKING ->
			/* The revocation. */
			atomic {
				seen = attempt; mine = 0;
				if
#ifdef TWIN_REVOKED_WHILE_REFRESHING
				:: status == UNLINKING -> attempt = me; mine = 1
#else
				:: status == UNLINKING && (seen == 0 || !alive[seen]) -> attempt = me; mine = 1
#endif
				:: else
				fi;
				before = token
			};
			if
			:: mine ->
				atomic {
					if
					:: if
						:: before == issued -> dead = 1
						:: else /* INVALID_ACCESS_TOKEN: gone */
						fi;
						said = S
					:: losses > 0 -> losses--; said = NOTHING
					fi
				};
				if
				:: atomic { crashes > 0 -> crashes--; alive[me] = 0; mine = 0 }
				:: true
				fi;
				atomic {
					if
#ifdef TWIN_SILENCE_REVOKES
					:: mine && status == UNLINKING ->
#else
					:: mine && said == S && status == UNLINKING && token == before ->
#endif
						enter(UNLINKED); token = 0; attempt = 0; watched = 0;
						CLAIM(REVOKED_IS_TRUE, !LIVES)
					:: mine && !(said == S && status == UNLINKING && token == before) ->
						if :: attempt == me -> attempt = 0 :: else fi
					:: !mine
					fi
				}
			:: !mine
			fi
		:: else
		fi;
		atomic { alive[me] = 0; before = 0; seen = 0; mine = 0; said = 0 }
	:: atomic { looks == LOOKS && watched && !(attempt != 0 && alive[attempt]) -> looks = 0 }
	:: atomic { !watched && (status == UNLINKED || status == FAILED) -> break }
	:: atomic { timeout -> break }
	od
}

#ifdef ENDS
/* The hourly run: a refresh. */
active proctype Refresh() {
	byte me = _pid + 1, before;
	bit mine;
	if
	:: atomic { status == LINKED && attempt == 0 -> alive[me] = 1; attempt = me; before = token; mine = 1 };
		/* Alipay: the next version, and the one before is dead. */
		atomic { if :: LIVES && issued < 4 -> issued++ :: else -> mine = 0 fi };
		atomic {
			if
#ifdef TWIN_REFRESH_DROPPED_WHEN_UNLINKING
			:: mine && status == LINKED && token == before -> token = issued
#else
			:: mine && (status == LINKED || status == UNLINKING) && token == before -> token = issued
#endif
			:: else
			fi;
			if :: attempt == me -> attempt = 0 :: else fi;
			alive[me] = 0
		}
	:: timeout
	fi
}

/* DELETE. */
active proctype Merchant() {
	if
	:: atomic { status == LINKED -> enter(UNLINKING); watched = 1;
#ifdef TWIN_NOTE_DROPS_THE_LOCK
		attempt = 0;
#endif
		}
	:: timeout
	fi
}

/* The buyer, in the wallet; and the notification that names the token which died. */
active proctype Buyer() {
	byte named;
	if
	:: atomic { LIVES && status != AUTHORIZING -> dead = 1; named = issued };
		atomic {
			if
			:: status == LINKED || status == UNLINKING -> enter(UNLINKED); token = 0; attempt = 0; watched = 0;
				CLAIM(ENDED_IS_TRUE, !LIVES)
			:: else
			fi
		}
	:: timeout
	fi
}

/* A payment by the agreement. */
active [PAYS] proctype Pay() {
	byte used;
	bit noted;
	if
	:: atomic {
#ifdef TWIN_PAYS_WHILE_UNLINKING
		(status == LINKED || status == UNLINKING)
#else
		status == LINKED
#endif
		-> used = token; noted = (status != LINKED) };
		CLAIM(NOTHING_SENT, !noted);
		/* Alipay: a token that is not the newest, or of an authorization that is over, is INVALID_ACCESS_TOKEN. */
		if
		:: atomic { used != issued || dead ->
			if
#ifdef TWIN_DEAD_TOKEN_ENDS_A_NEWER_ONE
			:: status == LINKED || status == UNLINKING ->
#else
#ifdef TWIN_DEAD_TOKEN_ENDS_WHILE_REFRESHING
			:: (status == LINKED || status == UNLINKING) && token == used ->
#else
			:: (status == LINKED || status == UNLINKING) && token == used && !(attempt != 0 && alive[attempt]) ->
#endif
#endif
				CLAIM(ENDED_IS_TRUE, !LIVES);
				enter(UNLINKED); token = 0; attempt = 0; watched = 0
			:: else
			fi }
		:: else
		fi
	:: timeout
	fi
}
#endif
