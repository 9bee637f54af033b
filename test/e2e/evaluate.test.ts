import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "test/fixtures/models/tiny");
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "funprm-evaluate-"));
  const problem = (k: number) => {
    const right = `def add(a, b):\n    """Add."""\n    return a + b + ${k}\n`;
    const helped = `def add(a, b):\n    return up(a + b)\n\n\ndef up(n):\n    return n + ${k}\n`;
    const codes: [string, boolean][] = [
      [helped, true],
      [helped.replace("n + ", "n - 1 - "), false],
      [right, true],
      [right.replace("return a", "c = a\n    return c"), true],
      [right.replace("a + b", "a - b"), false],
      [right.replace("a + b", "b"), false],
      ["def add(a, b:\n", false],
    ];
    return {
      set: "own",
      problem_id: `p${k}`,
      group: `g${k}`,
      prompt: `def add(a, b):\n    """Sum and ${k}.\n    >>> add(1, 2)\n    ${3 + k}\n    """\n`,
      entry_point: "add",
      io: "call",
      tests: null,
      difficulty: k % 2 ? "easy" : "hard",
      candidates: codes.map(([code, passed], at) => ({ id: `p${k}#${at}`, model: "m", code, passed, dups: at % 2 })),
    };
  };
  writeFileSync(
    join(folder, "own.jsonl"),
    Array.from({ length: 6 }, (_, k) => `${JSON.stringify(problem(k))}\n`).join(""),
  );
  writeFileSync(join(folder, "bad.jsonl"), '{"set":"own"}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function evaluate(...args: string[]) {
  return spawnSync(process.execPath, [join(ROOT, "src/main.ts"), "evaluate", "--model", TINY, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder },
  });
}

describe("funprm evaluate", () => {
  test("JSON of the contract; examples that ran beat the crowd; a second run rests on what is kept and says the same", () => {
    const args = ["--set", "own.jsonl", "--n", "1,2,4", "--against", TINY, "--report", "report", "--json"];
    const first = evaluate(...args);
    expect({ status: first.status, stderr: first.stderr }).toEqual({ status: 0, stderr: "" });
    const report = JSON.parse(first.stdout);
    expect(report).toMatchObject({
      split: "all",
      within: "model",
      n: [1, 2, 4],
      reportN: 4,
      model: { name: expect.any(String) },
    });
    const [set] = report.sets;
    expect(set).toMatchObject({ set: "own", problems: 6, mixed: 6, candidates: 42, withExamples: 6, stepAuc: null });
    expect(set.selectors["public-tests"]["4"].pass).toBeGreaterThan(set.selectors.random["4"].pass + 0.3);
    expect(set.selectors.hybrid["4"].pass).toBeCloseTo(set.selectors.oracle["4"].pass, 1);
    expect(set.selectors["self-certainty"]).toBeNull();
    expect(Object.keys(set.byDifficulty)).toEqual(["easy", "hard"]);
    expect(set.byForm["not nested"].problems).toBe(6);
    expect(set.selectors.hybrid["4"].subsetCi).toHaveLength(2);
    expect(set.granularity.map((cell: { granularity: string }) => cell.granularity)).toContain("whole");
    expect(set.granularity[0].second).toMatchObject({ diff: 0, diffCi: [0, 0] });
    expect(report.second.sha256).toBe(report.model.sha256);
    expect(set.auc).toMatchObject({
      value: expect.any(Number),
      ci: [expect.any(Number), expect.any(Number)],
      problems: 6,
    });
    expect(JSON.parse(readFileSync(join(folder, "report/report.json"), "utf8"))).toEqual(report);
    const rows = readFileSync(join(folder, "runs/cache/evidence.jsonl"), "utf8");
    expect(evaluate(...args).stdout).toBe(first.stdout);
    expect(readFileSync(join(folder, "runs/cache/evidence.jsonl"), "utf8")).toBe(rows);
  }, 60_000);

  test("the page fits a phone, in the dark too, loads nothing and shows every selector", async () => {
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
      const page = await browser.newPage({ viewport: { width: 390, height: 800 }, colorScheme: "dark" });
      const loaded: string[] = [];
      page.on("request", (request) => loaded.push(request.url()));
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(error.message));
      await page.goto(pathToFileURL(join(folder, "report/index.html")).href);
      expect(loaded).toHaveLength(1);
      expect(problems).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(390);
      expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).toBe("rgb(26, 32, 44)");
      const text = await page.innerText("body");
      for (const name of ["hybrid", "public-tests", "prm-mean", "oracle"]) expect(text).toContain(name);
      const plots = await page.locator("figcaption").allInnerTexts();
      for (const plot of ["Pass rate by N", "Gap from random", "Reliability", "Risk and coverage", "Mean reward"])
        expect(plots.some((caption) => caption.startsWith(plot))).toBe(true);
      expect(await page.locator("svg").count()).toBe(plots.length);
      expect(await page.locator(".heat .steps span").count()).toBe(20);
      for (const part of ["What a step is", "By difficulty", "By form", "several groups of one problem"])
        expect(text).toContain(part);
      expect(text).not.toContain(folder);
    } finally {
      await browser.close();
    }
  }, 60_000);

  test.each([
    [["--set", "none.jsonl"], /none\.jsonl/],
    [["--set", "bad.jsonl"], /bad\.jsonl:1: problem_id/],
    [["--set", "own.jsonl", "--n", "0"], /--n 0/],
    [["--set", "own.jsonl", "--selectors", "magic"], /magic is none of random/],
    [["--set", "own.jsonl", "--split", "test"], /--split test/],
    [["--set", "own.jsonl", "--granularity", "word"], /word is none of function/],
    [["--set", "own.jsonl", "--worker", "http://127.0.0.1:1"], /exclude each other/],
    [[], /--set/],
  ])("%j is one line and exit 2", (args, message) => {
    const { status, stderr, stdout } = evaluate("--no-execute", ...args);
    expect({ status, lines: stderr.trim().split("\n").length, stdout }).toEqual({ status: 2, lines: 1, stdout: "" });
    expect(stderr).toMatch(message);
  });
});
