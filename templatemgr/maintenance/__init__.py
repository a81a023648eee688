"""Work in the background: verification, healing, retries, the check at a start, `doctor`."""
