/** The promise of `Judge`: what cannot be forged decides, nothing gets out, nothing is left, honest programs pass. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openMachine } from "../../src/adapters/sandbox/machine.ts";
import { createSandboxJudge, judgeOn, type SandboxJudge } from "../../src/adapters/sandbox/sandbox-judge.ts";
import type { Verdict } from "../../src/domain/candidate.ts";
import type { JudgeProblem, JudgeVerdict } from "../../src/domain/judge.ts";

const LONG = process.env["FUNPRM_LONG"] !== undefined;
const fixtures = join(import.meta.dirname, "../fixtures");

const PROBLEM: JudgeProblem & { io: "call" } = {
  io: "call",
  entry_point: "solve",
  cases: [
    { args: [3], kwargs: {}, expected: 7 },
    { args: [10], kwargs: {}, expected: 21 },
  ],
};

const FIRST: JudgeProblem = { ...PROBLEM, cases: PROBLEM.cases.slice(0, 1) };

let judge: SandboxJudge;
beforeAll(async () => {
  judge = await createSandboxJudge({ weakestTier: 1 });
});
afterAll(() => judge.dispose());

function programs(folder: string): { name: string; code: string; allowed: string[] }[] {
  return readdirSync(join(fixtures, folder)).map((file) => {
    const code = readFileSync(join(fixtures, folder, file), "utf8");
    const allowed = /^# verdict: (\S+)$/m.exec(code)?.[1]?.split("|") ?? ["PASS"];
    return { name: file.replace(".py", ""), code, allowed };
  });
}

/** Processes of this judge's sandboxes. The zygote, which waits for the next candidate, and its bubblewrap are none. */
function leftovers(): { pid: number; parent: number; args: string }[] {
  const ours = execFileSync("ps", ["-eo", "ppid,pid,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(judge.staging))
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)!)
    .map(([, parent, pid, args]) => ({ parent: Number(parent), pid: Number(pid), args: args! }));
  const wraps = ours.filter(({ args }) => /^\S*bwrap .*zygote\.py/.test(args)).map(({ pid }) => pid);
  return ours.filter(({ pid, parent }) => !wraps.includes(pid) && !wraps.includes(parent));
}

const python = (code: string) => ({ code, language: "python" as const });

