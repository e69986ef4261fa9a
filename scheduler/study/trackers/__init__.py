"""A study in the trackers that people already use: Weights & Biases, MLflow, TensorBoard.

One run for each trial. `run.py` says what a run is and what a tracker must do, one file each knows
one tracker (and imports it only when it is used), `collecting.py` makes runs of the database,
`ledger.py` remembers what was sent, `sending.py` puts these together, and `beside.py` is the
process that does so beside a running study.
"""
