"""The agreement table: one row an agreement, and beside it rows that lead from a token's digest to its agreement.

Every change is one conditional write on the status it leaves. Names with a dot are no agreementId: they are the rows
beside. `watchShard` and `overdueAt` make a sparse index of the agreements that are exchanged or revoked, `dueShard` and
`dueAt` one of those that are LINKED by a token with an end.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.exceptions import DoesNotExist
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model

from autodebit.agreement.agreement import Agreement, QrCode, SealedTokens, Status, UnlinkedBy, shown_at
from autodebit.agreement.transitions import EXPIRING, TOLD, TRANSITIONS, Word
from autodebit.errors import AgreementNotFound
from autodebit.events import Told, shown_json
from autodebit.rows import watch
from autodebit.rows.guard import Written, as_read, change, create, set_or_remove
from autodebit.rows.table import ConditionFailed, Timeouts, read_instant, stored_if_any, stored_instant, table_faults
from autodebit.rows.told import TellingItem, tell, told_in
from autodebit.rows.watch import WATCH_SHARDS, Overdue, WatchIndex, watch_shard, watched_from

TABLE_NAME = os.environ["AGREEMENTS_TABLE"]

_KEY_ROW = "vault.key"

BELONGS_MAX = 100
"""Agreements that one token leads to: so many consents of one buyer nobody asks for in earnest."""


class WatchedAgreements(WatchIndex["AgreementItem"]):  # type: ignore[no-untyped-call]
    """Agreements that are exchanged or revoked, by the time by which somebody must have looked."""

    class Meta:
        index_name = "watched"
        projection = IncludeProjection(["pollingRound", "attemptedAt"])


class DueAgreements(GlobalSecondaryIndex["AgreementItem"]):  # type: ignore[no-untyped-call]
    """LINKED agreements, by the time at which something is to be done about their token."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    dueShard = UnicodeAttribute(hash_key=True)
    dueAt = UnicodeAttribute(range_key=True)


class AgreementItem(Model, TellingItem):
    """The row, in Alipay's spelling. Instants are UTC texts of fixed width; what is binary is sealed."""

    class Meta(Timeouts):
        table_name = TABLE_NAME

    agreementId = UnicodeAttribute(hash_key=True)
    status = UnicodeAttribute()
    customerBelongsTo = UnicodeAttribute()
    merchantRegion = UnicodeAttribute(null=True)
    merchantAccountId = UnicodeAttribute(null=True)
    createdAt = UnicodeAttribute()
    authState = UnicodeAttribute()
    expiresAt = UnicodeAttribute()

    attempt = UnicodeAttribute(null=True)
    attemptedAt = UnicodeAttribute()
    unaccounted = NumberAttribute(default=0)
    written = UnicodeAttribute(null=True)

    qrText = UnicodeAttribute(null=True)
    qrImageUrl = UnicodeAttribute(null=True)
    authCode = BinaryAttribute(null=True, legacy_encoding=False)
    authCodeAt = UnicodeAttribute(null=True)

    watchShard = UnicodeAttribute(null=True)
    overdueAt = UnicodeAttribute(null=True)
    pollingRound = NumberAttribute(default=0)
    lastSaid = UnicodeAttribute(null=True)

    accessToken = BinaryAttribute(null=True, legacy_encoding=False)
    refreshToken = BinaryAttribute(null=True, legacy_encoding=False)
    tokenExpiresAt = UnicodeAttribute(null=True)
    userLoginId = UnicodeAttribute(null=True)
    linkedAt = UnicodeAttribute(null=True)
    dueShard = UnicodeAttribute(null=True)
    dueAt = UnicodeAttribute(null=True)
    refreshRefused = UnicodeAttribute(null=True)
    expiringTold = BooleanAttribute(null=True)

    unlinkedBy = UnicodeAttribute(null=True)
    unlinkedAt = UnicodeAttribute(null=True)
    resultCode = UnicodeAttribute(null=True)
    perhapsLinked = BooleanAttribute(null=True)

    watched = WatchedAgreements()
    due = DueAgreements()


class TokenItem(Model):
    """A row beside: the agreements that a token belongs to, by the token's keyed digest. Mostly it is one; a wallet may
    give the same token for a second consent.
    """

    class Meta(Timeouts):
        table_name = TABLE_NAME

    agreementId = UnicodeAttribute(hash_key=True)
    belongsTo = UnicodeSetAttribute()