describe("tier 1", () => {
  it("is what this machine gives, its probes held", () => {
    expect(judge.sandbox.tier).toBe(1);
    expect(judge.sandbox.probes.length).toBeGreaterThanOrEqual(7);
    expect(judge.sandbox.probes.filter((probe) => !probe.ok)).toEqual([]);
  });

  const hostile = programs("hostile");
  it(`holds ${hostile.length} hostile programs, each with its verdict, none late, nothing left`, async () => {
    expect(hostile.length).toBeGreaterThanOrEqual(40);
    const misses: string[] = [];
    for (let round = 0; round < (LONG ? 20 : 1); round++) {
      // Most of them end at the limit: half a second shows the same as two.
      await inParallel(4, hostile, async ({ name, code, allowed }) => {
        const verdict = await judge.judge(PROBLEM, python(code), { cpuSeconds: 0.5, failFast: true });
        if (!allowed.includes(verdict.verdict)) misses.push(`${name}: ${verdict.verdict} (${verdict.detail})`);
      });
    }
    expect(misses).toEqual([]);
    expect(leftovers()).toEqual([]);
  }, 900_000);

  const honest = programs("honest");
  it(`never fails ${honest.length} honest programs, also when more run than there are cores`, async () => {
    const misses: string[] = [];
    for (let round = 0; round < (LONG ? 20 : 1); round++) {
      await inParallel(LONG ? 8 : 3, honest, async ({ name, code }) => {
        const verdict = await judge.judge(PROBLEM, python(code));
        if (verdict.verdict !== "PASS" && !verdict.contended)
          misses.push(`${name}: ${verdict.verdict} (${verdict.detail})`);
      });
    }
    expect(misses).toEqual([]);
  }, 900_000);

  it("compares values strictly unless the problem says otherwise", async () => {
    const answer = async (
      source: string,
      expected: JudgeVerdict["verdict"],
      problem: Partial<JudgeProblem & { io: "call" }>,
    ) => {
      const cases = [{ args: [], kwargs: {}, expected: null, ...problem.cases?.[0] }];
      const verdict = await judge.judge(
        { ...PROBLEM, ...problem, cases } as JudgeProblem,
        python(`def solve():\n    return ${source}\n`),
      );
      expect(`${source} ${verdict.verdict}`).toBe(`${source} ${expected}`);
    };
    const one = (expected: unknown, more: object = {}) => ({ cases: [{ expected }], ...more }) as never;
    await answer("(1, 2)", "WRONG", one([1, 2]));
    await answer("(1, 2)", "PASS", one([1, 2], { compare: { sequence: "loose" } }));
    await answer(
      "{1: {2}, 'a': b'x'}",
      "PASS",
      one({
        $dict: [
          [1, { $set: [2] }],
          ["a", { $bytes: "eA==" }],
        ],
      }),
    );
    await answer("10**30", "PASS", one({ $int: "1000000000000000000000000000000" }));
    await answer("1.0", "WRONG", one(1));
    await answer("1.0", "PASS", one(1, { compare: { numbers: "loose" } }));
    await answer("0.1 + 0.2", "PASS", one(0.3, { compare: { float: { abs: 1e-9, rel: 0 } } }));
    await answer("float('inf')", "PASS", one({ $float: "inf" }));
    await answer("int('x')", "PASS", one({ $raises: "ValueError" }));
    await answer("int('1')", "WRONG", one({ $raises: "ValueError" }));
    await answer("b'x'.decode('utf-9')", "PASS", one({ $raises: "LookupError" }));
    const all = "type('E', (ValueError, TypeError, KeyError), {})()";
    await answer(`(_ for _ in ()).throw(${all})`, "RUNTIME_ERROR", one({ $raises: "TypeError" }));
    await answer("[][1]", "PASS", one({ $raises: "LookupError" }));
    await answer("'\\ud800é\\x00'", "PASS", one("\ud800é\x00"));
  });

  it.each([
    ["hangs", "while True: pass", "TIME_LIMIT"],
    ["leaves", "os._exit(0)", "RUNTIME_ERROR"],
    ["raises", "raise KeyError(n)", "RUNTIME_ERROR"],
    ["ends what runs it", "os.kill(-1, 9)", "RUNTIME_ERROR"],
    ["prints without end", "sys.stderr.write('x' * 9_000_000)", "OUTPUT_LIMIT"],
    ["takes memory without end", "hold.append('x' * 2_000_000_000)", "MEMORY_LIMIT"],
    ["is wrong", "return -1", "WRONG"],
  ])("gives calls that go together the verdicts that each has alone: the third %s", async (_, act, verdict) => {
    const cases = [1, 2, 3, 4, 5].map((n) => ({ args: [n], kwargs: {}, expected: n }));
    const code = `import os, sys\nhold = []\ndef solve(n):\n    if n == 3:\n        ${act}\n    return n\n`;
    const whole = await judge.judge({ ...PROBLEM, cases }, python(code), { cpuSeconds: 0.5 });
    expect(whole.cases.map((one) => one.verdict)).toEqual(["PASS", "PASS", verdict, "PASS", "PASS"]);
    const first = await judge.judge({ ...PROBLEM, cases }, python(code), { cpuSeconds: 0.5, failFast: true });
    expect(first.cases.map((one) => one.verdict)).toEqual(["PASS", "PASS", verdict, "NOT_RUN", "NOT_RUN"]);
  });

  it.each([
    ["works on the first call only", "    seen.append(n)\n    return n if len(seen) == 1 else -1"],
    ["is heavy", "    for _ in range(2_000_000): pass\n    return n"],
    ["leaves a thread behind", "    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n    return n"],
    ["sleeps", "    time.sleep(0.2)\n    return n"],
  ])("fails no honest program because calls go together: it %s", async (_, body) => {
    const cases = [1, 2, 3, 4, 5].map((n) => ({ args: [n], kwargs: {}, expected: n }));
    const code = `import threading, time\nseen = []\ndef solve(n):\n${body}\n`;
    const { verdict } = await judge.judge({ ...PROBLEM, cases }, python(code), { cpuSeconds: 0.5 });
    expect(verdict).toBe("PASS");
  });

  it("gives each stdin case a process of its own and asks for exit status 0", async () => {
    const problem: JudgeProblem = {
      io: "stdin",
      cases: [
        { input: "1\n2\n", expected: "3" },
        { input: "5\n6\n", expected: "11\n" },
      ],
    };
    const verdictOf = async (code: string) => (await judge.judge(problem, python(code))).verdict;
    expect(await verdictOf("print(int(input()) + int(input()))")).toBe("PASS");
    expect(await verdictOf("import sys\nprint(sum(map(int, sys.stdin)))\nsys.exit(3)")).toBe("RUNTIME_ERROR");
    expect(
      await verdictOf("import threading\nthreading.Thread(target=lambda: print(int(input()) + int(input()))).start()"),
    ).toBe("PASS");
    expect(await verdictOf("while True: print('x' * 1000)")).toBe("OUTPUT_LIMIT");
    expect(await verdictOf("print(3)")).toBe("WRONG");
  });

  it("runs JavaScript", async () => {
    const javascript = async (code: string, problem: JudgeProblem = PROBLEM) =>
      (await judge.judge(problem, { code, language: "javascript" })).verdict;
    expect(await javascript("function solve(n) { console.log('noise'); return 2 * n + 1; }")).toBe("PASS");
    expect(await javascript("module.exports = { solve: async (n) => 2 * n + 1 };")).toBe("PASS");
    expect(await javascript("const solve = (n) => 2 * n;")).toBe("WRONG");
    expect(await javascript("const solve = () => process.exit(0);")).toBe("RUNTIME_ERROR");
    expect(await javascript("const solve = () => { while (true); };", FIRST)).toBe("TIME_LIMIT");
    const stdin: JudgeProblem = { io: "stdin", cases: [{ input: "20", expected: "41" }] };
    expect(await javascript("console.log(2 * Number(require('fs').readFileSync(0, 'utf8')) + 1)", stdin)).toBe("PASS");
  });

  it("says FLAKY of what differs between runs, and runs at least three times", async () => {
    const code = "import os\ndef solve(n):\n    return 2 * n + 1 if os.urandom(1)[0] & 1 else 0\n";
    const verdicts = await Promise.all(
      Array.from({ length: 4 }, () => judge.judge(PROBLEM, python(code), { repeat: 12 })),
    );
    expect(verdicts.map((verdict) => verdict.verdict)).toEqual(Array(4).fill("FLAKY"));
  });

  it("calls it INFRA when the sandbox is killed from outside, and stops at once when told to", async () => {
    const sleeper = python("import time\ndef solve(n):\n    time.sleep(1.5)\n    return 2 * n + 1\n");
    const killed = judge.judge(FIRST, sleeper);
    await expect.poll(() => leftovers().length).toBeGreaterThanOrEqual(2);
    const pids = leftovers().map(({ pid }) => pid);
    const outermost = leftovers().find(({ parent }) => !pids.includes(parent))!;
    process.kill(outermost.pid, "SIGKILL");
    expect((await killed).verdict).toBe("INFRA");
    const controller = new AbortController();
    const stopped = judge.judge(FIRST, sleeper, {}, controller.signal);
    setTimeout(() => controller.abort(), 300);
    await expect(stopped).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(leftovers()).toEqual([]);
  });

  it("takes answers as long as the expected one", async () => {
    const problem: JudgeProblem = {
      ...FIRST,
      cases: [{ args: [200_000], kwargs: {}, expected: "x".repeat(200_000) }],
    } as JudgeProblem;
    expect((await judge.judge(problem, python("def solve(n): return 'x' * n"))).verdict).toBe("PASS");
    expect((await judge.judge(problem, python("def solve(n): return 'x' * 10 * n"))).verdict).toBe("OUTPUT_LIMIT");
  });

  it("gives outputs without expected values, equal answers as equal text", async () => {
    const inputs = { io: "call" as const, entry_point: "solve", cases: [{ args: [[3, 1]], kwargs: {} }] };
    const outputs = async (code: string) => (await judge.run(inputs, python(code))).outputs;
    expect(await outputs("def solve(x): return set(x)")).toEqual(await outputs("def solve(x): return {1, 3}"));
    expect(await outputs("def solve(x): return x[9]")).toEqual([{ error: "IndexError", verdict: "RUNTIME_ERROR" }]);
  });
});

