"""The offloading client: pods to a site and back, no Kubernetes needed.

site       where a gateway is and how its caller proves who it is
config     the sites a person has, from files
dial       byte streams to a gateway: Unix socket, pinned TLS, or whatever a caller passes in
backend    such a stream as httpcore's network
transport  HTTP over it; the server's errors become ours
patience   how long a call keeps trying while the gateway is away
intake     what people call a pod -> bundle documents
submission all of a call's pods or none
pod        a pod at a site, as a value
names      a name, namespace/name or uid -> one pod
watching   events, resumed
waits      one stream of events for everyone who waits
following  logs, resumed without doubled lines; cursor knows which were delivered
websocket  exec's stream
execution  a command in a container
aio        AsyncClient
blocking   Client: the same for threads and notebooks
"""
