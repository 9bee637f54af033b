"""`python3 pytest_runner.py [arguments of pytest]`: pytest with function_trace.py around each test, by the ids of its JUnit report."""
import os
import sys

from function_trace import FunctionTrace

# As `python -m pytest` has it; the tree's own modules must not come before the ones above.
sys.path[0] = os.getcwd()
import pytest  # noqa: E402
from _pytest.junitxml import mangle_test_address  # noqa: E402

TRACE = FunctionTrace()


def ident(item):
    return ".".join(part for part in mangle_test_address(item.nodeid) if part)


class Plugin:
    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        TRACE.begin(ident(item))
        yield
        TRACE.end()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        yield
        if call.excinfo is not None:
            TRACE.failed(ident(item), call.excinfo.tb)


sys.exit(pytest.main(sys.argv[1:], plugins=[Plugin()]))
