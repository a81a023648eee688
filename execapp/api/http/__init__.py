"""What all routes share: authentication, bodies, errors, rate limits, deferred replies."""
