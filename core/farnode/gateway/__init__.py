"""The service at the edge of a site, run by an ordinary user. It keeps all state of the pods at that site.

config       the gateway's YAML file, typed
machine      pure: what happened (stimuli) -> what changes (records) and what is to be done (effects); the top of
             three layers: state (records and indexes), attempts, allocations
planner      pure: asks the scheduler what to do with waiting pods; requests: what is asked of the batch system
store        SQLite: the one place where state lives
engine       the loop: batches of stimuli, one transaction, then answers, watchers and effects
dispatcher   carries effects out: batch system, runners, registry, spool
runners      the listener runners dial, and their links; reports: what they say, checked
spool        where things lie on the directory shared with the compute nodes; pack: the runner's archive; logs: what
             ended containers left on it
images       fetches and converts images, once
service      the API's calls, scoped to their caller; views and metrics: what they show
http         the API's routers: no logic
tls, tokens  the gateway's own certificate, and who may call
doctor       checks a site and says what to do
main         puts it all together
"""
