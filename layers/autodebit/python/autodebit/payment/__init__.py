"""One auto-debit payment: its order, who may report its result, and the steps that take it there."""
