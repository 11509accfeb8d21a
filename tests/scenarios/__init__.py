"""What pods do, on every kind of site; expected is what Kubernetes' documentation says."""

import pytest

pytest.register_assert_rewrite("tests.scenarios.declared")
