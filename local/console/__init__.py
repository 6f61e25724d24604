"""A page of the local stack on which a wallet is linked by a QR code, and debited."""
