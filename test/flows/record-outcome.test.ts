/** Facts from GitHub's own state: what lost webhooks would have told is found, and the same job twice changes nothing. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Finding } from "../../src/domain/finding.ts";
import { type RecordOutcomePayload, recordJob } from "../../src/domain/job-payloads.ts";
import { ofKind, outcomeOf } from "../../src/domain/outcome.ts";
import type { Job } from "../../src/domain/run.ts";
import { emptyReport } from "../../src/domain/test-report.ts";
import type { FakeGitHub } from "../../src/fake-github/start.ts";
import { type AnswerFindingPorts, answerFinding } from "../../src/flows/answer-finding.ts";
import { landedCommits } from "../../src/flows/record-landed.ts";
import { type RecordOutcomePorts, recordOutcome, repositoriesToSweep } from "../../src/flows/record-outcome.ts";
import type { CommitFacts, RepoRef } from "../../src/ports.ts";
import { openOutcomeWorld } from "../fakes/outcome-world.ts";

const CODE = "def one():\n    return 1\n";
let github: FakeGitHub;
let ports: RecordOutcomePorts;
let stop: () => Promise<void>;
let ref: RepoRef;
let at: { owner: string; repo: string };
let repositories = 0;

beforeAll(async () => {
  ({ github, ports, stop } = await openOutcomeWorld({
    events: [],
    permissions: {},
    logins: ["ann"],
    artifacts: { read: async () => emptyReport() },
    matches: (glob, name) => glob === name,
  }));
});
afterAll(async () => {
  await stop();
});
beforeEach(async () => {
  repositories += 1;
  at = { owner: "team", repo: `code-${repositories}` };
  const files = [
    { path: "a.py", text: CODE },
    { path: ".github/funprm.yml", text: "learn: { collect: all }\n" },
  ];
  const made = await github.act("repository", { ...at, files });
  ref = { installationId: made.installationId, repositoryId: made.id, ...at };
});

const record = async (saw: RecordOutcomePayload["saw"]) =>
  recordOutcome(ports, { payload: recordJob({ ...ref, saw }).payload } as Job, new AbortController().signal);
const push = async (branch: string, text: string, message = "A change"): Promise<string> =>
  (await github.act("push", { ...at, login: "ann", branch, message, files: [{ path: "a.py", text }] })).sha;
const open = async (branch: string, title: string): Promise<number> =>
  (await github.act("pull", { ...at, login: "ann", branch, title, body: "" })).number;
const events = (number: number) => ports.learning.events(ref.repositoryId, number);
const NOW = Date.now() + 86_400_000;

describe("commits that land", () => {
  const place: RepoRef = { installationId: 1, repositoryId: 2, owner: "Team", repo: "shop" };
  const commitOf = (sha: string, more: Partial<CommitFacts> = {}): CommitFacts => ({
    sha,
    message: "A change",
    author: "ann",
    at: "2026-01-02T00:00:00Z",
    parents: [],
    files: [],
    ...more,
  });
  const landed = (commits: CommitFacts[], push: Partial<Parameters<typeof landedCommits>[2]> = {}) =>
    landedCommits(
      { ...ports, host: { ...ports.host, commit: async (_, sha) => commits.find((one) => one.sha === sha)! } },
      place,
      { branch: "main", after: commits[0]!.sha, before: null, since: 0, at: null, by: null, ...push },
      new Map(),
      new AbortController().signal,
    );

  it("only this repository's own numbers are what a commit reverts", async () => {
    const message = "Bump\n\nReverts other/lib#7\nReverts team/Shop#8\nReverts #9";
    const [event] = await landed([commitOf("a", { message })]);
    expect(ofKind([event!], "pushed")[0]!.commits[0]!.message).toBe(
      "Bump\n\nReverts other/lib#7\nReverts #8\nReverts #9",
    );
  });

  it("who pushed decides, else an author that a signature vouches for, else nobody", async () => {
    const fix = { message: "Fix one", parents: ["base"] };
    const said = async (author: string | null, by: string | null) => {
      const [event] = await landed([commitOf("a", { ...fix, author })], { by, before: "base" });
      return { actor: event!.actor, functions: ofKind([event!], "pushed")[0]!.commits[0]!.functions };
    };
    expect(await said("eve", "rob")).toEqual({ actor: "rob", functions: [] });
    expect(await said("ann", null)).toEqual({ actor: "ann", functions: [] });
    expect(await said(null, null)).toEqual({ actor: "(unknown)", functions: null });
  });

  it("the commits of one push follow each other as they landed", async () => {
    const chain = ["c", "a", "b"].map((sha, i, all) => commitOf(sha, { parents: all.slice(i + 1, i + 2) }));
    const events = await landed(chain, { at: 1_000, by: "rob" });
    expect(events.map(({ id, at: when }) => [id, when])).toEqual([
      ["pushed:b", 1_000],
      ["pushed:a", 1_001],
      ["pushed:c", 1_002],
    ]);
  });
});

describe("a verdict on a finding", () => {
  it.each([
    ["told to the log", null, 1],
    ["told to nobody where nothing is collected", "learn: { collect: none }\n", 0],
    ["told to nobody where the settings cannot be read", "learn: [\n", 0],
  ])("is %s", async (_, config, told) => {
    const said: unknown[] = [];
    const finding = { path: "a.py", name: "one", state: "posted", threadId: null } as Finding;
    const host = {
      role: async () => "write",
      repository: async () => ({ defaultBranch: "main" }),
      branchSha: async () => "tip",
      readFile: async () => (config === null ? null : new TextEncoder().encode(config)),
    } as unknown as AnswerFindingPorts["host"];
    const reviews = {
      findings: async () => [finding],
      saveFinding: async () => {},
    } as unknown as AnswerFindingPorts["reviews"];
    const learning = { append: async (_: unknown, facts: unknown[]) => void said.push(...facts) };
    const jobs = { accept: async () => {} };
    const answering = { ...ports, host, reviews, learning, jobs } as unknown as AnswerFindingPorts;
    const command = { verb: "wrong", text: "one" };
    const payload = { installationId: 1, repositoryId: 2, owner: "o", repo: "r", issueNumber: 3, by: "ann", command };
    await answerFinding(answering, { payload: { ...payload, from: { kind: "button" } } } as unknown as Job);
    expect(said).toHaveLength(told);
  });
});

/** Git runs for every commit here, on a machine that may be busy. */
describe("recording outcomes", { timeout: 180_000 }, () => {
  it("the same job twice leaves the same facts", async () => {
    const head = await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    await github.act("check", { ...at, sha: head, name: "ci", conclusion: "success" });
    await github.act("merge", { ...at, number, login: "ann", method: "squash" });
    await record({ kind: "pull", number });
    const first = await events(number);
    expect(first.map((event) => event.kind).sort()).toEqual(["changes", "check", "merged", "opened"]);
    await record({ kind: "pull", number });
    const timeless = (all: typeof first) => all.map(({ at: _at, ...rest }) => rest);
    expect(timeless(await events(number))).toEqual(timeless(first));
    expect(ofKind(first, "changes")[0]!.functions.map((one) => one.id)).toEqual(["a.py#two"]);
    expect((await ports.learning.texts(ref.repositoryId, number)).map((text) => text.completions)).toEqual([
      ["def two():\n    return 2"],
    ]);
  });

  it("the sweep finds a revert and a check whose webhooks never came", async () => {
    const head = await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    const { sha } = await github.act("merge", { ...at, number, login: "ann", method: "merge" });
    await record({ kind: "pull", number });
    expect(outcomeOf(await events(number), NOW)).toMatchObject({ state: "merged", checks: { state: "unknown" } });
    await github.act("check", { ...at, sha: head, name: "ci", conclusion: "success" });
    const revert = await push("main", CODE, `Revert "Two"\n\nThis reverts commit ${sha}.`);
    expect((await repositoriesToSweep(ports)).map((one) => one.repo)).toContain(at.repo);
    await record({ kind: "sweep" });
    const found = outcomeOf(await events(number), NOW);
    expect(found).toMatchObject({ state: "reverted", checks: { state: "green" } });
    expect(found.reverts.map((edit) => edit.commit)).toEqual([revert]);
    const before = await events(number);
    await record({ kind: "sweep" });
    expect(await events(number)).toEqual(before);
  });

  it("a merge's own commits are no later fixes of it, whatever they are called", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 3\n`, "two");
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`, "fix: two was three");
    const number = await open("work", "fix: two");
    await github.act("merge", { ...at, number, login: "ann", method: "merge" });
    await record({ kind: "pull", number });
    await record({ kind: "sweep" });
    expect(outcomeOf(await events(number), NOW)).toMatchObject({ state: "merged", fixes: [], reverts: [] });
  });

  it("a merged revert pull request undoes, though only its commit names what it reverts", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    const { sha } = await github.act("merge", { ...at, number, login: "ann", method: "squash" });
    await record({ kind: "pull", number });
    await push("undo", CODE, `Revert "Two"\n\nThis reverts commit ${sha}.`);
    const undo = await open("undo", 'Revert "Two"');
    await github.act("merge", { ...at, number: undo, login: "ann", method: "merge" });
    await record({ kind: "sweep" });
    expect(outcomeOf(await events(number), NOW).state).toBe("reverted");
  });

  it("closed, opened again and merged is merged", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    const change = (state: string) => github.act("change", { ...at, number, login: "ann", state });
    await change("closed");
    await record({ kind: "pull", number });
    expect(outcomeOf(await events(number), NOW).state).toBe("closed");
    await change("open");
    await record({ kind: "pull", number });
    expect(outcomeOf(await events(number), NOW).state).toBe("pending");
    await github.act("merge", { ...at, number, login: "ann", method: "squash" });
    await record({ kind: "pull", number });
    expect(outcomeOf(await events(number), NOW).state).toBe("merged");
  });

  it("finds the run of a pull request however many newer ones other repositories have", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    const start = { ...ref, issueNumber: 900, trigger: { kind: "label" as const, label: "fix" }, startedBy: "ann" };
    const { run } = await ports.runs.openRun(start);
    await ports.runs.saveRun(run.id, { state: "opened", pullRequest: { number, url: "", draft: false } as never }, 0);
    const all = ports.runs.listRuns;
    ports.runs.listRuns = async (of) => (of.repositoryId === undefined ? [] : all(of));
    await record({ kind: "pull", number });
    ports.runs.listRuns = all;
    expect(ofKind(await events(number), "linked")).toMatchObject([{ run: run.id, by: "run" }]);
  });

  it("checks of a repository that nothing is known of are not kept", async () => {
    await record({
      kind: "checks",
      sha: "a".repeat(40),
      checks: [{ name: "ci", attempt: 1, conclusion: "success", at: 1 }],
    });
    expect((await ports.learning.repositories()).some((one) => one.repo === at.repo)).toBe(false);
  });

  it("what is under way when its author is removed leaves nothing, however far it came", async () => {
    for (const step of ["pullRequestFiles", "checkout", "append", "saveTexts"] as const) {
      const zoe = `zoe-${step.toLowerCase()}`;
      await github.act("user", { login: zoe });
      const body = `${CODE}\n\ndef ${step}():\n    return 2\n`;
      await github.act("push", { ...at, login: zoe, branch: step, files: [{ path: "a.py", text: body }] });
      const { number } = await github.act("pull", { ...at, login: zoe, branch: step, title: step, body: "" });
      await github.act("merge", { ...at, number, login: "ann", method: "squash" });
      const removing =
        <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
        async (...args: A): Promise<R> => {
          const answer = await call(...args);
          await ports.learning.removeActor(zoe);
          return answer;
        };
      const { host, workspace, learning } = ports;
      const during: RecordOutcomePorts = {
        ...ports,
        host: step === "pullRequestFiles" ? { ...host, pullRequestFiles: removing(host.pullRequestFiles) } : host,
        workspace: step === "checkout" ? { ...workspace, checkout: removing(workspace.checkout) } : workspace,
        learning: {
          ...learning,
          append: step === "append" ? removing(learning.append) : learning.append,
          saveTexts: step === "saveTexts" ? removing(learning.saveTexts) : learning.saveTexts,
        },
      };
      const { payload } = recordJob({ ...ref, saw: { kind: "pull", number } });
      await recordOutcome(during, { payload } as Job, new AbortController().signal);
      expect([step, await events(number), await learning.texts(ref.repositoryId, number)]).toEqual([step, [], []]);
      expect(
        (await learning.pullRequests()).some(
          (key) => key.pullRequest === number && key.repositoryId === ref.repositoryId,
        ),
      ).toBe(false);
    }
  });

  it("of a pull request whose author's account is deleted nothing is kept, nor changed what stood", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    await github.act("merge", { ...at, number, login: "ann", method: "squash" });
    await record({ kind: "pull", number });
    const before = await events(number);
    const { host } = ports;
    const pullRequest: typeof host.pullRequest = async (...args) => ({
      ...(await host.pullRequest(...args)),
      author: "ghost",
    });
    ports.host = { ...host, pullRequest };
    await record({ kind: "pull", number });
    expect(await events(number)).toEqual(before);
    await push("more", `${CODE}\n\ndef three():\n    return 3\n`);
    const later = await open("more", "Three");
    await github.act("merge", { ...at, number: later, login: "ann", method: "squash" });
    await record({ kind: "pull", number: later });
    ports.host = host;
    expect([await events(later), await ports.learning.texts(ref.repositoryId, later)]).toEqual([[], []]);
  });

  it("of a removed person's later pull request nothing is kept, its code least of all", async () => {
    await push("work", `${CODE}\n\ndef two():\n    return 2\n`);
    const number = await open("work", "Two");
    await github.act("merge", { ...at, number, login: "ann", method: "squash" });
    await ports.learning.removeActor("Ann");
    await record({ kind: "pull", number });
    expect(await events(number)).toEqual([]);
    expect(await ports.learning.texts(ref.repositoryId, number)).toEqual([]);
  });
});
