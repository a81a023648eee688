"""What `make up` does: prepare, build, start the processes, and print how to begin."""
