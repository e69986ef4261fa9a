"""A study for coding agents: tools, resources and a prompt of the Model Context Protocol.

It asks and writes as the verbs of the command line do (`scheduler/cli/source.py`): of a folder of
this machine, or of a study's server. Needs the extra `mcp`; only the verb `mcp` imports
it, once it is called.
"""
