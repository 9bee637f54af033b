/** The exact requests that the GitHub adapter sends for what it writes; a missing or an unused one fails. */
import { generateKeyPairSync } from "node:crypto";
import nock from "nock";
import { beforeEach, describe, expect, it } from "vitest";
import { createGitHost } from "../../src/adapters/github/git-host.ts";
import type { Clock, RepoRef } from "../../src/ports.ts";

const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const clock: Clock = { now: () => new Date(), sleep: async () => {} };
const ref: RepoRef = { installationId: 5, repositoryId: 7, owner: "o", repo: "r" };
const SHA = "a".repeat(40);
const api = () => nock("http://github.test");
const host = () =>
  createGitHost({
    appId: 42,
    privateKey,
    baseUrl: "http://github.test/api/v3",
    clock,
    pacing: { spacingMs: 0, perMinute: 1000, perHour: 1000 },
  });

/** Tokens are asked for with one repository and the least permissions of the call. */
function tokens(...kinds: ("read" | "write")[]): void {
  const permissions = {
    read: { contents: "read", issues: "read", pull_requests: "read", checks: "read", metadata: "read" },
    write: { contents: "write", issues: "write", pull_requests: "write", checks: "write" },
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
    tokens("read", "write");
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
});
