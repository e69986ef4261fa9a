"""The paths of the study over HTTP: one file a resource."""
