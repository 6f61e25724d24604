"""The soak: many payments, every call faulty with some probability, then our table against Alipay's ledger."""
