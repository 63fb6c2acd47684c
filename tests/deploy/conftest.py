"""The stories that both schedulers go through are told in modules of their own; what they assert is shown as in a test."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("deploy_story", "killed_story")
