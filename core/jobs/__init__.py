"""Leased jobs: the abstract model, the queue, the loop of a worker thread, and wake-ups."""
