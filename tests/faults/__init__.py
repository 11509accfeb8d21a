"""What breaks, and what must hold all the same: real gateways, runners and batch systems, killed, cut and filled up.

Every random test prints its seed; `FARNODE_SEED=<seed>` repeats it.
"""
