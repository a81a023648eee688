"""Check the files on disk against their manifest, and repair them from sound copies."""
