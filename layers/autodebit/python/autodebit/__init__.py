"""What the functions share: the life of one auto-debit payment, from `order` (the row) to `gateway` (Alipay)."""
