"""farnode demo: every kind of pod on this machine, with expected and got."""
