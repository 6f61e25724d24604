"""Every schedule of the shipped handlers, up to stated bounds.

The functions' own code runs here, whole handlers, in one process and under a scheduler that may at each of their
effects (a call of the table, of Alipay, of Step Functions, the answer) go on with another invocation, kill this one, or
do the effect and lose its answer. What stands around the code is made for this: the table's rows (`dynamodb`), Alipay
(`alipay`), executions, time and chance (`world`, `product`). `world` has the rules that hold in every schedule,
`search` finds the schedules, `bugs` are defects that must be found, `agreement` shows that the rows behave like
DynamoDB's.

    .local/venvs/dev/bin/python -m tests.proof.schedules [--quick | --bugs]
    .local/venvs/dev/bin/python -m tests.proof.schedules --exhaust BOUNDS
    .local/venvs/dev/bin/python -m tests.proof.schedules --replay 'BOUNDS SCHEDULE'

What may happen, within bounds: requests for one payment, notifications, looks and sweeps begin at any time and in any
order; Alipay decides S or F at once or later, or never has heard of it; a pay may arrive after its sender is dead. The
faults: a crash after any effect; an effect whose answer is lost (a table call is then repeated by the SDK, at once or
after others were on); a call that is refused; answers and notifications that are forged, of another amount, or say the
opposite. Time passes where somebody waits. After each schedule a quiet time follows, in which nothing fails: polling
and sweep must then settle what Alipay knows, or have called a person.

Which schedules count as one. What an invocation does next depends on what it was told alone, so that two schedules
after which the row, Alipay, the executions and all that each running invocation was told are the same have one future
(states are told apart by a hash of 64 bits). And of some orders one is followed. An answer, and a table call that can
no longer change a settled order, come out the same whether others come before or after. An invocation that is to read
the row first begins when it reads: had it begun before, it would have done nothing else meanwhile, and where its
beginning lets time pass or its message would be another one, that is a decision of its own. A crash is taken at once
after the effect before it.

What an exhaustive search follows was run once for every such position and is remembered; the schedules that are
executed run the handlers from the start, and so does every schedule that shows a bug.

Smaller than on AWS: the index has 1 partition, and the polling schedule is 3, 3, 6 s.
"""
