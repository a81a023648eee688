"""Control groups: detection, leases by slot, and one group behind one interface."""