const READS_FRAME = `import sys
def solve(n):
    for item in sys._getframe(1).f_code.co_consts:
        if type(item) is int and item not in (n, 0):
            return item
`;
const READS_TRACEBACK = `def solve(n):
    try:
        1 / 0
    except Exception as error:
        consts = error.__traceback__.tb_frame.f_back.f_code.co_consts
    return 2 * n + 1
`;
const READS_INSPECT = "import inspect\ndef solve(n):\n    inspect.stack()\n    return 2 * n + 1\n";
const READS_COLLECTOR = "import gc\ndef solve(n):\n    gc.get_objects()\n    return 2 * n + 1\n";
const READS_TRACE =
  "import threading, sys\nsys.settrace(lambda frame, event, arg: None)\ndef solve(n):\n    return 2 * n + 1\n";
const PATCHES_DRIVER = `import __main__
for name in list(vars(__main__)):
    if name in ("_frame", "_wait", "_error_text"):
        old = getattr(__main__, name)
        setattr(__main__, name, lambda r, n, k, p=b"": old(r, n, "passed" if k == "failed" else k, p))
def solve(n): return 0
`;
const PATCHES_LATE = `import unittest
def solve(n):
    unittest.TestCase.assertEqual = lambda *args: None
    return 0
`;
const LATE_TESTS = `import unittest
class TestSolve(unittest.TestCase):
    def test_small(self):
        result = solve(3)
        self.assertEqual(result, 7)
`;
/** A child made at import reads the requests in the judge's place and answers them. */
const STEALS_REQUESTS = `import os, re
if os.fork() == 0:
    for pid in (os.getppid(), 2, 1):
        for number in range(64):
            try:
                with open(f"/proc/{pid}/fd/{number}", "rb") as file:
                    line = file.readline().decode()
                nonce = re.search("[0-9a-f]{32}", line)[0]
                for target in range(64):
                    try:
                        os.write(target, f"{nonce} passed 1\\n1\\n{nonce} end 2\\n{{}}\\n".encode())
                    except OSError:
                        pass
            except Exception:
                pass
    os._exit(0)
def solve(n): return 0
`;
const WRITES_EVERYWHERE = `import os
def solve(n):
    for number in range(3, 64):
        try:
            os.write(number, b"passed 1" * 8)
        except OSError:
            pass
    return 0
`;
const PYTEST = "import pytest\ndef test_small():\n    assert solve(3) == 7\n";
const PATCHES_REPORTS = `import _pytest.reports
def fine(cls, item, call, *, real=_pytest.reports.TestReport.from_item_and_call.__func__):
    report = real(cls, item, call)
    report.outcome = "passed"
    return report
_pytest.reports.TestReport.from_item_and_call = classmethod(fine)
def solve(n): return 0
`;

