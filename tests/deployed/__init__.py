"""The deployed template from outside: its API, the simulated Alipay on the other side, and what AWS shows of it."""
