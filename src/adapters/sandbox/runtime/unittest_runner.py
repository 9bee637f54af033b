"""`python3 unittest_runner.py [arguments of python -m unittest]`: the same tests, with outcome and class of error of each by id;
with FUNPRM_TRACE set also what function_trace.py sees."""
import json
import os
import sys
import unittest

from function_trace import FunctionTrace

OUTCOMES = {}
TRACE = FunctionTrace() if "FUNPRM_TRACE" in os.environ else None


class Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        OUTCOMES[test.id()] = ["passed", None]
        if TRACE:
            TRACE.begin(test.id())

    def stopTest(self, test):
        if TRACE:
            TRACE.end()
        super().stopTest(test)

    def note(self, test, outcome, error):
        OUTCOMES[test.id()] = [outcome, error[0].__name__]
        if TRACE:
            TRACE.failed(test.id(), error[2])

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "failed", error)

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "error", error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        OUTCOMES[test.id()] = ["skipped", None]

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        OUTCOMES[test.id()] = ["failed", None]

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            outcome = "failed" if issubclass(error[0], test.failureException) else "error"
            self.note(test, outcome, error)


sys.path.insert(0, os.getcwd())
runner = unittest.TextTestRunner(resultclass=Result)
program = unittest.main(module=None, argv=["python -m unittest", *sys.argv[1:]], testRunner=runner, exit=False)
with open(os.environ["FUNPRM_RESULTS"], "w", encoding="utf-8") as file:
    json.dump(OUTCOMES, file)
sys.exit(0 if program.result.wasSuccessful() and OUTCOMES else 1)
