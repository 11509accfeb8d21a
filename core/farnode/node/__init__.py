"""Virtual nodes of a Kubernetes cluster: pods bound to one run at its site."""
