"""Many cases of one submission: what is asked, the comparison, the run and its results.

The program runs once for each case, in a sandbox of its own. The host compares its output, so no
expected output ever enters a sandbox. Decision 0046.
"""
