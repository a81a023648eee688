"""Templates: definitions become versions, versions are promoted, verified, healed and removed."""
