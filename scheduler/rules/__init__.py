"""Decisions: the state machine of a study and the rules that it consults. Pure."""
