"""The dashboard, the web server, and the start by `make up`."""
