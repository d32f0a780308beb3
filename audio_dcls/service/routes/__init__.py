"""Routes: each validates, calls one thing, and sends what comes of it."""
