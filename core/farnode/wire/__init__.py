"""What a gateway and its runners say to each other.

Standard library only and Python 3.9 syntax: this package is packed into the runner's archive and runs on whatever
Python a compute node has. It imports nothing of farnode.

    frames     bytes <-> frames, sans I/O
    messages   the shapes of the JSON messages and of the orders in them
    link       one connection: messages, and streams with credit, over an asyncio transport
    crilog     the format of container logs on the spool, read by both sides
    rotation   the files of one log
"""
