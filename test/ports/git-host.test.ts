/** The promises of the `GitHost` port, held by our adapter over HTTP against the fake GitHub in its own process. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createGitHost } from "../../src/adapters/github/git-host.ts";
import { type FakeGitHub, startFakeGitHub } from "../../src/fake-github/start.ts";
import type { CheckRunState, Clock, GitHost, RepoRef } from "../../src/ports.ts";

const keys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const SOURCE = `def one():\n    return 1\n${"# filler\n".repeat(30)}def two():\n    return 2\n`;
const clock: Clock = { now: () => new Date(), sleep: async () => {} };
let github: FakeGitHub;
let host: GitHost;
let ref: RepoRef;
let base: string;
let at: { owner: string; repo: string };
let repositories = 0;

beforeAll(async () => {
  github = await startFakeGitHub({
    id: 42,
    slug: "funprm",
    name: "FunPRM",
    owner: "operator",
    publicKey: keys.publicKey,
    webhookSecret: "a secret of this test",
    webhookUrl: null,
    events: ["issues"],
    permissions: {
      metadata: "read",
      contents: "write",
      issues: "write",
      pull_requests: "write",
      checks: "write",
    },
  });
  await github.act("user", { login: "ann" });
  host = createGitHost({
    appId: 42,
    privateKey: keys.privateKey,
    baseUrl: `${github.url}/api/v3`,
    clock,
    pacing: { spacingMs: 0, perMinute: 1_000, perHour: 10_000 },
    retryBaseMs: 1,
  });
});
afterAll(() => github.stop());

beforeEach(async () => {
  repositories += 1;
  at = { owner: "team", repo: `code-${repositories}` };
  const made = await github.act("repository", { ...at, files: [{ path: "src/app.py", text: SOURCE }] });
  ref = { installationId: made.installationId, repositoryId: made.id, ...at };
  base = made.sha;
});

const issue = async () => (await github.act("issue", { ...at, login: "ann", title: "It fails", body: "text" })).number;
const requests = async () => ((await github.act("state")).effects as unknown[]).length;
/** The write that matches takes effect, and its answer is lost. */
const lose = (method: string, path: string) =>
  github.act("fault", { method, path, kind: "applies-then-fails", status: 502 });

async function openPull(branch = "funprm/issue-1") {
  await host.ensureBranch(ref, branch, base);
  const { sha } = await host.ensureCommit(ref, {
    branch,
    expectedHead: base,
    headline: "fix: one",
    body: "Closes #1",
    trailer: "FunPRM-Run: 01",
    additions: [{ path: "src/app.py", content: Buffer.from(SOURCE.replace("return 1", "return 11")) }],
    deletions: [],
  });
  const pull = await host.ensurePullRequest(ref, {
    head: branch,
    base: "main",
    title: "fix: one",
    body: "b",
    draft: true,
  });
  return { sha, pull };
}

