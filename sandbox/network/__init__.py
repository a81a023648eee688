"""Network access of a cage that fetches: a proxy to named places, and nothing else."""
