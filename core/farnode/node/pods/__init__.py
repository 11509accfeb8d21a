"""What is made of a pod of the API server, for the site and for the API server again: pure."""
