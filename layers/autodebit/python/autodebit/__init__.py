"""What the functions share: the life of one auto-debit payment, from `order` (the row) to `gateway` (Alipay)."""

import gc

# Importing some hundred modules makes hardly any garbage, but sets off collection after collection that looks through
# all of it: a fifth of a cold start. What an invocation leaves behind is collected less often, not less.
gc.set_threshold(10_000)