describe("tests in the candidate's process", () => {
  const unit = `import unittest
class TestSolve(unittest.TestCase):
    def test_small(self):
        self.assertEqual(solve(3), 7)
    def test_large(self):
        self.assertEqual(solve(10), 21)
`;
  const check =
    "def check(candidate):\n    assert candidate(3) == 7\n    for n in range(3):\n        assert candidate(n) == 2 * n + 1\n";
  const verdictOf = async (tests: string, code: string): Promise<Verdict> => {
    const verdict = await judge.judge({ io: "tests", entry_point: "solve", tests }, python(code));
    expect(verdict.attested).toBe("in-process");
    return verdict.verdict;
  };

  it("accounts for every known test", async () => {
    const verdict = await judge.judge(
      { io: "tests", entry_point: null, tests: unit },
      python("def solve(n): return 7"),
    );
    expect(verdict.cases.map(({ id, verdict: said }) => `${id} ${said}`)).toEqual([
      "TestSolve.test_small PASS",
      "TestSolve.test_large WRONG",
    ]);
    for (const tests of [unit, check, "assert solve(3) == 7\nassert solve(10) == 21"]) {
      expect(await verdictOf(tests, "def solve(n): return 2 * n + 1")).toBe("PASS");
      expect(await verdictOf(tests, "def solve(n): return 2 * n")).toBe("WRONG");
    }
  });

  it.each([
    [
      "a patched unittest",
      "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef solve(n): return 0",
      "TAMPERED",
      unit,
    ],
    [
      "a patched run",
      "import unittest\nunittest.TestCase.run = lambda self, result=None: result\ndef solve(n): return 0",
      "TAMPERED",
      unit,
    ],
    ["always equal", "class A:\n    __eq__ = lambda s, o: True\ndef solve(n): return A()", "TAMPERED", unit],
    [
      "always equal in check",
      "class A(int):\n    __eq__ = lambda s, o: True\n    __hash__ = None\ndef solve(n): return A()",
      "TAMPERED",
      check,
    ],
    ["an early exit", "import os\nos._exit(0)", "RUNTIME_ERROR", unit],
    ["exit in a test", "import sys\ndef solve(n): sys.exit(0)", "RUNTIME_ERROR", unit],
    ["skipping", "import unittest\ndef solve(n): raise unittest.SkipTest('no')", "RUNTIME_ERROR", unit],
    ["a value from unittest.mock", "from unittest.mock import ANY\ndef solve(n): return ANY", "TAMPERED", unit],
    ["the expected value in a frame", READS_FRAME, "TAMPERED", unit],
    ["a frame by its traceback", READS_TRACEBACK, "TAMPERED", check],
    ["a frame that inspect lends", READS_INSPECT, "TAMPERED", check],
    ["objects that the collector knows", READS_COLLECTOR, "TAMPERED", unit],
    ["a trace function", READS_TRACE, "TAMPERED", check],
    ["the driver as __main__", PATCHES_DRIVER, "WRONG", unit],
    ["a patch made while it runs", PATCHES_LATE, "TAMPERED", LATE_TESTS],
    ["a patched builtin", "import builtins\nbuiltins.all = lambda x: True\ndef solve(n): return 0", "TAMPERED", check],
    ["a process that steals the requests", STEALS_REQUESTS, "WRONG|RUNTIME_ERROR", unit],
    ["everything written everywhere", WRITES_EVERYWHERE, "TAMPERED", check],
    [
      "less and more than anything",
      "class A:\n    __lt__ = __gt__ = lambda s, o: True\ndef solve(n): return A()",
      "TAMPERED",
      "assert solve(3) < 8\nassert solve(3) > 6",
    ],
    [
      "a difference of nothing",
      "class A(float):\n    __sub__ = lambda s, o: 0.0\ndef solve(n): return A()",
      "TAMPERED",
      "assert abs(solve(3) - 7) < 1e-6",
    ],
    [
      "members of everything",
      "class A:\n    __contains__ = lambda s, o: True\ndef solve(n): return A()",
      "TAMPERED",
      "assert 7 in solve(3)",
    ],
    [
      "a patched pytest",
      "import _pytest.runner\n_pytest.runner.call_runtest_hook = lambda *a, **k: None\ndef solve(n): return 0",
      "TAMPERED",
      PYTEST,
    ],
    ["a hook into pytest's reports", PATCHES_REPORTS, "TAMPERED", PYTEST],
    ["a wrong answer under pytest", "def solve(n): return 0", "WRONG", PYTEST],
    ["a printed OK", "print('OK')\ndef solve(n): print('Ran 2 tests OK'); return 0", "WRONG", unit],
  ])("is not fooled by %s", async (_name, code, expected, tests) => {
    expect(expected.split("|")).toContain(await verdictOf(tests, code));
  });
});

