"""The study: its loop, decisions, storage and command line. Imports the agent and the workers."""