class KeyItem(Model):
    """A row beside: the data key of the vault, wrapped by KMS."""

    class Meta(Timeouts):
        table_name = TABLE_NAME

    agreementId = UnicodeAttribute(hash_key=True)
    wrappedKey = BinaryAttribute(legacy_encoding=False)


class AgreementTable:
    """The one class that reads and writes agreements. Every method raises TableFault when the table does not answer."""

    def create(self, agreement: Agreement) -> Written[Agreement]:
        """Store a new agreement, unless its agreementId is taken; then answer with what stands there."""
        item = AgreementItem(
            agreement.agreement_id,
            status=agreement.status.value,
            customerBelongsTo=agreement.customer_belongs_to,
            merchantRegion=agreement.merchant_region,
            merchantAccountId=agreement.merchant_account_id,
            createdAt=stored_instant(agreement.created_at),
            authState=agreement.auth_state,
            expiresAt=stored_instant(agreement.expires_at),
            attempt=agreement.attempt,
            attemptedAt=stored_instant(agreement.attempted_at),
        )
        return create(
            item,
            AgreementItem.agreementId.does_not_exist(),
            read=_agreement,
            stored=lambda: self.get(agreement.agreement_id),
            ours=lambda stored: stored.attempt == agreement.attempt,
        )

    def get(self, agreement_id: str) -> Agreement:
        """The agreement as it is stored now (a consistent read). Raises AgreementNotFound."""
        try:
            with table_faults():
                return _agreement(AgreementItem.get(agreement_id, consistent_read=True))
        except DoesNotExist:
            raise AgreementNotFound(agreement_id) from None

    # One call to Alipay at a time.

    def take(self, agreement: Agreement, attempt: str, at: datetime, *, unaccounted: int = 0) -> Written[Agreement]:
        """Take the next call upon oneself, if nobody has since the agreement was read.

        `unaccounted` is 1 for a call that leaves a trace at Alipay when its answer is lost.
        """
        return self._change(
            agreement,
            [
                AgreementItem.attempt.set(attempt),
                AgreementItem.attemptedAt.set(stored_instant(at)),
                AgreementItem.unaccounted.set(agreement.unaccounted + unaccounted),
            ],
            _unattempted(agreement),
        )

    def put_back(self, agreement: Agreement, said: str, *, unaccounted: int) -> Written[Agreement]:
        """Note that the call has ended and changed nothing; `said` is what was heard."""
        return self._change(
            agreement,
            [
                AgreementItem.attempt.remove(),
                AgreementItem.unaccounted.set(unaccounted),
                AgreementItem.lastSaid.set(said),
            ],
            AgreementItem.attempt == agreement.attempt,
        )

    # The QR code.

    def ask_again(
        self, agreement: Agreement, attempt: str, at: datetime, auth_state: str, expires_at: datetime
    ) -> Written[Agreement]:
        """Take the next consult upon oneself, with a new authState, after one that brought no QR code."""
        return self._change(
            agreement,
            [
                AgreementItem.attempt.set(attempt),
                AgreementItem.attemptedAt.set(stored_instant(at)),
                AgreementItem.authState.set(auth_state),
                AgreementItem.expiresAt.set(stored_instant(expires_at)),
            ],
            _unattempted(agreement) & (AgreementItem.authState == agreement.auth_state),
        )

    def note_qr_code(self, agreement: Agreement, qr_code: QrCode) -> Written[Agreement]:
        """Keep the QR code that this attempt's consult brought."""
        parts = [(AgreementItem.qrText, qr_code.text), (AgreementItem.qrImageUrl, qr_code.image_url)]
        return self._change(
            agreement,
            [AgreementItem.attempt.remove(), *(name.set(part) for name, part in parts if part is not None)],
            AgreementItem.attempt == agreement.attempt,
        )

    # The exchange.

    def note_code(self, agreement: Agreement, sealed: bytes, at: datetime, overdue_at: datetime) -> Written[Agreement]:
        """Keep the authCode: from now on it is exchanged. The first one counts; what consult said is past."""
        return self._change(
            agreement,
            [
                AgreementItem.authCode.set(sealed),
                AgreementItem.authCodeAt.set(stored_instant(at)),
                AgreementItem.lastSaid.remove(),
                *watched_from(AgreementItem, agreement.agreement_id, overdue_at),
            ],
            AgreementItem.authCode.does_not_exist(),
        )

    def note_look(self, agreement: Agreement, overdue_at: datetime) -> Written[Agreement]:
        """Note by when somebody will have looked again."""
        return self._change(
            agreement,
            [AgreementItem.overdueAt.set(stored_instant(overdue_at))],
            AgreementItem.watchShard.exists(),
        )

    def link(
        self,
        agreement: Agreement,
        word: Word,
        at: datetime,
        tokens: SealedTokens,
        user_login_id: str | None,
    ) -> Written[Agreement]:
        """LINKED, by these tokens."""
        after = replace(
            agreement,
            status=Status.LINKED,
            linked_at=at,
            token_expires_at=tokens.expires_at,
            user_login_id=user_login_id,
        )
        return self._leave(
            agreement,
            after,
            word,
            at,
            [
                *_tokens(agreement.agreement_id, tokens),
                set_or_remove(AgreementItem.userLoginId, user_login_id),
                AgreementItem.linkedAt.set(stored_instant(at)),
            ],
        )

    def fail(
        self, agreement: Agreement, word: Word, code: str, at: datetime, *, perhaps_linked: bool = False
    ) -> Written[Agreement]:
        """FAILED, for this reason."""
        after = replace(agreement, status=Status.FAILED, result_code=code, perhaps_linked=perhaps_linked)
        perhaps = [AgreementItem.perhapsLinked.set(True)] if perhaps_linked else []
        return self._leave(agreement, after, word, at, [AgreementItem.resultCode.set(code), *perhaps])

    # The end.

    def note_unlinking(self, agreement: Agreement, at: datetime, overdue_at: datetime) -> Written[Agreement]:
        """UNLINKING: no payment by it is sent any more, and somebody revokes it, in a round of polling of its own."""
        return self._leave(
            agreement,
            replace(agreement, status=Status.UNLINKING),
            Word.MERCHANT,
            at,
            [
                AgreementItem.pollingRound.set(agreement.polling_round + 1),
                *watched_from(AgreementItem, agreement.agreement_id, overdue_at),
            ],
        )

    def unlink(
        self, agreement: Agreement, word: Word, by: UnlinkedBy, at: datetime, code: str | None = None
    ) -> Written[Agreement]:
        """UNLINKED, if its token is the one that was read: a newer one is alive. If a dead token is what ends it, then
        only if no call that may bring a newer one has begun since.
        """
        same_token = AgreementItem.accessToken == agreement.access_token
        after = replace(agreement, status=Status.UNLINKED, unlinked_by=by, unlinked_at=at, result_code=code)
        return self._leave(
            agreement,
            after,
            word,
            at,
            [
                AgreementItem.unlinkedBy.set(by.value),
                AgreementItem.unlinkedAt.set(stored_instant(at)),
                *([AgreementItem.resultCode.set(code)] if code is not None else []),
            ],
            same_token & _unattempted(agreement) if word is Word.PAY else same_token,
        )

    # The token's years.

    def replace_tokens(self, agreement: Agreement, tokens: SealedTokens) -> Written[Agreement]:
        """Put newer tokens in the place of those that were read. An end that is no later was told once and for all."""
        later = tokens.expires_at != agreement.token_expires_at
        return self._change(
            agreement,
            [
                AgreementItem.attempt.remove(),
                *_tokens(agreement.agreement_id, tokens),
                *([AgreementItem.expiringTold.remove()] if later else []),
            ],
            AgreementItem.accessToken == agreement.access_token,
        )

    def note_refresh_refused(self, agreement: Agreement, code: str, due_at: datetime) -> Written[Agreement]:
        """Note that this token will not be refreshed: its end is to be told in time."""
        return self._change(
            agreement,
            [
                AgreementItem.attempt.remove(),
                AgreementItem.refreshRefused.set(code),
                AgreementItem.dueAt.set(stored_instant(due_at)),
            ],
            AgreementItem.accessToken == agreement.access_token,
        )

    def note_expiring(self, agreement: Agreement, at: datetime, due_at: datetime | None) -> Written[Agreement]:
        """Tell that the token that was read ends soon, once; something is to be done about it again at `due_at`."""
        return self._change(
            agreement,
            [
                AgreementItem.expiringTold.set(True),
                set_or_remove(AgreementItem.dueAt, stored_if_any(due_at)),
                *_tell(agreement, EXPIRING, at),
            ],
            AgreementItem.expiringTold.does_not_exist() & (AgreementItem.accessToken == agreement.access_token),
        )

    def due_before(self, now: datetime, shards: Iterable[int] = range(WATCH_SHARDS)) -> Iterator[str]:
        """The ids of LINKED agreements about which something is to be done, shard by shard, the longest due first."""
        with table_faults():
            for shard in shards:
                for item in AgreementItem.due.query(
                    f"{shard:02d}", DueAgreements.dueAt <= stored_instant(now), page_size=100
                ):
                    yield item.agreementId

    # The watch, as the sweep needs it.

    def note_watched(self, overdue: Overdue, overdue_at: datetime) -> Written[Agreement]:
        """Note that an execution looks after the agreement, which will have looked at it by `overdue_at`."""
        return self._change_overdue(overdue, [AgreementItem.overdueAt.set(stored_instant(overdue_at))])

    def start_round(self, overdue: Overdue, overdue_at: datetime) -> Written[Agreement]:
        """Start the next polling round, once."""
        return self._change_overdue(
            overdue,
            [
                AgreementItem.pollingRound.set(overdue.polling_round + 1),
                AgreementItem.overdueAt.set(stored_instant(overdue_at)),
            ],
        )

    def overdue(self, now: datetime, shards: Iterable[int] = range(WATCH_SHARDS)) -> Iterator[Overdue]:
        """Agreements whose `overdueAt` has passed, shard by shard, the longest overdue first."""
        return watch.overdue(AgreementItem.watched, "agreementId", now, shards)

    # The rows beside.

    def note_token(self, digest: str, agreement_id: str) -> bool:
        """Let the token of this digest lead to this agreement, too; False if it leads to too many others.

        Written before the token is: a crash leaves no harm.
        """
        belongs_to = TokenItem.belongsTo
        few = size(belongs_to) < BELONGS_MAX  # type: ignore[no-untyped-call]
        try:
            with table_faults():
                TokenItem(_token_row(digest)).update(
                    actions=[belongs_to.add({agreement_id})],
                    condition=belongs_to.does_not_exist() | few | belongs_to.contains(agreement_id),
                )
        except ConditionFailed:
            return False
        return True

    def by_token(self, digest: str) -> list[Agreement]:
        """The agreements that have, or had, the token of this digest: one at least. Raises AgreementNotFound."""
        try:
            with table_faults():
                agreement_ids = TokenItem.get(_token_row(digest), consistent_read=True).belongsTo
        except DoesNotExist:
            raise AgreementNotFound("no such token") from None
        return [self.get(agreement_id) for agreement_id in sorted(agreement_ids)]

    def wrapped_key(self) -> bytes | None:
        """The vault's data key, wrapped; None before anything was sealed."""
        try:
            with table_faults():
                return bytes(KeyItem.get(_KEY_ROW, consistent_read=True).wrappedKey)
        except DoesNotExist:
            return None

    def keep_wrapped_key(self, wrapped: bytes) -> bytes:
        """Keep the vault's data key, unless there is one: what is kept."""
        try:
            with table_faults():
                KeyItem(_KEY_ROW).update(
                    actions=[KeyItem.wrappedKey.set(wrapped)], condition=KeyItem.agreementId.does_not_exist()
                )
        except ConditionFailed:
            return self.wrapped_key() or wrapped
        return wrapped

    def _leave(
        self,
        agreement: Agreement,
        after: Agreement,
        word: Word,
        at: datetime,
        actions: list[Action],
        condition: Condition | None = None,
    ) -> Written[Agreement]:
        """Leave the status that was read for that of `after`, and tell it. ValueError if this word may not do that."""
        status = after.status
        if word not in TRANSITIONS.get((agreement.status, status), ()):
            raise ValueError(f"{word} does not make an agreement that is {agreement.status} {status}")
        over = [AgreementItem.authCode.remove()]
        if status is not Status.UNLINKING:  # a refresh that is under way is waited for before the token is revoked
            over += [
                AgreementItem.attempt.remove(),
                AgreementItem.watchShard.remove(),
                AgreementItem.overdueAt.remove(),
            ]
        if status is not Status.LINKED:
            over += [AgreementItem.dueShard.remove(), AgreementItem.dueAt.remove()]
        if status is Status.UNLINKED:
            over += [AgreementItem.accessToken.remove(), AgreementItem.refreshToken.remove()]
        told = _tell(after, TOLD[status], at) if status in TOLD else []
        return self._change(agreement, [AgreementItem.status.set(status.value), *actions, *over, *told], condition)

    def _change(
        self, agreement: Agreement, actions: list[Action], condition: Condition | None = None
    ) -> Written[Agreement]:
        """One conditional write on an agreement that is still in the status in which it was read."""
        written = uuid4().hex
        leaves = AgreementItem.status == agreement.status.value
        return change(
            AgreementItem(agreement.agreement_id),
            leaves & condition if condition is not None else leaves,
            [AgreementItem.written.set(written), *actions],
            read=_agreement,
            stored=lambda: self.get(agreement.agreement_id),
            ours=lambda stored: stored.written == written,
        )

    def _change_overdue(self, overdue: Overdue, actions: list[Action]) -> Written[Agreement]:
        """One write on an agreement that nobody has looked at since the index was read."""
        return change(
            AgreementItem(overdue.key),
            AgreementItem.overdueAt == overdue.overdue_at,
            actions,
            read=_agreement,
            stored=lambda: self.get(overdue.key),
        )


