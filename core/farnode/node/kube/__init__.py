"""The Kubernetes API, as raw JSON: its connection, its calls, its watches and its failures."""
