"""Pages of builds: requests, progress, logs."""
