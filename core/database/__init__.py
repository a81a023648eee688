"""What differs between database vendors: errors, retries, triggers, prepared queries."""
