/** Snapshots of labels on disk: named by their content, the same again, and what differs between two. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { createFiles } from "../../src/adapters/files/files.ts";
import type { OutcomeEvent } from "../../src/domain/outcome.ts";
import { buildSnapshot, diffSnapshots, readSnapshot, snapshotStore } from "../../src/flows/build-snapshot.ts";
import { removeActor } from "../../src/flows/remove-labels.ts";
import type { Clock, LearningStore } from "../../src/ports.ts";

const DAY = 86_400_000;
const clock: Clock = { now: () => new Date(3_000 * DAY), sleep: async () => {} };
const files = createFiles();
let out: string;
let learning: LearningStore;
let close: () => Promise<void>;
beforeEach(async () => {
  out = mkdtempSync(join(tmpdir(), "funprm-snapshots-"));
  const opened = await openDatabase({ path: ":memory:", now: clock.now, random: (count) => new Uint8Array(count) });
  learning = opened.learning;
  close = opened.close;
});
afterEach(async () => {
  await close();
  rmSync(out, { recursive: true });
});

/** A merged pull request with a covered function; `author` decides its label. */
async function merged(number: number, author = "ann", repositoryId = 1): Promise<void> {
  const place = { installationId: 7, repositoryId, pullRequest: number };
  const at = (1_000 + number * 3) * DAY;
  const head = `head${number}`;
  const id = "a.py#f";
  const fact = { at, actor: "funprm[bot]" };
  const events: OutcomeEvent[] = [
    { ...fact, id: "opened", actor: author, kind: "opened", number, head, base: "base", defaultBranch: "main" },
    { ...fact, id: "changes", kind: "changes", head, paths: ["a.py"], functions: [{ id, hash: `${number}` }] },
    { ...fact, id: "merged", kind: "merged", head, testMerge: null, final: [`final${number}`] },
    { ...fact, id: "check", kind: "check", sha: head, name: "ci", attempt: 1, conclusion: "success", required: true },
    {
      ...fact,
      id: "tests",
      kind: "tests",
      sha: head,
      run: "sandbox",
      attempt: 1,
      results: [{ id: "t", outcome: "passed", executes: [id], traceback: [] }],
    },
  ];
  await learning.append(place, events);
  await learning.saveTexts(place, [
    {
      function: id,
      candidate: null,
      hash: `${number}`,
      language: "python",
      prompt: "Problem",
      completions: [`def f():\n    return ${repositoryId} + ${number}`],
      renderVersion: "v1",
    },
  ]);
}

const build = (more: Partial<Parameters<typeof buildSnapshot>[1]> = {}) =>
  buildSnapshot({ learning, files, clock }, { out, perActor: 100, without: [], repositoryId: null, ...more });

