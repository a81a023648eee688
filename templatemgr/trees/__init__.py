"""Files on disk, without Django: listings, hashes, manifests, modes, and restoring a tree."""
