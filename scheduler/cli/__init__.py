"""The command line: one file for each verb or small family of verbs."""
