"""The bundled task: a small language model, the text it learns from, and how it is measured.

`train.py` is the one file that an experiment edits. Everything else here is fixed: it packs the
data (`prepare`), runs the edited file as a process of its own (`harness`) and scores the model
that comes back (`score`). The folder stands alone: it needs the standard library, NumPy and
PyTorch, and it is started by path, so that any machine can run a copy of it.
"""
