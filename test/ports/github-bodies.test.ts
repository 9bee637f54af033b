/** The exact requests that the GitHub adapter sends for what it writes; a missing or an unused one fails. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import nock from "nock";
import { beforeEach, describe, expect, it } from "vitest";
import { createGitHost } from "../../src/adapters/github/git-host.ts";
import type { FunprmError } from "../../src/domain/errors.ts";
import type { Clock, RepoRef } from "../../src/ports.ts";

const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const started = new Date();
const clock: Clock = { now: () => started, sleep: async () => {} };
const ref: RepoRef = { installationId: 5, repositoryId: 7, owner: "o", repo: "r" };
const SHA = "a".repeat(40);
const api = () => nock("http://github.test");
const host = (change: { baseUrl?: string; timeoutMs?: number } = {}) =>
  createGitHost({
    appId: 42,
    privateKey,
    baseUrl: "http://github.test/api/v3",
    clock,
    pacing: { spacingMs: 0, perMinute: 1000, perHour: 1000 },
    retryBaseMs: 1,
    ...change,
  });

/** Tokens are asked for with one repository and the least permissions of the call. */
function tokens(...kinds: ("read" | "write" | "push")[]): void {
  const permissions = {
    read: { contents: "read", issues: "read", pull_requests: "read", checks: "read", metadata: "read" },
    write: { contents: "read", issues: "write", pull_requests: "write", checks: "write" },
    push: { contents: "write", pull_requests: "write" },
  };
  for (const kind of kinds) {
    api()
      .post("/api/v3/app/installations/5/access_tokens", { repository_ids: [7], permissions: permissions[kind] })
      .reply(201, {
        token: `ghs_${kind}`,
        expires_at: new Date(Date.now() + 3_600_000).toISOString(),
        permissions: permissions[kind],
        repository_selection: "selected",
        repositories: [{ id: 7, name: "r" }],
      });
  }
}
const bot = { login: "funprm[bot]", type: "Bot" };
const asBot = () => api().get("/api/v3/app").reply(200, { slug: "funprm" });

beforeEach(() => nock.cleanAll());

