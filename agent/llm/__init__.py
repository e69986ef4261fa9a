"""Language models as researchers: prompts, calls, answers, edits."""
