"""Pure decisions: which offer for which pod, and which runner for which pod. No I/O, no clock.

placement   a pod's demand and a site's offers -> what to ask the batch system for, or why nothing fits
matching    waiting pods (queue) and runners with room (room) -> bindings
pilots      what waits and what there is -> how many pilots to ask for, and which are to go
"""
