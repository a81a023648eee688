"""The dashboard, the web server, and what `make up` does."""
