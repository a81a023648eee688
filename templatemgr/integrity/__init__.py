"""Check what lies on disk against its manifest, and repair it from sound copies."""
