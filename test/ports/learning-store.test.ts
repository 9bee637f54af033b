/** What every `LearningStore` promises (src/ports.ts). */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { gradedLabels } from "../../src/domain/graded-label.ts";
import { type OutcomeEvent, withoutActor } from "../../src/domain/outcome.ts";
import type { LabelledText, LearningStore, PullRequestKey } from "../../src/ports.ts";

const DAY = 86_400_000;
const REPO = 5_000_000_001;
const [HEAD, BASE, FINAL] = ["a".repeat(40), "b".repeat(40), "c".repeat(40)];
const place = (pullRequest: number | null, more: Partial<PullRequestKey> = {}) =>
  ({ installationId: 7, repositoryId: REPO, ...more, pullRequest }) as PullRequestKey;

const opened = (number: number, actor: string): OutcomeEvent => ({
  id: `opened:${number}`,
  at: DAY,
  actor,
  kind: "opened",
  number,
  head: HEAD,
  base: BASE,
  defaultBranch: "main",
});
const merged = (actor: string): OutcomeEvent => ({
  id: "merged",
  at: 2 * DAY,
  actor,
  kind: "merged",
  head: HEAD,
  testMerge: null,
  final: [FINAL],
});
const changes: OutcomeEvent = {
  id: "changes",
  at: DAY,
  actor: "funprm[bot]",
  kind: "changes",
  head: HEAD,
  paths: ["a.py"],
  functions: [{ id: "a.py#f", hash: "1" }],
};
const check = (sha: string, conclusion: "success" | "failure" | null, at = 2 * DAY): OutcomeEvent => ({
  id: `check:${sha}:ci:1`,
  at,
  actor: "github-actions[bot]",
  kind: "check",
  sha,
  name: "ci",
  attempt: 1,
  conclusion,
  required: true,
});
const revert = (actor: string): OutcomeEvent => ({
  id: "push:d",
  at: 3 * DAY,
  actor,
  kind: "pushed",
  branch: "main",
  commits: [{ sha: "d".repeat(40), message: `Revert\n\nThis reverts commit ${FINAL}.`, functions: null }],
});
const text = (hash: string, candidate: LabelledText["candidate"] = null): LabelledText => ({
  function: "a.py#f",
  candidate,
  hash,
  language: "python",
  prompt: "p",
  completions: [`def f(): return ${hash}`],
  renderVersion: "v1",
});

