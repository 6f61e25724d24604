"""The wire to Alipay: signed messages, what they may look like, how they are read. It knows no order."""
