"""Charts of executions by outcome and duration."""