def agreement_in(image: dict[str, Any]) -> Agreement:
    """The agreement in an image of the table's stream, which is DynamoDB's JSON."""
    return _agreement(AgreementItem.from_raw_data(image))


def _tell(agreement: Agreement, kind: str, at: datetime) -> list[Action]:
    """Each entry holds what was shown: an agreement goes on changing."""
    return tell(AgreementItem, Told(kind, at, shown_json(shown_at(agreement, at))))


def _unattempted(agreement: Agreement) -> Condition:
    """Nobody has begun or ended a call since the agreement was read."""
    return as_read(AgreementItem.attempt, agreement.attempt)


def _tokens(agreement_id: str, tokens: SealedTokens) -> list[Action]:
    """The tokens and what is due about them; what the newest answer does not bring, the agreement has no more."""
    return [
        AgreementItem.accessToken.set(tokens.access_token),
        set_or_remove(AgreementItem.refreshToken, tokens.refresh_token),
        set_or_remove(AgreementItem.tokenExpiresAt, stored_if_any(tokens.expires_at)),
        set_or_remove(AgreementItem.dueShard, None if tokens.due_at is None else watch_shard(agreement_id)),
        set_or_remove(AgreementItem.dueAt, stored_if_any(tokens.due_at)),
        AgreementItem.refreshRefused.remove(),
    ]


