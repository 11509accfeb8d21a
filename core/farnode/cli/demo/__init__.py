"""farnode demo: every kind of pod, with what was expected and what came.

pods.yaml  the pods
cases      what is expected of each
embedded   a gateway in a temporary directory, gone afterwards
trial      hands them over, follows them, compares
command    farnode demo
"""
