"""What runs a container on a node, and what touches the operating system for it.

    process         no image: the program runs on the node itself, with volumes in a mount namespace of its own
    apptainer       an image, kept mounted by apptainer, whose namespaces the program joins
    directory       a directory as image, in a user namespace that `podman`, `charliecloud` or `bubblewrap` makes
    image           what these two have in common
    driver          what of a GPU's driver is of the node
    launch          the hand-over to `farnode.runner.enter`, the short-lived process that sets a container up
    batch           what of the batch system's environment reaches a pod

On the other side of that hand-over:

    container       a program in a container that a holder keeps open
    apptainer_container, sandbox    such a container, from its start to its end
    directory_root  its root directory, and `terminal`, its terminal
    keeper          a tool that keeps a holder
    holder          a program of 264 bytes that keeps a container open
    user            its user's name
    root            a root directory with volumes at any path
    program         the last step: becoming the program
    namespaces      the system calls
    tree            the processes of this node

What a container costs, from the command's start to the program's first output, in processor time until its end, and in
memory while it runs (medians of 15 on a machine of two cores with other work; apptainer 1.4, podman 5.4, ch-run 0.38,
bwrap 0.12):

    process, with a volume     50 ms     40 ms    0.1 MB
    apptainer, directory      140 ms    140 ms     33 MB
    apptainer, SIF            250 ms    210 ms     38 MB
    podman                    205 ms    170 ms      8 MB
    charliecloud               75 ms     80 ms      8 MB
    bubblewrap                 70 ms     75 ms      8 MB

`enter` imports some of these after each start of a container, so what it needs must import little, and this package
nothing.
"""
