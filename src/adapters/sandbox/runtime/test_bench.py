"""In-process tests (check, asserts, unittest, pytest): the weaker form of judging, marked `attested: in-process`.

Each test of the list that the judge made from the source runs in a fork of its own. Values that stand in an assertion are
asked whether they equal fresh random values first: what equals anything is a forgery.
"""
import ast
import os
import sys
import unittest

_TESTCASE, _SUITE, _RESULT = unittest.TestCase, unittest.TestSuite, unittest.TestResult


class _Tampered(BaseException):
    pass


_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset, type(None))


def _vet(value):
    """Honest values never equal a fresh random one of any kind."""
    if type(value) in _PLAIN:
        return value
    token = os.urandom(12).hex()
    number = int(token, 16)
    for probe in (number, -number - 0.5, token, token.encode(), [token], (number,), {token: number}, {number}, object()):
        try:
            same = value == probe
            different = value != probe
        except Exception:
            continue
        if (same is True or different is False) and type(value).__module__ != "unittest.mock":
            raise _Tampered("an answer of type %s equals anything" % type(value).__name__)
    return value


class _Wrap(ast.NodeTransformer):
    """`assert a == b` and `self.assertEqual(a, b)` look at their operands first."""

    def __init__(self, name):
        self.name = name

    def _vetted(self, node):
        if isinstance(node, (ast.Constant, ast.Starred)):
            return node
        call = ast.Call(ast.Name(self.name, ast.Load()), [node], [])
        return ast.fix_missing_locations(ast.copy_location(call, node))

    def visit_Assert(self, node):
        self.generic_visit(node)
        if isinstance(node.test, ast.Compare) and all(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.test.ops):
            node.test.left = self._vetted(node.test.left)
            node.test.comparators = [self._vetted(item) for item in node.test.comparators]
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("assertEqual", "assertNotEqual", "assertEquals"):
            node.args = [self._vetted(item) if index < 2 else item for index, item in enumerate(node.args)]
        return node


class Bench:
    def __init__(self, module, options):
        self.space = module.__dict__
        self.module = module
        self.entry = options["entry"]
        self.text = options["tests"]
        self.style = options["style"]
        vet = "_vet_" + os.urandom(6).hex()
        tree = ast.parse(self.text, "tests.py")
        if self.style == "pytest":
            import pytest
            self.pytest = pytest
            return
        self.space[vet] = _vet
        self.tree = _Wrap(vet).visit(tree)
        if self.style == "unittest":
            self._guarded()
            exec(compile(self.tree, "tests.py", "exec"), self.space)

    def _guarded(self):
        """The last lines of test files call unittest.main() or run a suite: the bench does that itself."""
        self.tree.body = [node for node in self.tree.body if not isinstance(node, (ast.If, ast.Expr))
                          or isinstance(node, ast.If) and "__main__" not in ast.dump(node.test)]

    def run(self, style, identity, error_text):
        """(KIND, payload) of the answer frame."""
        child = os.getpid()
        try:
            answer = getattr(self, "_run_" + style)(identity)
        except _Tampered as error:
            answer = ("tampered", str(error).encode("utf-8", "replace"))
        except AssertionError as error:
            answer = ("failed", error_text(error))
        except BaseException as error:
            answer = ("raised", error_text(error))
        if os.getpid() != child:
            os._exit(0)
        return answer

    def _run_source(self, text):
        exec(compile(text, "canary.py", "exec"), self.space)
        return ("passed", b"1")

    def _run_check(self, _identity):
        called = False
        body = []
        for node in self.tree.body:
            if isinstance(node, ast.If) and "__main__" in ast.dump(node.test):
                continue
            body.append(node)
            called = called or isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        self.tree.body = body
        exec(compile(self.tree, "tests.py", "exec"), self.space)
        if not called:
            target = eval(self.entry, self.space)
            self.space["check"](target)
        return ("passed", b"1")

    def _run_asserts(self, _identity):
        """Statement by statement; the payload is how many asserts at the top level were passed."""
        passed = 0
        for node in self.tree.body:
            exec(compile(ast.Module([node], []), "tests.py", "exec"), self.space)
            passed += isinstance(node, ast.Assert)
        return ("passed", str(passed).encode("ascii"))

    def _run_unittest(self, identity):
        case, method = identity.split(".")
        kind = self.space[case]
        if not issubclass(kind, _TESTCASE):
            raise TypeError("%s is no unittest.TestCase" % case)
        return self._unit(kind(method))

    def _unit(self, test):
        result = _RESULT()
        caught = []

        def keep(_test, error):
            caught.append(error)

        result.addError = keep
        failed = []
        result.addFailure = lambda _test, error: failed.append(error)
        plain = result.addSubTest

        def sub(test, subtest, error):
            if error is not None:
                (failed if issubclass(error[0], test.failureException) else caught).append(error)
            else:
                plain(test, subtest, error)

        result.addSubTest = sub
        _SUITE([test]).run(result)
        for error in caught:
            raise error[1]
        if failed or result.unexpectedSuccesses:
            return ("failed", ('{"classes":["AssertionError"],"message":%s}' % _text(failed)).encode("ascii"))
        if result.testsRun != 1:
            raise RuntimeError("the test did not run")
        if result.skipped:
            return ("skipped", b"")
        return ("passed", b"1")

    def _run_canaries(self, token):
        """Outcomes of assertions that must fail, then of one that must pass: what a patched unittest would change."""
        number = int(token)
        must_fail = {
            "equal": lambda case: case.assertEqual(number, number + 1),
            "true": lambda case: case.assertTrue(number < 0),
            "false": lambda case: case.assertFalse(number > 0),
            "in": lambda case: case.assertIn(number, [number + 1]),
            "is": lambda case: case.assertIs(number, None),
            "none": lambda case: case.assertIsNone(number),
            "almost": lambda case: case.assertAlmostEqual(number, number + 1),
            "list": lambda case: case.assertEqual([number], [number + 1]),
            "dict": lambda case: case.assertEqual({"k": number}, {"k": number + 1}),
            "text": lambda case: case.assertEqual(str(number), str(number + 1)),
            "raises": lambda case: case.assertRaises(ValueError, int, "1"),
            "fail": lambda case: case.fail("must fail"),
        }
        outcomes = []
        for name, work in [*must_fail.items(), ("pass", lambda case: case.assertEqual(number, number))]:
            kind = type("Test" + os.urandom(4).hex(), (_TESTCASE,), {"test_" + name: work})
            outcomes.append(self._unit(kind("test_" + name))[0])
        return ("canaries", ",".join(outcomes).encode("ascii"))

    def _run_pytest(self, identity):
        path = os.path.join(os.getcwd(), "test_candidate.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text)
        outcomes = []

        class Plugin:
            def pytest_runtest_logreport(self, report):
                if report.when == "call" or report.outcome != "passed":
                    outcomes.append("xfailed" if hasattr(report, "wasxfail") and report.outcome == "skipped" else report.outcome)

        code = self.pytest.main(["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "--rootdir", os.getcwd(),
                                 path + "::" + identity.replace(".", "::")], plugins=[Plugin()])
        if code != 0 or not outcomes:
            return ("failed", b'{"classes":["AssertionError"],"message":"pytest exit code %d"}' % int(code))
        if all(outcome == "skipped" for outcome in outcomes):
            return ("skipped", b"")
        return ("passed", b"1")


def _text(failed):
    from _json import encode_basestring_ascii
    return encode_basestring_ascii(str(failed[0][1])[:300] if failed else "unexpected success")
