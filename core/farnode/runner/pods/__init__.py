"""Pods and their containers: what Kubernetes says of them.

pod           one attempt, from its order to its end;  attempt  what its containers share;  story  what is noted of it
sequence      in which order containers start and stop;  sharing  who of them gets which GPUs
container     one container through its restarts;  run  one run of it, with hooks and probes;  ending  its end
instance      the processes of a run;  beginning  when its program runs
phase, state, backoff, environment, signals, termination    Kubernetes' rules, as functions
"""
