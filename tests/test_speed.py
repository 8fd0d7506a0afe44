"""How fast the machine is decides no test."""

import subprocess
import sys

from hypothesis import HealthCheck, settings

from local.aws.embedded import ROOT


def test_no_property_has_a_deadline_or_is_stopped_for_being_slow() -> None:
    assert settings.get_current_profile_name() in {"tests", "mutants"}
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_the_mutants_of_the_proof_keep_their_own_profile() -> None:
    script = (
        "import pytest\n"
        "from hypothesis import settings\n"
        "settings.register_profile('mutants', max_examples=7)\n"
        "settings.load_profile('mutants')\n"
        "pytest.main(['-q', '--collect-only', 'tests/test_speed.py'])\n"
        "assert settings().max_examples == 7\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
