"""Training runs of the service: a queue that outlives it, child processes that train, and what their folders say."""
