"""The kubelet's HTTP API, by which the API server reaches what runs in pods: logs, exec, attach, ports, statistics."""
