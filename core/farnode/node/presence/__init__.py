"""The Node object of a site and its Lease: what the cluster sees of it."""
