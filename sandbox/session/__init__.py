"""Sessions: a sandbox with a runner, one job in it, the messages, and the outcome."""
