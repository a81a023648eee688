"""The start by `make up`: prepare, build, start the processes, and print how to begin."""
