"""Counters of the service, for `/metrics`: counted in memory, added to rows once a second.

`families` has the names and labels, `tally` the memory and the rows, `executions` and `requests`
count. Decision 0044 has the reasons.
"""