describe("what the GitHub adapter sends", () => {
  it("writes nothing where the comment stands already as wanted", async () => {
    tokens("read");
    asBot();
    api()
      .get("/api/v3/repos/o/r/issues/3/comments")
      .query(true)
      .reply(200, [{ id: 11, html_url: "u", user: bot, body: "<!-- m -->\nhello" }]);
    expect((await host().ensureComment(ref, 3, "<!-- m -->", "<!-- m -->\nhello")).id).toBe(11);
  });

  it("sends one review of type COMMENT, with multi-line and single-line anchors", async () => {
    tokens("read", "write");
    asBot();
    api().get("/api/v3/repos/o/r/pulls/9/reviews").query(true).reply(200, []);
    api()
      .post("/api/v3/repos/o/r/pulls/9/reviews", {
        commit_id: SHA,
        event: "COMMENT",
        body: "<!-- m -->\nrewards",
        comments: [
          { path: "a.py", body: "one", line: 4, side: "RIGHT" },
          { path: "a.py", body: "two", line: 9, side: "RIGHT", start_line: 6, start_side: "RIGHT" },
        ],
      })
      .reply(200, { id: 12, html_url: "v" });
    const comments = [
      { path: "a.py", line: 4, startLine: null, side: "RIGHT" as const, body: "one" },
      { path: "a.py", line: 9, startLine: 6, side: "RIGHT" as const, body: "two" },
    ];
    const review = { marker: "<!-- m -->", commitSha: SHA, body: "<!-- m -->\nrewards", comments };
    expect(await host().ensureReview(ref, 9, review)).toEqual({ id: 12, url: "v", comments: 2 });
  });

  it("commits with compare-and-swap and ends the message with the run's trailer", async () => {
    tokens("read", "push");
    api()
      .get("/api/v3/repos/o/r/git/ref/heads%2Ffunprm%2Fissue-3")
      .reply(200, { object: { sha: SHA } });
    api()
      .post("/api/graphql", (body: { variables: unknown }) => {
        expect(body.variables).toEqual({
          input: {
            branch: { repositoryNameWithOwner: "o/r", branchName: "funprm/issue-3" },
            expectedHeadOid: SHA,
            message: { headline: "fix: x", body: "Closes #3\nFunPRM-Run: 01" },
            fileChanges: { additions: [{ path: "a.py", contents: "eA==" }], deletions: [] },
          },
        });
        return true;
      })
      .reply(200, { data: { createCommitOnBranch: { commit: { oid: "b".repeat(40) } } } });
    const commit = {
      branch: "funprm/issue-3",
      expectedHead: SHA,
      headline: "fix: x",
      body: "Closes #3",
      trailer: "FunPRM-Run: 01",
      additions: [{ path: "a.py", content: Buffer.from("x") }],
      deletions: [],
    };
    expect(await host().ensureCommit(ref, commit)).toEqual({ sha: "b".repeat(40) });
  });

  const repo = "/api/v3/repos/o/r";
  const comment = (body: string) => ({ id: 11, html_url: "u", user: bot, body });

  it("creates a comment, and edits one that says something else; nobody else's is touched", async () => {
    tokens("read", "write");
    asBot();
    const stranger = { id: 10, html_url: "x", user: { login: "eve", type: "User" }, body: "<!-- m -->\nmine" };
    api().get(`${repo}/issues/3/comments`).query(true).reply(200, [stranger]);
    api().post(`${repo}/issues/3/comments`, { body: "<!-- m -->\nhello" }).reply(201, comment("<!-- m -->\nhello"));
    const one = host();
    expect(await one.ensureComment(ref, 3, "<!-- m -->", "<!-- m -->\nhello")).toEqual({ id: 11, url: "u" });
    api()
      .get(`${repo}/issues/3/comments`)
      .query(true)
      .reply(200, [stranger, comment("<!-- m -->\nhello")]);
    api().patch(`${repo}/issues/comments/11`, { body: "<!-- m -->\nbye" }).reply(200, comment("<!-- m -->\nbye"));
    await one.ensureComment(ref, 3, "<!-- m -->", "<!-- m -->\nbye");
  });

  it("creates a label that the repository lacks, adds it and removes the other", async () => {
    tokens("read", "write");
    api()
      .get(`${repo}/issues/3/labels`)
      .query(true)
      .reply(200, [{ name: "funprm:fix" }, { name: "bug" }]);
    api().get(`${repo}/labels/funprm%3Arunning`).reply(404, { message: "Not Found" });
    api()
      .post(`${repo}/labels`, {
        name: "funprm:running",
        color: "fbca04",
        description: "FunPRM is working; remove to stop it",
      })
      .reply(201, {});
    api()
      .post(`${repo}/issues/3/labels`, { labels: ["funprm:running"] })
      .reply(200, []);
    api().delete(`${repo}/issues/3/labels/funprm%3Afix`).reply(200, []);
    await host().setLabels(ref, 3, { add: ["funprm:running"], remove: ["funprm:fix", "not-there"] });
  });

  it("has one reaction at a time, on issues and on comments", async () => {
    tokens("read", "write");
    asBot();
    const old = [
      { id: 1, content: "eyes", user: bot },
      { id: 2, content: "eyes", user: { login: "eve" } },
    ];
    api().get(`${repo}/issues/3/reactions`).query(true).reply(200, old);
    api().delete(`${repo}/issues/3/reactions/1`).reply(204);
    api().post(`${repo}/issues/3/reactions`, { content: "rocket" }).reply(201, {});
    const one = host();
    await one.setReaction(ref, { kind: "issue", number: 3 }, "rocket");
    api().get(`${repo}/issues/comments/8/reactions`).query(true).reply(200, []);
    api().post(`${repo}/issues/comments/8/reactions`, { content: "+1" }).reply(201, {});
    await one.setReaction(ref, { kind: "comment", commentId: 8 }, "+1");
  });

  it("creates a branch where it stands, and deletes it by its name", async () => {
    tokens("read", "push");
    api().get(`${repo}/git/ref/heads%2Ffunprm%2Fissue-3`).reply(404, { message: "Not Found" });
    api()
      .post(`${repo}/git/refs`, { ref: "refs/heads/funprm/issue-3", sha: SHA })
      .reply(201, { object: { sha: SHA } });
    const one = host();
    expect(await one.ensureBranch(ref, "funprm/issue-3", SHA)).toEqual({ sha: SHA });
    api()
      .get(`${repo}/git/ref/heads%2Ffunprm%2Fissue-3`)
      .reply(200, { object: { sha: SHA } });
    api().delete(`${repo}/git/refs/heads%2Ffunprm%2Fissue-3`).reply(204);
    await one.deleteBranch(ref, "funprm/issue-3");
  });

  const pull = (change: object) => ({
    number: 9,
    node_id: "PR_9",
    html_url: "p",
    title: "fix: x",
    body: "Closes #3",
    draft: true,
    state: "open",
    merged_at: null,
    head: { ref: "funprm/issue-3", sha: SHA },
    base: { ref: "main", sha: SHA },
    user: bot,
    labels: [],
    ...change,
  });
  const wanted = { head: "funprm/issue-3", base: "main", title: "fix: x", body: "Closes #3", draft: true };

  it("opens a draft; where drafts are refused, once as a normal pull request that says so", async () => {
    tokens("read", "write");
    asBot();
    api()
      .get(`${repo}/pulls`)
      .query({ state: "open", per_page: 100, head: "o:funprm/issue-3" })
      .times(2)
      .reply(200, []);
    api().post(`${repo}/pulls`, wanted).reply(422, { message: "Draft pull requests are not supported" });
    api()
      .post(`${repo}/pulls`, {
        ...wanted,
        title: "[draft] fix: x",
        body: "Closes #3\n\n> This repository allows no draft pull requests: please treat this one as a draft.\n",
        draft: false,
      })
      .reply(201, pull({ title: "[draft] fix: x", draft: false }));
    expect(await host().ensurePullRequest(ref, wanted)).toMatchObject({ number: 9, draft: false });
  });

  it("edits title and body, and asks for a review; a refused reviewer is no failure", async () => {
    tokens("read", "write");
    api().get(`${repo}/pulls/9`).reply(200, pull({}));
    api()
      .patch(`${repo}/pulls/9`, { body: "new" })
      .reply(200, pull({ body: "new" }));
    const one = host();
    await one.updatePullRequest(ref, 9, { body: "new" });
    api()
      .post(`${repo}/pulls/9/requested_reviewers`, { reviewers: ["ann"] })
      .reply(422, { message: "no" });
    await one.requestReviewer(ref, 9, "ann");
  });

  it("creates the check run with 50 annotations and appends the rest in one update", async () => {
    tokens("read", "write");
    const annotations = Array.from({ length: 51 }, (_, at) => ({
      path: "a.py",
      startLine: at + 1,
      endLine: at + 1,
      level: "notice" as const,
      title: "t",
      message: "m",
    }));
    const sent = (from: number, to: number) =>
      annotations.slice(from, to).map(({ startLine, endLine, level, path, title, message }) => ({
        path,
        start_line: startLine,
        end_line: endLine,
        annotation_level: level,
        title,
        message,
      }));
    const run = (count: number) => ({
      id: 77,
      html_url: "c",
      name: "FunPRM / functions",
      external_id: "01",
      status: "completed",
      conclusion: "neutral",
      details_url: "http://run",
      app: { id: 42 },
      output: { title: "T", summary: "S", text: null, annotations_count: count },
    });
    const body = { status: "completed", conclusion: "neutral", details_url: "http://run" };
    api().get(`${repo}/commits/${SHA}/check-runs`).query(true).reply(200, { total_count: 0, check_runs: [] });
    api()
      .post(`${repo}/check-runs`, {
        name: "FunPRM / functions",
        head_sha: SHA,
        external_id: "01",
        ...body,
        output: { title: "T", summary: "S", annotations: sent(0, 50) },
        actions: [{ label: "Re-score", description: "d", identifier: "rescore" }],
      })
      .reply(201, run(50));
    api()
      .patch(`${repo}/check-runs/77`, {
        ...body,
        output: { title: "T", summary: "S", annotations: sent(50, 51) },
        actions: [{ label: "Re-score", description: "d", identifier: "rescore" }],
      })
      .reply(200, run(51));
    expect(
      await host().ensureCheckRun(ref, {
        name: "FunPRM / functions",
        headSha: SHA,
        externalId: "01",
        detailsUrl: "http://run",
        status: "completed",
        conclusion: "neutral",
        output: { title: "T", summary: "S", text: null, annotations },
        actions: [{ label: "Re-score", description: "d", identifier: "rescore" }],
      }),
    ).toEqual({ id: 77, url: "c" });
  });

  it("adds to a check run that is looked at again only the annotations that it does not hold yet", async () => {
    tokens("read", "write");
    const annotation = (name: string) => ({
      ...{ path: "a.py", startLine: 1, endLine: 2, level: "warning" as const },
      ...{ title: `Low reward: ${name}`, message: "m" },
    });
    const sent = (name: string) => ({
      ...{ path: "a.py", start_line: 1, end_line: 2, annotation_level: "warning" },
      ...{ title: `Low reward: ${name}`, message: "m" },
    });
    const run = (summary: string, count: number) => ({
      ...{ id: 77, html_url: "c", name: "FunPRM / functions", external_id: "01", status: "completed" },
      ...{ conclusion: "neutral", details_url: null, app: { id: 42 } },
      output: { title: "T", summary, text: null, annotations_count: count },
    });
    api()
      .get(`${repo}/commits/${SHA}/check-runs`)
      .query(true)
      .reply(200, { total_count: 1, check_runs: [run("before", 1)] });
    api()
      .get(`${repo}/check-runs/77/annotations`)
      .query(true)
      .reply(200, [{ ...sent("f"), start_column: null, end_column: null, raw_details: null, blob_href: "b" }]);
    api()
      .patch(`${repo}/check-runs/77`, {
        ...{ status: "completed", conclusion: "neutral" },
        output: { title: "T", summary: "S", annotations: [sent("g")] },
      })
      .reply(200, run("S", 2));
    await host().ensureCheckRun(ref, {
      ...{ name: "FunPRM / functions", headSha: SHA, externalId: "01", detailsUrl: null, status: "completed" },
      ...{ conclusion: "neutral", actions: [] },
      output: { title: "T", summary: "S", text: null, annotations: [annotation("g"), annotation("f")] },
    });
  });
});

