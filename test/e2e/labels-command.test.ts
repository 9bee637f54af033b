/** `funprm labels` and `funprm dataset build --labels` as a person runs them, on a database that an app has filled. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import type { OutcomeEvent } from "../../src/domain/outcome.ts";

const root = join(import.meta.dirname, "../..");
const ID = "a.py#f";
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-labels-"));
  const database = await openDatabase({
    path: join(folder, "app.db"),
    now: () => new Date(),
    random: (count) => new Uint8Array(count),
  });
  const { learning } = database;
  await learning.saveRepository({ installationId: 7, repositoryId: 1, owner: "team", repo: "code" });
  for (let number = 1; number <= 12; number++) {
    const key = { installationId: 7, repositoryId: 1, pullRequest: number };
    const fact = { at: Date.UTC(2026, 0, 1 + 7 * number), actor: "funprm[bot]" };
    const head = `head${number}`;
    const events: OutcomeEvent[] = [
      {
        ...fact,
        id: "opened",
        actor: number > 9 ? "eve" : "ann",
        kind: "opened",
        number,
        head,
        base: "base",
        defaultBranch: "main",
      },
      { ...fact, id: "changes", kind: "changes", head, paths: ["a.py"], functions: [{ id: ID, hash: `${number}` }] },
      { ...fact, id: "merged", kind: "merged", head, testMerge: null, final: [`final${number}`] },
      { ...fact, id: "check", kind: "check", sha: head, name: "ci", attempt: 1, conclusion: "success", required: true },
      {
        ...fact,
        id: "tests",
        kind: "tests",
        sha: head,
        run: "sandbox",
        attempt: 1,
        results: [{ id: "t", outcome: "passed", executes: number === 1 ? [] : [ID], traceback: [] }],
      },
    ];
    await learning.append(key, events);
    await learning.saveTexts(key, [
      {
        function: ID,
        candidate: null,
        hash: `${number}`,
        language: "python",
        prompt: "Problem",
        completions: [`def f():\n    return ${number}`],
        renderVersion: "v1",
      },
    ]);
  }
  await database.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function funprm(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, "src/main.ts"), ...args], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, INIT_CWD: folder, DATABASE_PATH: join(folder, "app.db"), LEARNING_DIR: "learning" },
  });
  return { status, stdout, stderr: stderr.replace(/\(node:.*\n.*\n/, "") };
}

describe("labels on the command line", { timeout: 180_000 }, () => {
  it("lists labels by grade, exports them with their provenance and without source text", () => {
    const listed = funprm("labels");
    expect([listed.status, listed.stderr]).toEqual([0, ""]);
    expect(listed.stdout).toMatch(/team\/code +│ 0 +│ 0 +│ 11 │ 0 +│ 1 │/);
    expect(listed.stdout).toContain("12 pull requests: 12 merged, 0 reverted, 0 closed, 0 pending");
    const { status } = funprm("labels", "export", "--out", "labels.jsonl", "--repo", "team/CODE");
    expect(status).toBe(0);
    const rows = readFileSync(join(folder, "labels.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(12);
    expect(rows[1]).toMatchObject({ kind: "function", grade: "B+", label: 1, function: ID, author: expect.anything() });
    expect(JSON.stringify(rows)).not.toContain("return");
  });

  it("builds a snapshot, shows it, and takes it away with the labels of a person that it holds", () => {
    const without = JSON.parse(funprm("dataset", "build", "--labels", "--without-actor", "eve", "--json").stdout);
    const first = JSON.parse(funprm("dataset", "build", "--labels", "--json").stdout);
    expect(first.folder).toBe(join(folder, "learning/snapshots", first.sha256.slice(0, 16)));
    expect(JSON.parse(funprm("dataset", "show", first.folder, "--json").stdout)).toEqual(first);
    expect(funprm("dataset", "diff", first.folder, without.folder).stdout).toBe(
      "0 rows added, 3 removed, 0 with another label, 0 in another set, 8 the same\n",
    );
    const deleted = funprm("labels", "delete", "--actor", "Eve");
    expect([deleted.status, deleted.stderr]).toEqual([0, ""]);
    expect(deleted.stdout).toMatch(/^3 pull requests gone, .* held a row of them: ([0-9a-f]{16});/);
    expect(deleted.stdout).toContain(`: ${first.sha256.slice(0, 16)};`);
    expect([existsSync(first.folder), existsSync(without.folder)]).toEqual([false, true]);
    const after = JSON.parse(funprm("dataset", "build", "--labels", "--json").stdout);
    expect(after.sha256).toBe(without.sha256);
    expect(JSON.parse(funprm("labels", "delete", "--actor", "Eve", "--json").stdout)).toEqual({
      pullRequests: 0,
      snapshots: [],
    });
  });

  it.each([
    [["labels", "delete"], "name one of --actor LOGIN, --repo OWNER/NAME, --installation ID"],
    [["labels", "list", "--repo", "team/none"], "no outcome of it is in the log; there are team/code"],
    [["dataset", "build", "--out", "x"], "give --sets FILE… or --labels"],
  ])("%j is refused in one line", (args, said) => {
    const { status, stderr } = funprm(...args);
    expect([status, stderr.trim().split("\n").length]).toEqual([2, 1]);
    expect(stderr).toContain(said);
  });
});
