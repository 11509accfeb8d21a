"""Pure values: what a pod, a site's offer and an allocation are. No I/O, no clock.

What everything here is read with:

    reader       a JSON value and its path: typed reading, errors that name the field
    names        Kubernetes' rules for names
    quantity     Kubernetes' resource quantities, exact
    duration     durations as people write them
    times        RFC 3339, as Kubernetes writes it

A pod and what comes with it:

    pod          the part of v1.Pod that is honoured, typed and validated
    container · env · resources · port · alias      its parts
    action · probe · restart     how a container is looked after: probes, hooks, restart rules
    volume · projection · mount  its volumes, the files made for it, and where they are mounted
    effective    what its containers need together
    fields       which other fields are harmless and which are refused, and what to use instead
    serviceaccount   the token an API server mounts by itself: dropped
    annotations  farnode.io/ annotations: one table
    gpu          GPU resources, what a pod asks of them, and its demand in all
    inputs       what comes with a pod: ConfigMaps, Secrets, tokens, and
    claim · trust · selector     claims of volumes, trust bundles, and what chooses among these
    reference    what of it a pod refers to
    bundle       a pod with all it refers to
    manifest     text of YAML and JSON -> values, strictly
    documents    the files of a user -> bundles

What becomes of it:

    demand       what a pod needs of a site
    offer        what a site can give this account
    allocation   what is asked of a batch system, and what it says
    image        a container image, and what it is once made ready
    order        bundle + images -> what a runner is told, with
    downward · files · routine   what a pod is told of itself, the files it gets, how its containers live
    status · conditions · qos    v1.PodStatus of a pod at a site
    api          the JSON of the gateway's API
"""
