"""Build versions: requests, the pipeline with its log, publishing, exported inputs, lookups."""
