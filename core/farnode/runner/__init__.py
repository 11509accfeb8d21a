"""The process that runs pods on a node of an allocation, packed with `wire` into one archive. Standard library only.

main          a runner's life: why it begins and ends;  supervisor  the process above it
settings      what its environment says;  clock  time, injected
connection    the link to the gateway;  journal  the events on it
roster        every attempt it knows
pods          pods and containers;  probes  what is asked of them;  storage, limits, output  their means and words
processes     started, reaped, found, killed
runtime       the port to `runtimes`;  enter  the process that sets a container up
"""
