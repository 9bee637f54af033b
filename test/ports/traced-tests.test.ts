/** What a judged run says of functions: which test executes which, and whose traceback they stand in; tests of a later commit. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSandboxJudge, type SandboxJudge } from "../../src/adapters/sandbox/sandbox-judge.ts";
import type { RepositoryTestRun } from "../../src/domain/judge.ts";

let judge: SandboxJudge;
let root: string;
const TESTS = `import unittest
from pkg.shapes import area, Square, spread
from pkg.late import late

class TestShapes(unittest.TestCase):
    def test_area(self):
        self.assertEqual(area(2, 3), 6)
    def test_square(self):
        self.assertEqual(Square(2).doubled(), 8)
    def test_raises(self):
        self.assertEqual(spread([1, "a"]), 0)
    def test_thread(self):
        import threading
        worker = threading.Thread(target=area, args=(1, 1))
        worker.start()
        worker.join()
    def test_none(self):
        self.assertTrue(True)
`;
const FILES: Record<string, string> = {
  "pkg/__init__.py": "",
  "pkg/late.py": "def late():\n    return 1\n",
  "pkg/shapes.py": `import functools

TOP = (lambda: 1)()

def logged(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args)
    return wrapper

@logged
def area(w, h):
    return w * h

class Square:
    side = 1
    def __init__(self, side):
        self.side = side
    def doubled(self):
        return area(self.side, self.side) * 2

def spread(values):
    def largest():
        return max(values)
    return largest() - min(values)
`,
  "tests/__init__.py": "",
  "tests/test_shapes.py": TESTS,
  // A module of the tree under the driver's name must not be taken for it.
  "function_trace.py": "raise SystemExit(3)\n",
};

beforeAll(async () => {
  judge = await createSandboxJudge({ weakestTier: 1 });
  root = mkdtempSync(join(tmpdir(), "funprm-traced-"));
  chmodSync(root, 0o755);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
});
afterAll(() => {
  judge.dispose();
  rmSync(root, { recursive: true });
});

const run = (more: object) =>
  judge.runRepositoryTests({ root, overlay: [], command: null, environment: null, timeoutSeconds: 20, ...more });
const seen = (ran: RepositoryTestRun, test: string) => {
  const found = ran.tests.find(({ id }) => id.endsWith(`.${test}`));
  return { outcome: found?.outcome, executes: found?.executes, traceback: found?.traceback };
};
const of = (...names: string[]) => names.map((name) => `pkg/shapes.py#${name}`);

const RUNNERS: [string, string[]][] = [
  ["unittest", ["python3", "-m", "unittest", "discover", "-s", "tests", "-t", "."]],
];
if (existsSync("/usr/lib/python3/dist-packages/pytest/__init__.py"))
  RUNNERS.push(["pytest", ["python3", "-m", "pytest"]]);

describe.each(RUNNERS)("traced by %s", (_, command) => {
  it("each test names the functions it executes and those of its traceback, nested ones as their outer one", async () => {
    const ran = await run({ command, trace: ["pkg/shapes.py", "pkg/none.py"] });
    expect(ran.status).toBe("ran");
    expect(seen(ran, "test_area")).toEqual({ outcome: "passed", executes: of("area", "logged"), traceback: [] });
    expect(seen(ran, "test_square").executes).toEqual(of("Square.__init__", "Square.doubled", "area", "logged"));
    expect(seen(ran, "test_raises")).toMatchObject({ executes: of("spread"), traceback: of("spread") });
    expect(["failed", "error"]).toContain(seen(ran, "test_raises").outcome);
    expect(seen(ran, "test_thread").executes).toEqual(of("area", "logged"));
    expect(seen(ran, "test_none")).toEqual({ outcome: "passed", executes: [], traceback: [] });
  });

  it("outcomes are those of a run without a trace, which says nothing of functions", async () => {
    const [plain, traced] = [await run({ command }), await run({ command, trace: ["pkg/shapes.py"] })];
    const outcomes = (ran: RepositoryTestRun) => ran.tests.map(({ id, outcome, error }) => [id, outcome, error]).sort();
    expect(outcomes(traced)).toEqual(outcomes(plain));
    expect(plain.tests.every((test) => test.executes === undefined)).toBe(true);
  });

  it("tests of a later commit stand in place of base's, and what they name but base lacks is an ImportError", async () => {
    const later = TESTS.replace("from pkg.late import late", "from pkg.late import later");
    const ran = await run({ command, tests: [{ path: "tests/test_shapes.py", content: Buffer.from(later) }] });
    expect(ran.tests.map(({ outcome, error }) => [outcome, error])).toEqual([["error", "ImportError"]]);
    const gone = await run({
      command,
      tests: [
        { path: "tests/test_shapes.py", content: null },
        { path: "tests/test_new.py", content: Buffer.from(TESTS) },
        { path: "../escape.py", content: Buffer.from("x") },
      ],
    });
    expect(gone.tests).toHaveLength(5);
    expect(gone.tests.every(({ id }) => id.includes("test_new"))).toBe(true);
    expect(existsSync(join(root, "tests/test_new.py"))).toBe(false);
  });
});
