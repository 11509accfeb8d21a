"""What goes into containers and comes out of them.

stdio         a container's three streams;  capture, rotating  into its log;  viewer  to who is attached
streams       what the gateway opens: logs, execution, attachment, forward
pipes, pty    descriptors
"""
