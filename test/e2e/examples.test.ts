/** The hook and the workflow of examples/ do what they say, without an app. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TINY = join(ROOT, "test/fixtures/models/tiny");
const BEFORE = "def total(xs):\n    return sum(xs)\n";
const AFTER = "def total(xs):\n    return sum(xs) + 1\n";
let repo: string;
const git = (...args: string[]) =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    cwd: repo,
    encoding: "utf8",
  });

beforeAll(() => {
  repo = mkdtempSync(join(tmpdir(), "funprm-examples-"));
  git("init", "--quiet", "--initial-branch=main");
  writeFileSync(join(repo, "a.py"), BEFORE);
  git("add", ".");
  git("commit", "--quiet", "-m", "base");
});
afterAll(() => rmSync(repo, { recursive: true, force: true }));

/** npm's own set-up is not what is tested: a stand-in that passes the arguments on. */
function withoutSetUp(): string {
  const bin = mkdtempSync(join(repo, ".git/bin-"));
  writeFileSync(
    join(bin, "npm"),
    `#!/bin/sh\nexport INIT_CWD="$PWD"\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "${process.execPath}" "${join(ROOT, "src/main.ts")}" "$@"\n`,
    { mode: 0o755 },
  );
  return `${bin}:${process.env["PATH"]}`;
}

test("the hook reviews what is staged, not the working tree, and lets through what did not fall", () => {
  symlinkSync(join(ROOT, "examples/pre-commit.sh"), join(repo, ".git/hooks/pre-commit"));
  writeFileSync(join(repo, "a.py"), AFTER);
  git("add", "a.py");
  writeFileSync(join(repo, "a.py"), "def other():\n    pass\n");
  const run = spawnSync(join(repo, ".git/hooks/pre-commit"), ["--model", TINY, "--json"], {
    cwd: repo,
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: withoutSetUp(),
      GIT_AUTHOR_NAME: "t",
      GIT_AUTHOR_EMAIL: "t@example.org",
      GIT_COMMITTER_NAME: "t",
      GIT_COMMITTER_EMAIL: "t@example.org",
    },
  });
  const report = JSON.parse(run.stdout);
  expect(report.functions.map((one: { name: string; change: string }) => `${one.change} ${one.name}`)).toEqual([
    "modified total",
  ]);
  expect(run.status).toBe(report.functions[0].finding && report.functions[0].attribution < 0.5 ? 1 : 0);
});

test("the workflow reviews the second parent of GitHub's trial merge, with only the right to read", () => {
  const workflow = parse(readFileSync(join(ROOT, "examples/github-actions.yml"), "utf8"));
  expect(workflow.permissions).toEqual({ contents: "read" });
  const step = workflow.jobs.review.steps.find((one: { name?: string }) => one.name === "Review");
  // What a pull request's author writes is never part of the script.
  expect(step.run).not.toContain("${{");
  git("checkout", "--quiet", "--force", "-b", "change");
  writeFileSync(join(repo, "a.py"), AFTER);
  git("commit", "--quiet", "--no-verify", "--all", "-m", "change");
  git("checkout", "--quiet", "main");
  git("merge", "--quiet", "--no-ff", "--no-verify", "-m", "trial", "change");
  const temp = mkdtempSync(join(tmpdir(), "funprm-runner-"));
  const summary = join(temp, "summary.md");
  const run = spawnSync("bash", ["-eo", "pipefail", "-c", step.run.replaceAll('"$@"', `"$@" --model ${TINY}`)], {
    cwd: repo,
    encoding: "utf8",
    env: {
      ...process.env,
      PATH: withoutSetUp(),
      TITLE: "$(touch owned) `x`",
      BODY: "b",
      RUNNER_TEMP: temp,
      GITHUB_STEP_SUMMARY: summary,
    },
  });
  expect([run.status, run.stderr]).toEqual([0, ""]);
  const said = readFileSync(summary, "utf8");
  expect(said).toMatch(/a\.py: total[\s\S]*scored 1\/1/);
  // Code by its indent, every line of it.
  expect(said).toMatch(/^\n(?: {4}.*\n)+$/);
  expect(JSON.parse(readFileSync(join(repo, "funprm.sarif"), "utf8")).version).toBe("2.1.0");
  expect(git("status", "--porcelain")).not.toContain("owned");
  rmSync(temp, { recursive: true });
});
