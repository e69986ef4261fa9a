"""A study over HTTP, in a process of its own: the driver stays undisturbed."""
