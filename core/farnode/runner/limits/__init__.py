"""What containers use of their node: told, shared out, and bounded.

resources     the limits of one runner;  confines  those of one container: affinity, cgroup
watch         looks at who has limits;  census, usage, disk  what is used;  pulse  when to look
judgement, memory, oom, eviction    what becomes of who uses too much
ports         ports of the node;  devices, gpu, accelerators  its GPUs;  stats  figures for people
"""
