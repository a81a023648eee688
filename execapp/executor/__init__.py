"""The executor: the process that claims, runs and ends executions, builds and verifications."""
