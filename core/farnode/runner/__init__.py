"""The process that runs pods on a node of an allocation, packed with `wire` into one archive. Standard library only.

main          a runner's life: why it begins and ends
settings      what its environment says
connection    the link to the gateway;  journal  the events on it;  streams  logs and execs on it
roster        every attempt it knows;  devices  the GPUs they hold
pod           one attempt;  container  one container through its restarts;  instance  one run of it
attempt       what those share
phase, state, backoff, environment, termination    Kubernetes' rules, as functions
volumes, scratch, capture, rotating, logs, execution, pipes  directories, output, streams
children, leftovers                                processes: started, reaped, found, killed
runtime       the port to `runtimes`
"""