describe("a snapshot of labels", () => {
  it("is named by its content: the same log gives the same folder and bytes, and its card counts what is in it", async () => {
    for (let number = 1; number <= 30; number++) await merged(number);
    const card = await build();
    const path = join(card.folder, "training.jsonl.gz");
    const bytes = readFileSync(path);
    expect((await build()).sha256).toBe(card.sha256);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const rows = Object.values(card.splits).reduce((sum, split) => sum + split.rows, 0);
    expect([rows, card.labels]).toEqual([30, { "B+": 30 }]);
    expect(card.splits.training.rows).toBeGreaterThan(card.splits.meta.rows);
    expect(card.splits.validation).toMatchObject({ byGrade: { "B+": card.splits.validation.rows }, repositories: 1 });
    const read = await readSnapshot(files, card.folder);
    expect(read).toEqual(card);
    expect(readFileSync(join(card.folder, "card.md"), "utf8")).toContain("| training |");
    expect(statSync(card.folder).isDirectory()).toBe(true);
  });

  it("a label more is another snapshot; the old one stays, and diff says what came", async () => {
    for (let number = 1; number <= 10; number++) await merged(number);
    const before = await build();
    await merged(11);
    const after = await build();
    expect(after.folder).not.toBe(before.folder);
    expect(await diffSnapshots(files, before.folder, after.folder)).toEqual({
      added: 1,
      removed: 0,
      relabelled: 0,
      moved: 0,
      same: 10,
    });
    expect((await readSnapshot(files, before.folder)).sha256).toBe(before.sha256);
  });

  it("removing a person from the log, or leaving them out by name, is the snapshot of a team without them", async () => {
    for (let number = 1; number <= 8; number++) await merged(number);
    const never = await build();
    for (let number = 9; number <= 16; number++) await merged(number, "eve");
    expect((await build()).sha256).not.toBe(never.sha256);
    expect((await build({ without: ["Eve"] })).sha256).toBe(never.sha256);
    await learning.removeActor("eve");
    expect((await build()).sha256).toBe(never.sha256);
  });

  it("that holds a label of a removed person goes whole, however it was built; those of the others stay", async () => {
    await learning.saveRepository({ installationId: 7, repositoryId: 1, owner: "o", repo: "r" });
    for (let number = 1; number <= 8; number++) await merged(number);
    const old = await build();
    // A revert of Eve's decides a label of somebody else's function; her own pull requests hold hers.
    const at = (1_000 + 2 * 3 + 1) * DAY;
    const commits = [{ sha: "r2", message: "Revert two\n\nReverts #2", functions: ["a.py#f"] }];
    await learning.append({ installationId: 7, repositoryId: 1, pullRequest: null }, [
      { id: "pushed:r2", at, actor: "Eve", kind: "pushed", branch: "main", commits },
    ]);
    const reverted = await build();
    await merged(9, "eve");
    const capped = await build({ perActor: 1 });
    const never = await build({ without: ["eve"] });
    expect(new Set([old, reverted, capped].map(({ sha256 }) => sha256)).size).toBe(3);
    expect(never.sha256).toBe(old.sha256);
    await merged(10, "Zoe", 2);
    const others = await build({ repositoryId: 2 });
    const removed = await removeActor({ learning, files, clock }, out, "eve");
    // The second row of the oldest is not hers, but nobody can tell it from the one that she decided.
    expect(removed.pullRequests).toBe(1);
    expect(await files.folders(out)).toEqual([others.sha256.slice(0, 16)]);
    expect(removed.snapshots).toHaveLength(3);
    expect((await build({ repositoryId: 1 })).sha256).toBe(never.sha256);
    expect(await removeActor({ learning, files, clock }, out, "eve")).toEqual({ pullRequests: 0, snapshots: [] });
  });

  it("holds no more than the cap of one person, and says what it left out", async () => {
    for (let number = 1; number <= 12; number++) await merged(number);
    const card = await build({ perActor: 5 });
    expect(Object.values(card.splits).reduce((sum, split) => sum + split.rows, 0)).toBe(5);
    expect(card.left).toEqual({ "over the cap of one person, or signals that disagree": 7 });
  });

  it("goes with the installation whose rows it holds, others stay", async () => {
    const here = { installationId: 7, repositoryId: 1, owner: "o", repo: "r" };
    await learning.saveRepository(here);
    await merged(1);
    const mine = await build();
    await learning.deleteInstallation(7, 1);
    await learning.saveRepository(here);
    await learning.saveRepository({ ...here, installationId: 8, repositoryId: 2 });
    await merged(2, "ann", 2);
    const other = await build();
    const store = snapshotStore({ learning, files }, out);
    await store.deleteInstallation(9);
    expect(await files.folders(out)).toHaveLength(2);
    await store.deleteInstallation(7);
    expect(await files.folders(out)).toEqual([other.sha256.slice(0, 16)]);
    // Written while the facts of its repository went: nobody can say whose it is.
    await learning.deleteInstallation(8);
    await store.deleteInstallation(9);
    expect(await files.folders(out)).toEqual([]);
    await store.deleteInstallation(7);
    expect(mine.sha256).not.toBe(other.sha256);
    expect(await files.folders(join(out, "none"))).toEqual([]);
  });

  it("without a label says in one line what there is", async () => {
    await expect(build()).rejects.toMatchObject({ code: "BAD_INPUT", message: expect.stringMatching(/it is empty/) });
  });
});
