"""Giving money back: the refund, who may report its result, and the steps that take it there."""