describe("GitHost", () => {
  it("reads the repository, an issue, a file as committed, and roles as rulings 23 count them", async () => {
    const number = await issue();
    expect(await host.repository(ref)).toMatchObject({ id: ref.repositoryId, defaultBranch: "main", archived: false });
    expect(await host.issue(ref, number)).toMatchObject({ number, author: "ann", state: "open", isPullRequest: false });
    expect(Buffer.from((await host.readFile(ref, "src/app.py", base))!).toString()).toBe(SOURCE);
    expect(await host.readFile(ref, "none.py", base)).toBeNull();
    expect(await host.branchSha(ref, "main")).toBe(base);
    expect(await host.branchSha(ref, "none")).toBeNull();
    for (const [login, role] of [
      ["w", "write"],
      ["m", "maintain"],
      ["t", "triage"],
      ["a", "admin"],
    ] as const)
      await github.act("role", { ...at, login, role });
    expect(await Promise.all(["w", "m", "t", "a", "nobody"].map((login) => host.role(ref, login)))).toEqual([
      "write",
      "write",
      "read",
      "admin",
      expect.stringMatching(/none|read/),
    ]);
  });

  it("knows which repositories an installation reaches, and says so when there is no such installation", async () => {
    await github.act("repository", { owner: "others", repo: "far", files: [{ path: "a.py", text: SOURCE }] });
    const reached = await host.reachedRepositories(ref.installationId);
    expect(reached).toHaveLength(repositories);
    expect(reached).toContain(ref.repositoryId);
    await expect(host.reachedRepositories(999_999)).rejects.toMatchObject({ code: "GITHUB_GONE" });
  });

  it("another repository under the same name, an issue that is not there: gone", async () => {
    await expect(host.repository({ ...ref, repositoryId: ref.repositoryId + 999 })).rejects.toMatchObject({
      code: "GITHUB_GONE",
    });
    await expect(host.issue(ref, 999)).rejects.toMatchObject({ code: "GITHUB_GONE" });
  });

  it("every ensure and set twice leaves one effect", async () => {
    const number = await issue();
    const twice = async (write: () => Promise<unknown>) => {
      const first = await write();
      const before = await requests();
      expect(await write()).toEqual(first);
      expect(await requests()).toBe(before);
    };
    await twice(() => host.setReaction(ref, { kind: "issue", number }, "eyes"));
    await twice(() => host.setLabels(ref, number, { add: ["funprm:running"], remove: ["funprm:fix"] }));
    await twice(() => host.ensureComment(ref, number, "<!-- m -->", "<!-- m -->\nhello"));
    await twice(() => host.ensureBranch(ref, "funprm/issue-1", base));
    const { sha, pull } = await openPull();
    await twice(async () => (await openPull()).pull.number);
    expect(pull).toMatchObject({ draft: true, headSha: sha, author: "funprm[bot]" });
    expect(await host.pullRequest(ref, pull.number)).toMatchObject({ changedFiles: 1 });
    await twice(() => host.updatePullRequest(ref, pull.number, { body: "other" }));
    await twice(() =>
      host.ensureReview(ref, pull.number, {
        marker: "<!-- r -->",
        commitSha: sha,
        body: "<!-- r -->\nrewards",
        comments: [{ path: "src/app.py", line: 2, startLine: 1, side: "RIGHT", body: "c" }],
      }),
    );
    const check: CheckRunState = {
      name: "FunPRM / functions",
      headSha: sha,
      externalId: "01",
      detailsUrl: null,
      status: "completed",
      conclusion: "neutral",
      output: { title: "t", summary: "s", text: null, annotations: [] },
      actions: [],
    };
    await twice(() => host.ensureCheckRun(ref, check));
    await twice(() => host.deleteBranch(ref, "none"));
  });

  it("an answer that is lost after the write took effect leaves one effect all the same", async () => {
    const number = await issue();
    await lose("POST", "/comments$");
    await host.ensureComment(ref, number, "<!-- m -->", "<!-- m -->\nhello");
    await lose("POST", "/git/refs$");
    await lose("POST", "/graphql$");
    await lose("POST", "/pulls$");
    const { pull } = await openPull();
    await lose("POST", "/reviews$");
    const review = { marker: "<!-- r -->", commitSha: pull.headSha, body: "<!-- r -->\nx", comments: [] };
    await host.ensureReview(ref, pull.number, review);
    const { repos } = await github.act("state");
    const repo = repos.find((one: { id: number }) => one.id === ref.repositoryId);
    const comments = repo.issues.flatMap((one: { comments?: unknown[] }) => one.comments ?? []);
    const reviews = repo.issues.flatMap((one: { pull?: { reviews?: unknown[] } | null }) => one.pull?.reviews ?? []);
    expect({ comments: comments.length, reviews: reviews.length }).toEqual({ comments: 1, reviews: 1 });
    expect(await host.ownOpenPullRequests(ref)).toHaveLength(1);
  });

  it("a branch that somebody else moved is a conflict, never forced", async () => {
    await host.ensureBranch(ref, "funprm/issue-1", base);
    const { sha } = await github.act("push", {
      ...at,
      branch: "funprm/issue-1",
      login: "ann",
      files: [{ path: "x", text: "y" }],
    });
    await expect(openPull()).rejects.toMatchObject({ code: "GITHUB_CONFLICT" });
    expect(await host.branchSha(ref, "funprm/issue-1")).toBe(sha);
  });

  it("a symbolic link to a file reads as that file, one to elsewhere as its own text", async () => {
    const link = (path: string, text: string) => ({ path, text, mode: "120000" });
    const files = [link("lib/link.py", "../src/app.py"), link("out.py", "/etc/passwd")];
    await host.ensureBranch(ref, "links", base);
    const { sha } = await github.act("push", { ...at, branch: "links", login: "ann", files });
    expect(await host.readFile(ref, "lib/link.py", sha)).toEqual(await host.readFile(ref, "src/app.py", sha));
    expect(`${await host.readFile(ref, "out.py", sha)}`).toBe("/etc/passwd");
  });

  it("one bad anchor refuses the whole review, and says so", async () => {
    const { sha, pull } = await openPull();
    await expect(
      host.ensureReview(ref, pull.number, {
        marker: "<!-- r -->",
        commitSha: sha,
        body: "<!-- r -->\nx",
        comments: [{ path: "src/app.py", line: 30, startLine: null, side: "RIGHT", body: "outside every hunk" }],
      }),
    ).rejects.toMatchObject({ code: "GITHUB_REFUSED" });
  });

  it.each(["merge", "squash", "rebase"] as const)(
    "says how a pull request ended by %s, and what stands on main",
    async (method) => {
      const { sha: first } = await github.act("push", {
        ...at,
        branch: "work",
        login: "ann",
        message: "one",
        files: [{ path: "src/app.py", text: SOURCE.replace("return 1", "return 11") }],
      });
      await github.act("push", {
        ...at,
        branch: "work",
        login: "ann",
        message: "two",
        files: [{ path: "x", text: "y" }],
      });
      const { number } = await github.act("pull", { ...at, login: "ann", branch: "work", title: "fix: one" });
      expect(await host.pullRequestEnd(ref, number)).toMatchObject({
        mergedAt: null,
        closedAt: null,
        mergeCommitSha: null,
        commits: [
          { sha: first, message: "one", parents: [base] },
          { message: "two", parents: [first] },
        ],
      });
      await github.act("merge", { ...at, number, login: "ann", method });
      const end = await host.pullRequestEnd(ref, number);
      expect(end).toMatchObject({ mergedBy: "ann", closedAt: end.mergedAt });
      const main = await host.branchSha(ref, "main");
      expect(end.mergeCommitSha).toBe(main);
      const tip = await host.commit(ref, main!);
      expect(tip.files.map((file) => file.path).sort()).toEqual(method === "rebase" ? ["x"] : ["src/app.py", "x"]);
      expect(tip.parents).toHaveLength(method === "merge" ? 2 : 1);
      expect(tip.message.split("\n")[0]).toBe(
        method === "merge"
          ? `Merge pull request #${number} from team/work`
          : method === "squash"
            ? `fix: one (#${number})`
            : "two",
      );
      // GitHub signs its own merges; a commit that a rebase copies names its author by e-mail address alone.
      expect(tip.author).toBe(method === "rebase" ? null : "ann");
    },
  );

  it("reads the checks of other apps at a commit, every attempt, running ones too", async () => {
    const { sha } = await openPull();
    await github.act("check", { ...at, sha, name: "ci", conclusion: "failure" });
    await github.act("check", { ...at, sha, name: "ci", conclusion: "success" });
    await github.act("check", { ...at, sha, name: "slow" });
    const found = await host.checks(ref, sha);
    expect(found.map(({ name, conclusion }) => [name, conclusion])).toEqual([
      ["ci", "failure"],
      ["ci", "success"],
      ["slow", null],
    ]);
    expect(found[1]!.attempt).toBeGreaterThan(found[0]!.attempt);
    expect(await host.checks(ref, base)).toEqual([]);
    expect(await host.requiredChecks(ref, "main")).toEqual([]);
  });

  it("GitHub's limits surface with their wait, and the installation pauses", async () => {
    await github.act("fault", { method: "GET", path: "/issues/1$", kind: "secondary", retryAfter: 7 });
    await expect(host.issue(ref, 1)).rejects.toMatchObject({ code: "GITHUB_RATE_LIMIT", retryAfter: 7 });
    await expect(host.repository(ref)).rejects.toMatchObject({ code: "GITHUB_RATE_LIMIT" });
  });

  it("finds webhooks that nobody answered, each once, and has them sent again under the same id", async () => {
    const answers: number[] = [];
    const guids: unknown[] = [];
    const receiver = createServer((request, response) => {
      guids.push(request.headers["x-github-delivery"]);
      response.writeHead(answers.shift() ?? 200).end();
    }).listen(0, "127.0.0.1");
    await once(receiver, "listening");
    await github.act("webhook", { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/` });
    answers.push(500, 200, 500);
    const started = new Date(Date.now() - 5_000);
    const numbers = [await issue(), await issue()];
    for (const number of numbers) await github.act("label", { ...at, number, name: "bug", login: "ann" });
    await github.act("settled");
    const failed = (await host.failedDeliveries(started)).map((one) => ({ attempts: one.attempts, guid: one.guid }));
    expect(failed.length).toBeGreaterThan(0);
    for (const { id } of await host.failedDeliveries(started)) await host.redeliver(id);
    await github.act("settled");
    await github.act("webhook", { url: null });
    receiver.close();
    expect(await host.failedDeliveries(started)).toEqual([]);
    for (const { guid } of failed) expect(guids.filter((one) => one === guid)).toHaveLength(2);
    expect(await host.failedDeliveries(new Date(Date.now() + 60_000))).toEqual([]);
  });

  it("broke no rule of GitHub's own API description", async () => {
    expect((await github.act("state")).violations).toEqual([]);
  });
});