describe("tier 2", () => {
  it("holds the same hostile programs where there are no namespaces", async () => {
    const fallback = judgeOn(await openMachine(2, [2]));
    try {
      expect(fallback.sandbox).toMatchObject({ tier: 2 });
      const misses: string[] = [];
      const judgeAll = async (folder: string, cpuSeconds: number) =>
        inParallel(4, programs(folder), async ({ name, code, allowed }) => {
          const verdict = await fallback.judge(PROBLEM, python(code), { cpuSeconds, failFast: true });
          const fine =
            allowed.includes(verdict.verdict) || (folder === "hostile" && verdict.verdict === "RUNTIME_ERROR");
          if (!fine && !verdict.contended) misses.push(`${name}: ${verdict.verdict} (${verdict.detail})`);
        });
      await judgeAll("hostile", 0.5);
      await judgeAll("honest", 2);
      expect(misses).toEqual([]);
    } finally {
      fallback.dispose();
    }
  }, 300_000);
});

describe("tier 3", () => {
  it("refuses in one line that says the cure, and runs nothing", async () => {
    for (const machine of [await openMachine(0), await openMachine(2, [])]) {
      const none = judgeOn(machine);
      expect(none.sandbox.tier).toBe(3);
      await expect(none.judge(PROBLEM, python("def solve(n): return 7"))).rejects.toMatchObject({
        code: "SANDBOX_UNAVAILABLE",
      });
      await expect(none.run({ io: "stdin", cases: [] }, python(""))).rejects.toThrow(
        /^no sandbox: [^\n]*apt-get install bubblewrap[^\n]*$/,
      );
      none.dispose();
    }
  });
});

async function inParallel<T>(slots: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: slots }, async () => {
      while (next < items.length) await work(items[next++]!);
    }),
  );
}
