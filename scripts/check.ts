/**
 * Every check, the same locally and in CI: types, format and lint, dead code, generated files, the TypeScript suites, the
 * Python suites. Ends with one line `N passed, N failed, N skipped` over all of them; exit 1 when anything failed.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

type Tally = { passed: number; failed: number; skipped: number };
const total: Tally = { passed: 0, failed: 0, skipped: 0 };
const reports = mkdtempSync(join(tmpdir(), "funprm-check-"));
const asRoot = process.getuid?.() === 0;

function execute(argv: string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", (error) => {
      console.error(`${argv[0]}: ${error.message}`);
      resolve(127);
    });
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** A tool that passes or fails as a whole counts as one check. */
async function single(name: string, argv: string[]): Promise<void> {
  console.log(`\n== ${name}`);
  const ok = (await execute(argv)) === 0;
  add(name, { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 });
}

/** A test runner counts each of its tests; a report that is missing or empty is a failure. */
async function suite(name: string, argv: string[], report: string, read: (text: string) => Tally): Promise<void> {
  console.log(`\n== ${name}`);
  const code = await execute(argv);
  let tally: Tally = { passed: 0, failed: 1, skipped: 0 };
  if (existsSync(report)) tally = read(readFileSync(report, "utf8"));
  if (tally.passed === 0 || (code !== 0 && tally.failed === 0)) tally.failed += 1;
  add(name, tally);
}

function add(name: string, tally: Tally): void {
  // As root everything is installed by the set-up, so a skip hides a check that could have run (rulings 13).
  if (asRoot) {
    tally = { ...tally, failed: tally.failed + tally.skipped, skipped: 0 };
  }
  total.passed += tally.passed;
  total.failed += tally.failed;
  total.skipped += tally.skipped;
  console.log(`-- ${name}: ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
}

function readVitest(text: string): Tally {
  const report = JSON.parse(text) as {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    numTodoTests: number;
    testResults: { status: string; assertionResults: unknown[] }[];
  };
  // A file that fails to load has no tests of its own, and must not vanish from the count.
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function readJunit(text: string): Tally {
  const count = (name: string) =>
    [...text.matchAll(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`, "g"))].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
  const failed = count("failures") + count("errors");
  const skipped = count("skipped");
  return { passed: count("tests") - failed - skipped, failed, skipped };
}

const bin = (name: string) => join("node_modules", ".bin", name);
await single("types", [bin("tsc"), "--noEmit", "-p", "."]);
await single("format and lint", [bin("biome"), "check", "--error-on-warnings", "."]);
await single("unused code", [bin("knip")]);
await single("generated files are fresh", [process.execPath, "scripts/generate-docs.ts", "--check"]);
const vitestReport = join(reports, "vitest.json");
await suite(
  "TypeScript",
  [bin("vitest"), "run", "--reporter=default", "--reporter=json", `--outputFile.json=${vitestReport}`],
  vitestReport,
  readVitest,
);
const python = "gpu-worker/.venv/bin/python";
await single("gpu-worker lint", [python, "-m", "ruff", "check", "gpu-worker"]);
await single("gpu-worker types", [
  python,
  "-m",
  "mypy",
  "--config-file",
  "gpu-worker/pyproject.toml",
  "gpu-worker/funprm_worker",
  "gpu-worker/bench",
  "gpu-worker/tests",
]);
const pytestReport = join(reports, "pytest.xml");
await suite(
  "gpu-worker",
  [python, "-m", "pytest", "-q", "gpu-worker/tests", `--junitxml=${pytestReport}`],
  pytestReport,
  readJunit,
);
rmSync(reports, { recursive: true, force: true });
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
