"""Every schedule of the shipped handlers, up to stated bounds.

The functions' own code runs here, whole handlers, in one process and under a scheduler that may at each of their
effects (a call of the table, of Alipay, of Step Functions, the answer) go on with another invocation, kill this one, or
do the effect and lose its answer. What stands around the code is made for this: the table's rows (`dynamodb`), Alipay
(`alipay`), executions, time and chance (`world`, `product`). `world` has the rules that hold in every schedule,
`search` finds the schedules, `bugs` are defects that must be found, `agreement` shows that the rows behave like
DynamoDB's.

    .local/venvs/dev/bin/python -m tests.schedules [--quick]
    .local/venvs/dev/bin/python -m tests.schedules --replay 'BOUNDS SCHEDULE'
"""