def _token_row(digest: str) -> str:
    return f"token.{digest}"


def _agreement(item: AgreementItem) -> Agreement:
    return Agreement(
        agreement_id=item.agreementId,
        status=Status(item.status),
        customer_belongs_to=item.customerBelongsTo,
        merchant_region=item.merchantRegion,
        merchant_account_id=item.merchantAccountId,
        created_at=datetime.fromisoformat(item.createdAt),
        auth_state=item.authState,
        expires_at=datetime.fromisoformat(item.expiresAt),
        attempt=item.attempt,
        attempted_at=datetime.fromisoformat(item.attemptedAt),
        unaccounted=int(item.unaccounted),
        written=item.written,
        qr_code=QrCode(item.qrText, item.qrImageUrl) if item.qrText or item.qrImageUrl else None,
        auth_code=item.authCode,
        auth_code_at=read_instant(item.authCodeAt),
        overdue_at=read_instant(item.overdueAt),
        polling_round=int(item.pollingRound),
        last_said=item.lastSaid,
        access_token=item.accessToken,
        refresh_token=item.refreshToken,
        token_expires_at=read_instant(item.tokenExpiresAt),
        user_login_id=item.userLoginId,
        linked_at=read_instant(item.linkedAt),
        due_at=read_instant(item.dueAt),
        refresh_refused=item.refreshRefused,
        expiring_told=bool(item.expiringTold),
        unlinked_by=UnlinkedBy(item.unlinkedBy) if item.unlinkedBy else None,
        unlinked_at=read_instant(item.unlinkedAt),
        result_code=item.resultCode,
        perhaps_linked=bool(item.perhapsLinked),
        told=told_in(item),
    )
