"""`autoresearch init`: a repository is looked at, and a configuration for a study of it is written.

`snapshot.py` reads a folder and `baseline.py` runs a trial; all between them is pure: text in,
findings, a configuration and words out. Nothing of the repository is imported or run before the
baseline, which runs in a sandbox as every trial does.
"""
