"""Services of executions: keyword-only functions that own transactions."""
