/** A stranger's pull request from a fork is reviewed as any other: parsed, never executed, by the settings of the base alone. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Job } from "../../src/domain/run.ts";
import { type RecordOutcomePorts, recordOutcome } from "../../src/flows/record-outcome.ts";
import { startReviewWorld } from "../fakes/review-world.ts";

const CONFIG =
  "review: { max_inline: 2 }\nlearn: { collect: all }\ntests: { runner: sandbox, command: [python3, run.py] }\n";

let world: Awaited<ReturnType<typeof startReviewWorld>>;
let number: number;
/** Processes that were started in here since the world stands. */
const started: unknown[] = [];
const note = (message: unknown) => void started.push(message);

beforeAll(async () => {
  world = await startReviewWorld(CONFIG);
  await world.push({ "m.py": "def f(x):\n    return x\n" }, "main");
  await world.github.act("fork", { ...world.at, login: "eve" });
  subscribe("child_process", note);
});
afterAll(async () => {
  unsubscribe("child_process", note);
  await world.stop();
});

/** Everything that some tool of a pull request's own tree would run. */
const TRAPS = {
  ".github/funprm.yml": "review: { auto: never, max_inline: 0, ignore_paths: ['**'] }\nlearn: { collect: none }\n",
  ".github/workflows/evil.yml": "on: pull_request_target\njobs: {}\n",
  ".gitattributes": "*.py filter=evil diff=evil\n",
  ".githooks/post-checkout": "#!/bin/sh\nexit 1\n",
  "conftest.py": "raise SystemExit('executed')\n",
  "sitecustomize.py": "raise SystemExit('executed')\n",
  "setup.py": "raise SystemExit('executed')\n",
  "run.py": "raise SystemExit('executed')\n",
};
const pushToFork = (files: Record<string, string>) =>
  world.github.act("push", {
    owner: "eve",
    repo: world.at.repo,
    login: "eve",
    branch: "work",
    files: Object.entries(files).map(([path, text]) => ({ path, text })),
  }) as Promise<{ sha: string }>;
const opened = async (more: object = {}) => {
  const { number: made } = await world.github.act("pull", {
    ...world.at,
    ...{ login: "eve", from: "eve", branch: "work", title: "From a fork" },
    ...more,
  });
  return made as number;
};
const heard = (action: string) =>
  world.hear("pull_request", { action, sender: { login: "eve", type: "User" }, pull_request: { number } });

describe("a pull request from a fork", () => {
  it("gets its check run and comments in the base repository; the fork's own settings are not read", async () => {
    const { sha } = await pushToFork({ "m.py": "def f(x):\n    return x - BUG\n", ...TRAPS });
    number = await opened({ maintainerCanModify: true });
    await heard("opened");
    const { pull, checks, violations } = await world.state(number);
    expect(checks).toHaveLength(1);
    expect(checks[0]).toMatchObject({ headSha: sha, externalId: `review-${number}`, status: "completed" });
    expect(checks[0].title).toMatch(/^1\/1 functions scored · 1 low/);
    expect(pull.comments.map((one: { path: string; line: number }) => [one.path, one.line])).toEqual([["m.py", 2]]);
    const { repos } = await world.github.act("state");
    const fork = repos.find((one: { owner: string }) => one.owner === "eve");
    expect([fork.checkRuns, fork.issues]).toEqual([[], []]);
    expect(violations).toEqual([]);
  });

  it("follows pushes to the fork, whether maintainers may modify it or not, and never writes to it", async () => {
    const { sha } = await pushToFork({ "m.py": "def f(x):\n    return x + 1\n" });
    await heard("synchronize");
    const { pull, checks, effects, violations } = await world.state(number);
    expect(checks.at(-1)).toMatchObject({ headSha: sha, status: "completed" });
    expect(pull.comments.map((one: { resolved: boolean }) => one.resolved)).toEqual([true]);
    const ours = (effects as { actor: string; path: string; operation: string }[]).filter(
      (one) => one.actor === "funprm[bot]",
    );
    expect(ours.length).toBeGreaterThan(3);
    for (const { path, operation } of ours) {
      expect(path).not.toContain("/eve/");
      expect(operation).not.toMatch(/^(git|repos)\//);
    }
    expect(violations).toEqual([]);
  });

  it("is commanded by people of the base repository alone: its author has no right there", async () => {
    const before = (await world.state(number)).checks.length;
    const comment = await world.say(number, "/funprm review full", "eve");
    const { comments, checks } = await world.state(number);
    const said = comments.find((one: { id: number }) => one.id === comment);
    expect(said.reactions.map((one: { content: string }) => one.content)).toEqual(["-1"]);
    expect(checks).toHaveLength(before);
  });

  it("is still reviewed when its fork is gone", async () => {
    const { sha } = await pushToFork({ "m.py": "def f(x):\n    return x - BUG3\n" });
    await world.github.act("delete-repository", { owner: "eve", repo: world.at.repo });
    await world.say(number, "/funprm review");
    const { pull, checks, violations } = await world.state(number);
    expect(checks.at(-1)).toMatchObject({ headSha: sha, status: "completed" });
    expect(checks.at(-1).title).toMatch(/^1\/1 functions scored · 1 low/);
    expect(pull.comments).toHaveLength(2);
    // GitHub's description of this one answer knows no head without a repository; GitHub answers null, as its webhooks say.
    const unknown = violations.filter((one: { message: string }) => one.message !== "head.repo must be object");
    expect(unknown).toEqual([]);
  });

  it("is not checked out or tested when it is closed unmerged", async () => {
    await world.github.act("change", { ...world.at, number, login: "ada", state: "closed" });
    const never = () => {
      throw new Error("code of a fork was about to run");
    };
    const { ports } = world;
    const outcome: RecordOutcomePorts = {
      ...ports,
      runs: world.database.runs,
      workspace: { checkout: never, compare: never, fileAt: never },
      artifacts: { read: never },
      judge: { sandbox: { tier: 0, probes: [] } as never, judge: never, run: never, runRepositoryTests: never },
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      environment: () => "",
    };
    const payload = { ...world.ref, saw: { kind: "pull", number } };
    await recordOutcome(
      outcome,
      { payload, attempts: 1, maxAttempts: 5 } as unknown as Job,
      new AbortController().signal,
    );
    const kinds = (await ports.learning.events(world.ref.repositoryId, number)).map((event) => event.kind);
    expect(kinds).toContain("closed");
    expect(kinds).not.toContain("tests");
  });

  it("started no process at all", () => {
    expect(started).toEqual([]);
  });
});
