"""Signed messages to addresses that clients name: written as rows, sent until they are accepted.

An event (`events`) has a name and makes the body of its messages. A service that knows of one calls
`outbox.enqueue` in the transaction of the change that it announces. Decision 0041.
"""
