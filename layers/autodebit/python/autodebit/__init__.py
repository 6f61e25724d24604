"""What the functions share: the life of one auto-debit payment, from `order` (the row) to `gateway` (Alipay)."""

import gc

# Importing some hundred modules makes 70,000 objects and hardly any garbage, but sets off collection after collection
# that looks through all of them: a fifth of a cold start. What invocations leave behind is collected less often, not
# less.
gc.set_threshold(100_000)
