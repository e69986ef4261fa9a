"""A running study over HTTP, read-only, in a process of its own: the driver stays undisturbed."""
