/** Reviews of pull requests on the fake GitHub, with a reward model that sees the word BUG and a database in memory. */
import { generateKeyPairSync } from "node:crypto";
import picomatch from "picomatch";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { createGitHost } from "../../src/adapters/github/git-host.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { jobOf } from "../../src/app/webhooks/receive.ts";
import { parseRepoConfig } from "../../src/config/repo-config.ts";
import { reviewJob } from "../../src/domain/job-payloads.ts";
import type { Job, NewJob } from "../../src/domain/run.ts";
import { startFakeGitHub } from "../../src/fake-github/start.ts";
import { replyCommand } from "../../src/flows/answer-command.ts";
import { type AnswerFindingPorts, answerFinding } from "../../src/flows/answer-finding.ts";
import { type ReviewPullPorts, reviewPull } from "../../src/flows/review-pull.ts";
import type { Clock, RepoRef } from "../../src/ports.ts";
import { createFakeRewardModel } from "./fake-reward-model.ts";

const APP = 77;
export const MARKER_KEY = "markers of this test";

/** Gives what holds a BUG a quarter, and counts the rows it was asked for. */
function countingModel() {
  let rows = 0;
  const model = createFakeRewardModel((_, prefix) => (prefix.at(-1)!.includes("BUG") ? 0.2 : 0.8));
  return {
    model: {
      ...model,
      score: (asked: Parameters<typeof model.score>[0]) => {
        rows += asked.length;
        return model.score(asked);
      },
    },
    rows: () => rows,
  };
}

export async function startReviewWorld(config: string, contents: "read" | "write" = "write") {
  const keys = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const github = await startFakeGitHub({
    id: APP,
    slug: "funprm",
    name: "FunPRM",
    owner: "operator",
    publicKey: keys.publicKey,
    webhookSecret: "a secret of this test",
    webhookUrl: null,
    events: ["pull_request", "check_run", "issue_comment", "pull_request_review_comment"],
    permissions: { metadata: "read", contents, issues: "write", pull_requests: "write", checks: "write" },
  });
  let time = Date.UTC(2026, 0, 1);
  const tick = () => {
    time += 1_000;
    return new Date(time);
  };
  const clock: Clock = { now: tick, sleep: async () => {} };
  const database = await openDatabase({ path: ":memory:", now: clock.now, random: (bytes) => new Uint8Array(bytes) });
  const { model, rows } = countingModel();
  const ports: ReviewPullPorts & AnswerFindingPorts = {
    host: createGitHost({
      appId: APP,
      privateKey: keys.privateKey,
      baseUrl: `${github.url}/api/v3`,
      clock: { now: () => new Date(), sleep: async () => {} },
      pacing: { spacingMs: 0, perMinute: 10_000, perHour: 100_000 },
      retryBaseMs: 1,
    }),
    syntax: await createSyntax(),
    model,
    bundled: async () => model,
    reviews: database.reviews,
    learning: database.learning,
    runs: database.runs,
    jobs: database.jobs,
    clock,
    markerKey: MARKER_KEY,
    parseConfig: parseRepoConfig,
    matches: (glob, path) => picomatch.isMatch(path, glob, { dot: true }),
  };
  const at = { owner: "team", repo: "code" };
  const made = await github.act("repository", {
    ...at,
    files: [
      { path: ".github/funprm.yml", text: config },
      { path: "app.py", text: "def main():\n    return 0\n" },
    ],
  });
  await github.act("role", { ...at, login: "ada", role: "write" });
  await github.act("user", { login: "eve" });
  const ref: RepoRef = { installationId: made.installationId, repositoryId: made.id, ...at };
  const claimed = (job: NewJob): Job => ({ ...job, attempts: 1, maxAttempts: 5 }) as unknown as Job;
  const signal = new AbortController().signal;

  const world = {
    github,
    ports,
    database,
    at,
    ref,
    /** Rows that the reward model was asked for so far. */
    rows,
    push: (files: Record<string, string | null>, branch = "work") =>
      github.act("push", {
        ...at,
        login: "ada",
        branch,
        files: Object.entries(files).map(([path, text]) => ({ path, text })),
      }) as Promise<{ sha: string }>,
    open: async (more: object = {}) =>
      (await github.act("pull", { ...at, login: "ada", branch: "work", title: "Work", ...more })).number as number,
    review: (number: number, more: { asked?: boolean; full?: boolean; head?: string | null } = {}) =>
      reviewPull(
        ports,
        claimed(
          reviewJob({
            ...ref,
            issueNumber: number,
            trigger: "synchronize",
            asked: false,
            full: false,
            head: null,
            command: null,
            ...more,
          }),
        ),
        signal,
      ),
    /** Runs every job that is waiting, as a worker would. */
    drain: async () => {
      for (let job = await ports.jobs.claim("test", 60); job !== null; job = await ports.jobs.claim("test", 60)) {
        if (job.kind === "review-pull") await reviewPull(ports, job, signal);
        else if (job.kind === "answer-finding") await answerFinding(ports, job);
        else if (job.kind === "reply-command") await replyCommand(ports, job);
        await ports.jobs.complete(job);
      }
    },
    /** A webhook as the fake would send it, turned into its job and run with what follows from it. */
    hear: async (name: string, payload: object) => {
      const { id, ...repository } = { id: ref.repositoryId, name: at.repo, owner: { login: at.owner } };
      const job = jobOf({
        id: `${Math.random()}`,
        name,
        payload: { installation: { id: ref.installationId }, repository: { id, ...repository }, ...payload } as never,
      });
      if (job !== null) await ports.jobs.accept(null, job);
      await world.drain();
      return job;
    },
    /** A comment in the conversation of the pull request. */
    say: async (number: number, body: string, login = "ada") => {
      const { id } = await github.act("comment", { ...at, number, login, body });
      await world.hear("issue_comment", {
        action: "created",
        sender: { login, type: "User" },
        issue: { number, pull_request: {} },
        comment: { id, body, user: { login, type: "User" } },
      });
      return id as number;
    },
    /** A reply in the thread of a review comment. */
    reply: async (number: number, comment: number, body: string, login = "ada") => {
      const { id } = await github.act("reply", { ...at, number, comment, login, body });
      await world.hear("pull_request_review_comment", {
        action: "created",
        sender: { login, type: "User" },
        pull_request: { number },
        comment: {
          id,
          node_id: `PRRC_kwDO${Buffer.from(String(id)).toString("base64url")}`,
          body,
          user: { login, type: "User" },
          in_reply_to_id: comment,
        },
      });
      return id as number;
    },
    state: async (number: number) => {
      const { repos, violations, effects } = await github.act("state");
      const issue = repos[0].issues.find((one: { number: number }) => one.number === number);
      return { pull: issue.pull, comments: issue.comments, checks: repos[0].checkRuns, violations, effects };
    },
    stop: async () => {
      await database.close();
      await github.stop();
    },
  };
  return world;
}
