/** Git states that are seldom seen: each has one clear line, or its own place in what was compared. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createWorkspace } from "../../src/adapters/workspace/workspace.ts";

const workspace = createWorkspace();
const root = mkdtempSync(join(tmpdir(), "funprm-compare-"));
const folder = join(root, "origin");
const gitIn = (cwd: string, ...args: string[]) =>
  execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  }).trim();
const git = (...args: string[]) => gitIn(folder, ...args);
const commit = (files: Record<string, string>, message: string) => {
  for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, path), text);
  git("add", "--all");
  git("commit", "--quiet", "-m", message);
};

/** Takes one object out of a clone. */
function lose(clone: string, oid: string): void {
  const pack = join(clone, ".git/objects/pack");
  const packed = readdirSync(pack).filter((name) => name.endsWith(".pack"));
  const inputs = packed.map((name) => readFileSync(join(pack, name)));
  rmSync(pack, { recursive: true });
  for (const input of inputs) execFileSync("git", ["unpack-objects", "-q"], { cwd: clone, input });
  rmSync(join(clone, ".git/objects", oid.slice(0, 2), oid.slice(2)));
}

beforeAll(() => {
  gitIn(root, "init", "--quiet", "--initial-branch=main", "origin");
  commit({ "a.py": "def a():\n    return 1\n", "b.py": "def b():\n    return 1\n" }, "base");
  git("checkout", "--quiet", "-b", "change");
  commit({ "a.py": "def a():\n    return 2\n", "b.py": "def b():\n    return 2\n" }, "change");
  git("checkout", "--quiet", "main");
  commit({ "main.py": "def later():\n    return 1\n" }, "main went on");
  git("checkout", "--quiet", "--orphan", "other");
  git("rm", "--quiet", "-r", "--force", ".");
  commit({ "other.py": "class K:\n    x = 'nothing alike'\n" }, "another root");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

it("compares the trees of histories that share nothing", async () => {
  const { baseSha, files } = await workspace.compare(folder, "main", "other");
  expect(baseSha).toBe(git("rev-parse", "main"));
  expect(files.map((file) => file.path).sort()).toEqual(["a.py", "b.py", "main.py", "other.py"]);
});

it("refuses a shallow clone that has lost the merge base, with the cure, instead of comparing the wrong trees", async () => {
  gitIn(root, "clone", "--quiet", "--depth=1", "--no-single-branch", `file://${folder}`, "shallow");
  await expect(workspace.compare(join(root, "shallow"), "origin/main", "origin/change")).rejects.toMatchObject({
    code: "BAD_INPUT",
    message: expect.stringMatching(/shallow clone.*--unshallow$/),
  });
});

it("lists a file whose contents are not there, and reads the others", async () => {
  gitIn(root, "clone", "--quiet", "--no-local", `file://${folder}`, "damaged");
  const clone = join(root, "damaged");
  lose(clone, git("rev-parse", "change:b.py"));
  const { files } = await workspace.compare(clone, "origin/main", "origin/change");
  expect(files.map(({ path, unreadable, after }) => [path, unreadable, after?.length ?? null])).toEqual([
    ["a.py", null, 22],
    ["b.py", "contents are not in this clone", null],
  ]);
});

it("a history that lacks a commit is one line that says how to mend it", async () => {
  gitIn(root, "clone", "--quiet", "--no-local", `file://${folder}`, "broken");
  const clone = join(root, "broken");
  lose(clone, git("rev-parse", "main~1"));
  await expect(workspace.compare(clone, "origin/main", "origin/change")).rejects.toMatchObject({
    code: "BAD_INPUT",
    message: expect.stringMatching(/history cannot be read \([^\n]+\); fetch it whole/),
  });
});

it("a file of 40 MB is listed and the others are read", async () => {
  git("checkout", "--quiet", "-b", "large", "change");
  commit({ "large.py": "#".repeat(40 * 1024 * 1024), "c.py": "def c():\n    return 3\n" }, "large");
  const { files } = await workspace.compare(folder, "change", "large");
  expect(files.map(({ path, unreadable }) => [path, unreadable])).toEqual([
    ["c.py", null],
    ["large.py", "file over 2 MB"],
  ]);
});