function learningStorePromises(open: (now: () => Date) => Promise<{ learning: LearningStore }>): void {
  const fresh = async () => {
    let time = 0;
    const now = () => new Date(time);
    return { ...(await open(now)), at: (instant: number) => (time = instant) };
  };

  it("keeps a fact once, the newer of two tellings, whatever the order", async () => {
    const early = check(HEAD, null, DAY);
    const late = check(HEAD, "success", 2 * DAY);
    for (const order of [
      [early, late],
      [late, early],
    ]) {
      const { learning } = await fresh();
      await learning.append(place(1), [opened(1, "ann")]);
      const stored = [];
      for (const event of [...order, ...order]) stored.push(await learning.append(place(null), [event]));
      expect(await learning.events(REPO, 1)).toEqual([opened(1, "ann"), late]);
      expect(stored.slice(2)).toEqual([0, 0]);
    }
  });

  it("joins checks by commit and pushes by time, whichever came first", async () => {
    const { learning } = await fresh();
    const older: OutcomeEvent = { ...revert("rob"), id: "push:old", at: DAY - 1 };
    await learning.append(place(null), [
      check(HEAD, "success"),
      check(BASE, "success"),
      check("e".repeat(40), "failure"),
    ]);
    await learning.append(place(null), [revert("rob"), older]);
    await learning.append(place(1), [opened(1, "ann"), changes, merged("ann")]);
    await learning.append(place(2), [
      { ...opened(2, "bob"), head: "f".repeat(40), base: "9".repeat(40) } as OutcomeEvent,
    ]);
    expect((await learning.events(REPO, 1)).map(({ id }) => id)).toEqual(
      ["changes", "opened:1", `check:${HEAD}:ci:1`, `check:${BASE}:ci:1`, "merged", "push:d"].sort(
        (a, b) => order(a) - order(b) || (a < b ? -1 : 1),
      ),
    );
    expect((await learning.events(REPO, 2)).map(({ id }) => id)).toEqual(["opened:2", "push:d"]);
    expect(await learning.events(REPO + 1, 1)).toEqual([]);
    expect((await learning.events(REPO, null)).map(({ id }) => id).sort()).toEqual(
      [`check:${BASE}:ci:1`, `check:${"e".repeat(40)}:ci:1`, `check:${HEAD}:ci:1`, "push:d", "push:old"].sort(),
    );
    expect(await learning.pullRequestsAt(REPO, FINAL)).toEqual([place(1)]);
    expect(await learning.pullRequestsAt(REPO, "0".repeat(40))).toEqual([]);
  });

  it("lists pull requests by installation, repository and newest fact", async () => {
    const { learning } = await fresh();
    const other = place(3, { repositoryId: 2, installationId: 8 });
    await learning.append(place(null), [revert("rob")]);
    await learning.append(place(1), [opened(1, "ann"), merged("ann")]);
    await learning.append(place(2), [opened(2, "bob")]);
    await learning.append(other, [opened(3, "bob")]);
    expect(await learning.pullRequests()).toEqual([other, place(1), place(2)]);
    expect(await learning.pullRequests({ installationId: 7 })).toEqual([place(1), place(2)]);
    expect(await learning.pullRequests({ repositoryId: 2 })).toEqual([other]);
    expect(await learning.pullRequests({ since: new Date(2 * DAY) })).toEqual([place(1)]);
  });

  it("keeps texts by function, hash and candidate", async () => {
    const { learning } = await fresh();
    await learning.append(place(1), [opened(1, "ann")]);
    const candidate = { run: "r", index: 3 };
    await learning.saveTexts(place(1), [text("1"), text("2"), text("1", candidate)]);
    await learning.saveTexts(place(1), [{ ...text("1"), prompt: "new" }]);
    const kept = await learning.texts(REPO, 1);
    expect(kept).toHaveLength(3);
    expect(kept.filter((one) => one.hash === "1" && one.candidate === null)).toEqual([{ ...text("1"), prompt: "new" }]);
    expect(await learning.texts(REPO, 2)).toEqual([]);
  });

  it("removing an actor leaves the log as if they had never been, from then on too", async () => {
    const people = ["ann", "Eve", "rob"];
    const story = fc.record({
      author: fc.constantFrom(...people),
      merger: fc.constantFrom(...people),
      reverter: fc.constantFrom(null, ...people),
      late: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(story, { minLength: 1, maxLength: 5 }), async (stories) => {
        const [kept, never] = [await fresh(), await fresh()];
        for (const [index, { author, merger, reverter, late }] of stories.entries()) {
          const repositoryId = REPO + index;
          const own = [opened(1, author), changes, merged(merger)];
          const pushed = reverter === null ? [] : [revert(reverter)];
          await kept.learning.append(place(1, { repositoryId }), own);
          await kept.learning.saveTexts(place(1, { repositoryId }), [text("1")]);
          if (!late) await kept.learning.append(place(null, { repositoryId }), pushed);
          await never.learning.append(place(1, { repositoryId }), withoutActor(own, "eve"));
          await never.learning.append(place(null, { repositoryId }), withoutActor(pushed, "eve"));
        }
        await kept.learning.removeActor("eve");
        // Read before the removal, saved after it.
        for (const index of stories.keys())
          await kept.learning.saveTexts(place(1, { repositoryId: REPO + index }), [text("2")]);
        for (const [index, { reverter, late }] of stories.entries())
          if (late && reverter !== null)
            await kept.learning.append(place(null, { repositoryId: REPO + index }), [revert(reverter)]);
        expect(await kept.learning.pullRequests()).toEqual(await never.learning.pullRequests());
        for (const index of stories.keys()) {
          const events = await kept.learning.events(REPO + index, 1);
          expect(events).toEqual(await never.learning.events(REPO + index, 1));
          expect(JSON.stringify(events)).not.toContain("Eve");
          expect(gradedLabels(1, events, 40 * DAY)).toEqual(
            gradedLabels(1, await never.learning.events(REPO + index, 1), 40 * DAY),
          );
          if (events.length === 0) expect(await kept.learning.texts(REPO + index, 1)).toEqual([]);
        }
        expect(await kept.learning.removedActors()).toEqual(["eve"]);
      }),
      { numRuns: 15 },
    );
  });

  it("forgets an installation, or one repository of it, with its texts and nothing else", async () => {
    const { learning } = await fresh();
    const [one, two, other] = [
      place(1),
      place(1, { repositoryId: 2 }),
      place(1, { repositoryId: 3, installationId: 8 }),
    ];
    for (const key of [one, two, other]) {
      await learning.append(key, [opened(1, "ann")]);
      await learning.append({ ...key, pullRequest: null }, [revert("rob")]);
      await learning.saveTexts(key, [text("1")]);
      await learning.saveRepository({ ...refOf(key), repo: "old" });
      await learning.saveRepository(refOf(key));
    }
    await learning.deleteInstallation(7, REPO);
    expect(await learning.repositories()).toEqual([refOf(two), refOf(other)]);
    expect(await learning.pullRequests()).toEqual([two, other]);
    await learning.deleteInstallation(7);
    expect(await learning.pullRequests()).toEqual([other]);
    expect([await learning.texts(2, 1), await learning.texts(REPO, 1)]).toEqual([[], []]);
    expect(await learning.texts(3, 1)).toHaveLength(1);
    // The pushes went too: a pull request that comes later does not find them.
    await learning.append(one, [opened(1, "ann")]);
    expect(await learning.events(REPO, 1)).toHaveLength(1);
    expect(await learning.events(3, 1)).toHaveLength(2);
  });

  it("retention takes pull requests without a newer fact, and old facts of the repository", async () => {
    const { learning } = await fresh();
    await learning.append(place(1), [opened(1, "ann"), merged("ann")]);
    await learning.append(place(2), [opened(2, "bob")]);
    await learning.saveTexts(place(2), [text("1")]);
    await learning.append(place(null), [
      check(HEAD, "success"),
      revert("rob"),
      { ...revert("rob"), id: "old", at: DAY },
    ]);
    expect(await learning.expireBefore(new Date(2 * DAY))).toBe(2);
    expect(await learning.pullRequests()).toEqual([place(1)]);
    expect(await learning.texts(REPO, 2)).toEqual([]);
    expect((await learning.events(REPO, 1)).map(({ id }) => id)).toEqual([
      "opened:1",
      `check:${HEAD}:ci:1`,
      "merged",
      "push:d",
    ]);
  });
}

function refOf({ installationId, repositoryId }: PullRequestKey) {
  return { installationId, repositoryId, owner: "o", repo: "r" };
}

/** Instants of the facts of this file. */
function order(id: string): number {
  return id === "push:d" ? 3 : id === "merged" || id.startsWith("check") ? 2 : 1;
}

describe("SQLite", () => {
  const opening: { close(): Promise<void> }[] = [];
  afterAll(() => Promise.all(opening.map((database) => database.close())));
  learningStorePromises(async (now) => {
    const database = await openDatabase({ path: ":memory:", now, random: (bytes) => new Uint8Array(bytes) });
    opening.push(database);
    return database;
  });
});
