"""The playground: run code in the browser without a token."""
