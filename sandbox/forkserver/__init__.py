"""Fork servers: a runner that is loaded once and forked for each sandbox."""
