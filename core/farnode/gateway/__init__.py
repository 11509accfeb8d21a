"""The service at the edge of a site, run by an ordinary user. It keeps all state of the pods at that site.

config     the gateway's YAML file, typed
machine    pure: what happened -> what changes and what is to be done
store      SQLite: the one place where state lives
service    the loop: batches of events, one transaction, then effects
runners    the listener runners dial, and their links
images     fetches and converts images, once
tls        the gateway's own certificate
tokens     who may call
http       the API's routers: no logic
"""
