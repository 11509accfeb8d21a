"""What runs a container on a node, and what touches the operating system for it.

    process      no image: the program runs on the node itself, with volumes in a mount namespace of its own
    apptainer    an image, kept mounted by apptainer, whose namespaces the program joins
    launch       the hand-over to `farnode.runner.enter`, the short-lived process that sets a container up
    container    a program in apptainer's container, and `keeper`, the apptainer that keeps it open
    root         a root directory with volumes at any path
    program      the last step: becoming the program
    namespaces   the system calls
    holder       a program of 70 bytes that keeps a container open
    batch        what of the batch system's environment reaches a pod
    tree         the processes of this node

`enter` imports some of these after each start of a container, so what it needs must import little, and this package
nothing.
"""