describe("what GitHub refuses, as our errors", () => {
  const get = () => api().get("/api/v3/repos/o/r");
  const now = Math.floor(started.getTime() / 1000);
  it.each<[string, number, object, Record<string, string>, string, number | null]>([
    [
      "primary limit with a wait",
      403,
      { message: "API rate limit exceeded" },
      { "retry-after": "17" },
      "GITHUB_RATE_LIMIT",
      17,
    ],
    [
      "primary limit with a reset",
      403,
      { message: "x" },
      { "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${now + 100}` },
      "GITHUB_RATE_LIMIT",
      101,
    ],
    ["429 without a word", 429, { message: "slow down" }, {}, "GITHUB_RATE_LIMIT", 60],
    [
      "secondary limit by its text",
      403,
      { message: "You have exceeded a secondary rate limit" },
      {},
      "GITHUB_RATE_LIMIT",
      60,
    ],
    [
      "a missing permission",
      403,
      { message: "Resource not accessible by integration" },
      { "x-accepted-github-permissions": "issues=write" },
      "GITHUB_REFUSED",
      null,
    ],
    ["not there", 404, { message: "Not Found" }, {}, "GITHUB_GONE", null],
    ["gone", 410, { message: "Gone" }, {}, "GITHUB_GONE", null],
    ["blocked by law", 451, { message: "Blocked" }, {}, "GITHUB_GONE", null],
    ["conflict", 409, { message: "Conflict" }, {}, "GITHUB_CONFLICT", null],
    ["validation", 422, { message: "Invalid" }, {}, "GITHUB_REFUSED", null],
  ])("%s", async (_, status, body, headers, code, retryAfter) => {
    tokens("read");
    get().reply(status, body, headers);
    const error = (await host()
      .repository(ref)
      .catch((thrown: unknown) => thrown)) as FunprmError;
    expect({ code: error.code, retryAfter: error.retryAfter }).toEqual({ code, retryAfter });
    expect(error.message).toMatch(/^read repository in o\/r: /);
  });

  it("5xx and a cut connection are repeated for reads and then transient", async () => {
    tokens("read");
    get().times(4).reply(502, "bad gateway");
    await expect(host().repository(ref)).rejects.toMatchObject({ code: "GITHUB_TRANSIENT" });
    tokens("read");
    get().times(4).replyWithError("socket hang up");
    await expect(host().repository(ref)).rejects.toMatchObject({ code: "GITHUB_TRANSIENT" });
  });

  it.each([
    ["does not come", ""],
    ["does not end", '{"id":'],
  ])("an answer that %s is transient after the time limit", async (_, half) => {
    const server = createServer((request, response) => {
      if (request.method === "POST")
        return response
          .writeHead(201, { "content-type": "application/json" })
          .end(JSON.stringify({ token: "ghs_read", expires_at: "2999-01-01T00:00:00Z", permissions: {} }));
      if (half !== "") response.writeHead(200, { "content-type": "application/json" }).write(half);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await expect(host({ baseUrl, timeoutMs: 250 }).repository(ref)).rejects.toMatchObject({
        code: "GITHUB_TRANSIENT",
        message: expect.stringContaining("no answer from GitHub"),
      });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it("a limited installation pauses: the next call does not go out", async () => {
    tokens("read");
    get().reply(429, { message: "x" }, { "retry-after": "30" });
    const one = host();
    await expect(one.repository(ref)).rejects.toMatchObject({ code: "GITHUB_RATE_LIMIT", retryAfter: 30 });
    await expect(one.issue(ref, 1)).rejects.toMatchObject({ code: "GITHUB_RATE_LIMIT" });
  });
});
