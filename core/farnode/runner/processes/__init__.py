"""Processes of the node: started, reaped, found, killed; and where they listen.

spawn         starting one;  children  reaping;  leftovers  what a container left;  listeners  its ports
"""
