/** The fake GitHub held to GitHub's own rules: what it refuses, what it remembers, what it sends. */
import { execFileSync } from "node:child_process";
import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { outcomeJob } from "../../src/app/webhooks/outcome-job.ts";
import { jobOf } from "../../src/app/webhooks/receive.ts";
import { forgetJob, type RecordOutcomePayload } from "../../src/domain/job-payloads.ts";
import { type FakeGitHub, startFakeGitHub } from "../../src/fake-github/start.ts";

const SECRET = "a secret of this test";
const ALL = { metadata: "read", contents: "write", issues: "write", pull_requests: "write", checks: "write" };
const keys = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

// biome-ignore lint/suspicious/noExplicitAny: replies are checked by the fake itself against GitHub's description
type Answer = { status: number; body: any; headers: Headers };
type Arrived = { headers: Record<string, string | string[] | undefined>; raw: string };

let github: FakeGitHub;
let receiver: Server;
let token: string;
let installationId: number;
const arrived: Arrived[] = [];
let repositories = 0;
/** Protocol violations that a test provoked on purpose. */
let expected = 0;

/** `greet` and `total` stand far apart, so that a change of both makes two hunks. */
const SOURCE = [
  "def greet(name):",
  "    return 'hello ' + name",
  ...Array.from({ length: 20 }, (_, at) => `# filler ${at}`),
  "def total(xs):",
  "    return sum(xs)",
  "",
].join("\n");

function jwt(claims: object, key = keys.privateKey): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  return `${head}.${createSign("RSA-SHA256").update(head).sign(key, "base64url")}`;
}

const now = () => Math.floor(Date.now() / 1000);
const appToken = () => jwt({ iss: 77, iat: now() - 30, exp: now() + 500 });

async function api(method: string, path: string, body?: unknown, auth: string | null = token): Promise<Answer> {
  const response = await fetch(`${github.url}/api/v3${path}`, {
    method,
    headers: { ...(auth === null ? {} : { authorization: `Bearer ${auth}` }), "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: "manual",
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text), headers: response.headers };
}

async function commit(input: object, auth = token, selection = "commit { oid }"): Promise<Answer["body"]> {
  const response = await fetch(`${github.url}/api/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${auth}` },
    body: JSON.stringify({
      query: `mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { ${selection} } }`,
      variables: { input },
    }),
  });
  return response.json();
}

type Place = { owner: string; repo: string; path: string; id: number; sha: string };

async function newRepository(settings: Record<string, unknown> = {}): Promise<Place> {
  repositories += 1;
  const at = { owner: "team", repo: `code-${repositories}` };
  const made = await github.act("repository", { ...at, files: [{ path: "src/app.py", text: SOURCE }], ...settings });
  await github.act("role", { ...at, login: "ada", role: "write" });
  installationId = made.installationId;
  return { ...at, path: `/repos/${at.owner}/${at.repo}`, id: made.id, sha: made.sha };
}

/** A pull request of the app that changes both functions of `src/app.py`. */
async function newPull(
  place: Place,
  branch = "funprm/issue-1",
): Promise<{ number: number; sha: string; path: string }> {
  await api("POST", `${place.path}/git/refs`, { ref: `refs/heads/${branch}`, sha: place.sha });
  const changed = SOURCE.replace("'hello ' + name", "f'hello {name}'").replace("sum(xs)", "sum(xs, 0)");
  const made = await commit({
    branch: { repositoryNameWithOwner: `${place.owner}/${place.repo}`, branchName: branch },
    expectedHeadOid: place.sha,
    message: { headline: "fix: greet" },
    fileChanges: { additions: [{ path: "src/app.py", contents: Buffer.from(changed).toString("base64") }] },
  });
  const pull = await api("POST", `${place.path}/pulls`, {
    title: "fix: greet",
    body: "Closes #1",
    head: branch,
    base: "main",
    draft: true,
  });
  expect(pull.status).toBe(201);
  return {
    number: pull.body.number,
    sha: made.data.createCommitOnBranch.commit.oid,
    path: `${place.path}/pulls/${pull.body.number}`,
  };
}

async function newToken(body: object): Promise<string> {
  const made = await api("POST", `/app/installations/${installationId}/access_tokens`, body, appToken());
  expect(made.status).toBe(201);
  return made.body.token;
}

async function violations(): Promise<{ kind: string; where: string; message: string }[]> {
  await github.act("settled");
  return (await github.act("state")).violations;
}

beforeAll(async () => {
  receiver = createServer((request, response) => {
    let raw = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      raw += chunk;
    });
    request.on("end", () => {
      arrived.push({ headers: request.headers, raw });
      response.writeHead(202).end("queued");
    });
  }).listen(0, "127.0.0.1");
  github = await startFakeGitHub({
    id: 77,
    slug: "funprm",
    name: "FunPRM",
    owner: "maker",
    publicKey: keys.publicKey,
    webhookSecret: SECRET,
    webhookUrl: null,
    permissions: ALL,
    events: [
      "issues",
      "issue_comment",
      "pull_request",
      "pull_request_review",
      "pull_request_review_comment",
      "check_run",
      "push",
      "workflow_run",
      "repository",
    ],
  });
  await github.act("webhook", { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook` });
  await github.act("user", { login: "ada" });
  await newRepository();
  token = (await api("POST", `/app/installations/${installationId}/access_tokens`, {}, appToken())).body.token;
});

afterAll(async () => {
  const seen = await violations();
  // Every reply and every webhook of the whole file was valid by GitHub's own description.
  expect(seen.filter((one) => one.kind !== "request")).toEqual([]);
  expect(seen.filter((one) => one.kind === "request")).toHaveLength(expected);
  await github.stop();
  receiver.close();
});

beforeEach(() => {
  arrived.length = 0;
});

describe("who may call", () => {
  it("takes a JWT signed by the app's key, of its id, for at most ten minutes", async () => {
    const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
      type: "pkcs1",
      format: "pem",
    }) as string;
    expect((await api("GET", "/app", undefined, appToken())).status).toBe(200);
    for (const bad of [
      jwt({ iss: 77, iat: now(), exp: now() + 500 }, other),
      jwt({ iss: 78, iat: now(), exp: now() + 500 }),
      jwt({ iss: 77, iat: now() - 700, exp: now() - 100 }),
      jwt({ iss: 77, iat: now(), exp: now() + 3600 }),
      "x.y.z",
    ])
      expect((await api("GET", "/app", undefined, bad)).status).toBe(401);
    expect((await api("GET", "/app")).status).toBe(401);
    expect((await api("GET", "/app", undefined, null)).status).toBe(401);
  });

  it("holds a token to its repositories and permissions", async () => {
    const mine = await newRepository({ private: true });
    const other = await newRepository({ private: true });
    const narrow = await newToken({ repositories: [mine.repo], permissions: { issues: "read", contents: "read" } });
    expect((await api("GET", mine.path, undefined, narrow)).status).toBe(200);
    expect((await api("GET", other.path, undefined, narrow)).status).toBe(404);
    expect((await api("GET", mine.path, undefined, null)).status).toBe(404);
    expect((await api("POST", `${mine.path}/labels`, { name: "x" }, narrow)).status).toBe(403);
    expect((await api("POST", `${mine.path}/pulls`, { title: "t", head: "main", base: "main" }, narrow)).status).toBe(
      403,
    );
    const refused = await api(
      "POST",
      `/app/installations/${installationId}/access_tokens`,
      { permissions: { actions: "write" } },
      appToken(),
    );
    expect(refused.status).toBe(422);
    expect((await api("DELETE", "/installation/token", undefined, narrow)).status).toBe(204);
    expect((await api("GET", mine.path, undefined, narrow)).status).toBe(401);
  });

  it("tells legacy permissions and role names, custom roles too", async () => {
    const place = await newRepository({ private: true });
    await github.act("role", { ...place, login: "max", role: "maintain" });
    await github.act("role", { ...place, login: "tri", role: "triage" });
    await github.act("role", { ...place, login: "cus", role: "release-team", basedOn: "write" });
    await github.act("user", { login: "stranger" });
    const seen = [];
    for (const login of ["team", "ada", "max", "tri", "cus", "stranger"]) {
      const { body } = await api("GET", `${place.path}/collaborators/${login}/permission`);
      seen.push([login, body.permission, body.role_name]);
    }
    expect(seen).toEqual([
      ["team", "admin", "admin"],
      ["ada", "write", "write"],
      ["max", "write", "maintain"],
      ["tri", "read", "triage"],
      ["cus", "write", "release-team"],
      ["stranger", "none", "none"],
    ]);
  });
});

describe("a request that GitHub's description does not know", () => {
  it.each([
    ["a misspelt field", "POST", "/labels", { name: "x", colour: "ffffff" }, 422],
    ["a wrong type", "POST", "/labels", { name: 7 }, 422],
    ["a missing field", "POST", "/issues", {}, 422],
    ["an unknown query parameter", "GET", "/issues?sate=open", undefined, 422],
    ["a value outside the list", "GET", "/issues?state=opne", undefined, 422],
    ["an unknown path", "GET", "/isues", undefined, 404],
    ["a wrong method", "PUT", "/issues", {}, 404],
  ])("is refused and remembered: %s", async (_, method, path, body, status) => {
    const place = await newRepository();
    const before = (await violations()).length;
    expect((await api(method, place.path + path, body)).status).toBe(status);
    const after = await violations();
    expected += after.length - before;
    expect(after.length).toBe(before + 1);
    expect(after.at(-1)!.kind).toBe("request");
  });

  it("is refused in GraphQL too: an unknown field, an unknown input, broken syntax", async () => {
    const before = (await violations()).length;
    expect((await commit({}, token, "comit { oid }")).errors[0].message).toContain("comit");
    expect((await commit({ branch: {}, expectedHeadOid: "0", message: { title: "x" } })).errors[0].message).toContain(
      "title",
    );
    const broken = await fetch(`${github.url}/api/graphql`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: '{"query":"mutation {"}',
    });
    expect(((await broken.json()) as Answer["body"]).errors[0].message).toContain("Syntax Error");
    expected += (await violations()).length - before;
    expect((await violations()).length).toBeGreaterThanOrEqual(before + 3);
  });
});

describe("commits and branches", () => {
  it("makes a verified commit of the app only while the branch is where the caller thinks", async () => {
    const place = await newRepository();
    const branch = { repositoryNameWithOwner: `${place.owner}/${place.repo}`, branchName: "main" };
    const wish = (expectedHeadOid: string) => ({
      branch,
      expectedHeadOid,
      message: { headline: "one", body: "FunPRM-Run: 01J" },
      fileChanges: {
        additions: [{ path: "b.txt", contents: Buffer.from("b\r\n").toString("base64") }],
        deletions: [{ path: "src/app.py" }],
      },
    });
    const first = await commit(wish(place.sha));
    const oid = first.data.createCommitOnBranch.commit.oid;
    const stale = await commit(wish(place.sha));
    expect(stale.data.createCommitOnBranch).toBeNull();
    expect(stale.errors[0].type).toBe("STALE_DATA");
    const seen = (await api("GET", `${place.path}/commits/${oid}`)).body;
    expect(seen.author.login).toBe("funprm[bot]");
    expect(seen.author.type).toBe("Bot");
    expect(seen.commit.verification.verified).toBe(true);
    expect(seen.commit.message).toBe("one\n\nFunPRM-Run: 01J");
    const tree = (await api("GET", `${place.path}/git/trees/${oid}?recursive=1`)).body.tree;
    expect(tree.map((entry: { path: string }) => entry.path)).toEqual(["b.txt"]);
    const effects = (await github.act("state")).effects.filter(
      (one: { operation: string }) => one.operation === "graphql",
    );
    expect(
      effects.filter(
        (one: { body: { variables: { input: { branch: object } } } }) =>
          JSON.stringify(one.body.variables.input.branch) === JSON.stringify(branch),
      ),
    ).toHaveLength(1);
  });

  it("refuses workflow files, paths out of the tree, a missing branch and a token that may only read", async () => {
    const place = await newRepository();
    const wish = (path: string, branchName = "main") => ({
      branch: { repositoryNameWithOwner: `${place.owner}/${place.repo}`, branchName },
      expectedHeadOid: place.sha,
      message: { headline: "one" },
      fileChanges: { additions: [{ path, contents: "" }] },
    });
    expect((await commit(wish(".github/workflows/ci.yml"))).errors[0].type).toBe("FORBIDDEN");
    expect((await commit(wish("../x"))).errors[0].type).toBe("UNPROCESSABLE");
    expect((await commit(wish("a/.git/config"))).errors[0].type).toBe("UNPROCESSABLE");
    expect((await commit(wish("x", "nowhere"))).errors[0].type).toBe("NOT_FOUND");
    const reading = await newToken({ permissions: { contents: "read" } });
    expect((await commit(wish("x"), reading)).errors[0].type).toBe("FORBIDDEN");
  });

  it("keeps one git database under blobs, trees, commits, refs and git itself", async () => {
    const place = await newRepository();
    const blob = (await api("POST", `${place.path}/git/blobs`, { content: "hi\n" })).body;
    const tree = (
      await api("POST", `${place.path}/git/trees`, {
        base_tree: place.sha,
        tree: [
          { path: "run.sh", mode: "100755", type: "blob", sha: blob.sha },
          { path: "src/app.py", mode: "100644", type: "blob", sha: null },
        ],
      })
    ).body;
    const made = (
      await api("POST", `${place.path}/git/commits`, { message: "data", tree: tree.sha, parents: [place.sha] })
    ).body;
    expect(made.verification.verified).toBe(true);
    expect((await api("PATCH", `${place.path}/git/refs/heads/main`, { sha: made.sha })).body.object.sha).toBe(made.sha);
    expect((await api("PATCH", `${place.path}/git/refs/heads/main`, { sha: place.sha })).status).toBe(422);
    const folder = mkdtempSync(join(tmpdir(), "funprm-clone-"));
    try {
      execFileSync("git", ["clone", "--quiet", `${github.url}/${place.owner}/${place.repo}.git`, folder], {
        stdio: "pipe",
      });
      expect(readFileSync(join(folder, "run.sh"), "utf8")).toBe("hi\n");
      expect(execFileSync("git", ["-C", folder, "rev-parse", "HEAD"]).toString().trim()).toBe(made.sha);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("asks for a token before a fetch of a private repository, and takes no push", async () => {
    const place = await newRepository({ private: true });
    const url = `${github.url}/${place.owner}/${place.repo}.git`;
    const env = { PATH: process.env["PATH"], GIT_TERMINAL_PROMPT: "0" };
    const list = (extra: object) =>
      execFileSync("git", ["ls-remote", url], { env: { ...env, ...extra }, stdio: "pipe" }).toString();
    expect(() => list({})).toThrow();
    const reading = await newToken({ repositories: [place.repo], permissions: { contents: "read" } });
    const header = `Authorization: Basic ${Buffer.from(`x-access-token:${reading}`).toString("base64")}`;
    expect(list({ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "http.extraHeader", GIT_CONFIG_VALUE_0: header })).toContain(
      place.sha,
    );
    const push = await fetch(`${url}/info/refs?service=git-receive-pack`, {
      headers: { authorization: header.slice("Authorization: ".length) },
    });
    expect(push.status).toBe(403);
  });

  it("creates a branch once, by a valid name, where no ruleset forbids it", async () => {
    const place = await newRepository();
    const create = (ref: string) => api("POST", `${place.path}/git/refs`, { ref, sha: place.sha });
    expect((await create("refs/heads/funprm/issue-1")).status).toBe(201);
    expect((await create("refs/heads/funprm/issue-1")).body.message).toBe("Reference already exists");
    expect((await create("refs/heads/a..b")).status).toBe(422);
    expect((await api("GET", `${place.path}/git/ref/heads%2Ffunprm%2Fissue-1`)).body.object.sha).toBe(place.sha);
    expect((await api("GET", `${place.path}/branches/funprm%2Fissue-1`)).body.commit.sha).toBe(place.sha);
    await github.act("settings", {
      ...place,
      rulesets: [{ id: 5, name: "no bots", pattern: "funprm/*", rules: ["creation"] }],
    });
    expect((await create("refs/heads/funprm/issue-2")).body.message).toContain("rule violations");
    expect((await api("GET", `${place.path}/rules/branches/funprm%2Fissue-2`)).body).toMatchObject([
      { type: "creation", ruleset_id: 5 },
    ]);
    expect((await api("DELETE", `${place.path}/git/refs/heads/funprm/issue-1`)).status).toBe(204);
    expect((await api("DELETE", `${place.path}/git/refs/heads/funprm/issue-1`)).status).toBe(422);
  });
});

describe("issues", () => {
  it("keeps labels, comments and reactions, each once", async () => {
    const place = await newRepository();
    const { number } = await github.act("issue", { ...place, login: "ada", title: "It breaks", body: "Look." });
    const issue = `${place.path}/issues/${number}`;
    expect((await api("POST", `${place.path}/labels`, { name: "funprm:fix", color: "0e8a16" })).status).toBe(201);
    expect((await api("POST", `${place.path}/labels`, { name: "FunPRM:fix" })).body.errors[0].code).toBe(
      "already_exists",
    );
    await api("POST", `${issue}/labels`, { labels: ["funprm:fix"] });
    expect((await api("POST", `${issue}/labels`, { labels: ["funprm:fix", "bug"] })).body).toHaveLength(2);
    expect((await api("DELETE", `${issue}/labels/funprm%3Afix`)).body.map((one: { name: string }) => one.name)).toEqual(
      ["bug"],
    );
    expect((await api("DELETE", `${issue}/labels/funprm%3Afix`)).status).toBe(404);
    const comment = (await api("POST", `${issue}/comments`, { body: "one" })).body;
    expect((await api("PATCH", `${place.path}/issues/comments/${comment.id}`, { body: "two" })).body.body).toBe("two");
    const people = await github.act("comment", { ...place, number, login: "ada", body: "mine" });
    expect((await api("PATCH", `${place.path}/issues/comments/${people.id}`, { body: "x" })).status).toBe(403);
    expect((await api("POST", `${issue}/reactions`, { content: "eyes" })).status).toBe(201);
    const again = await api("POST", `${issue}/reactions`, { content: "eyes" });
    expect(again.status).toBe(200);
    expect((await api("DELETE", `${issue}/reactions/${again.body.id}`)).status).toBe(204);
    expect((await api("GET", `${issue}/reactions`)).body).toEqual([]);
  });

  it("lists in pages that a client can follow", async () => {
    const place = await newRepository();
    const { number } = await github.act("issue", { ...place, login: "ada", title: "t" });
    for (let i = 0; i < 5; i++) await github.act("comment", { ...place, number, login: "ada", body: `c${i}` });
    const first = await api("GET", `${place.path}/issues/${number}/comments?per_page=2`);
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get("link")!)![1]!;
    const second = await api("GET", next.slice(`${github.url}/api/v3`.length));
    expect([...first.body, ...second.body].map((one: { body: string }) => one.body)).toEqual(["c0", "c1", "c2", "c3"]);
    expect(second.headers.get("link")).toContain('rel="last"');
    expect(Number(second.headers.get("x-ratelimit-remaining"))).toBeLessThan(5000);
  });

  it("refuses a body over 65,536 characters, a locked issue, an archived repository, and moves with a transfer", async () => {
    const place = await newRepository();
    const { number } = await github.act("issue", { ...place, login: "ada", title: "t" });
    const comments = `${place.path}/issues/${number}/comments`;
    expect((await api("POST", comments, { body: "x".repeat(65_536) })).status).toBe(201);
    expect((await api("POST", comments, { body: "x".repeat(65_537) })).body.errors[0].message).toContain("is too long");
    await github.act("change", { ...place, number, login: "ada", locked: true });
    expect((await api("POST", comments, { body: "x" })).status).toBe(403);
    await github.act("change", { ...place, number, login: "ada", locked: false, transferredTo: "team/elsewhere#9" });
    const moved = await api("GET", `${place.path}/issues/${number}`);
    expect([moved.status, moved.headers.get("location")]).toEqual([
      301,
      `${github.url}/api/v3/repos/team/elsewhere/issues/9`,
    ]);
    await github.act("settings", { ...place, archived: true });
    const refused = await api("POST", `${place.path}/labels`, { name: "x" });
    expect([refused.status, refused.body.message]).toEqual([403, "Repository was archived so is read-only."]);
  });
});

describe("pull requests", () => {
  it("shows files with patches, refuses a twin, an empty one and a draft where the plan has none", async () => {
    const place = await newRepository();
    const pull = await newPull(place);
    const [file] = (await api("GET", `${pull.path}/files`)).body;
    expect([file.filename, file.status, file.additions, file.deletions]).toEqual(["src/app.py", "modified", 2, 2]);
    expect(file.patch.match(/^@@/gm)).toHaveLength(2);
    expect(file.patch.endsWith("\n")).toBe(false);
    const open = (head: string, draft = false) =>
      api("POST", `${place.path}/pulls`, { title: "t", head, base: "main", draft });
    expect((await open("funprm/issue-1")).body.errors[0].message).toContain("already exists");
    await api("POST", `${place.path}/git/refs`, { ref: "refs/heads/empty", sha: place.sha });
    expect((await open("empty")).body.errors[0].message).toBe("No commits between main and empty");
    expect((await open("nowhere")).body.errors[0]).toMatchObject({ field: "head", code: "invalid" });
    await github.act("settings", { ...place, draftsRefused: true });
    await github.act("push", { ...place, login: "ada", branch: "more", files: [{ path: "new.py", text: "x = 1\n" }] });
    expect((await open("more", true)).status).toBe(422);
    expect((await open("more")).status).toBe(201);
  });

  it("lets reviewers be asked only among collaborators, never the author", async () => {
    const place = await newRepository();
    const pull = await newPull(place);
    const ask = (login: string) => api("POST", `${pull.path}/requested_reviewers`, { reviewers: [login] });
    expect((await ask("funprm[bot]")).status).toBe(422);
    expect((await ask("nobody-known")).status).toBe(422);
    expect((await ask("ada")).status).toBe(201);
    expect(
      (await api("GET", `${pull.path}/requested_reviewers`)).body.users.map((one: { login: string }) => one.login),
    ).toEqual(["ada"]);
  });

  // The two hunks show lines 1–5 and 20–24 of the new file; lines 2 and 24 are the changed ones.
  const text = { path: "src/app.py", body: "reward 0.71" };
  it.each([
    ["an added line", { ...text, line: 2, side: "RIGHT" }, null],
    ["a context line", { ...text, line: 5, side: "RIGHT" }, null],
    ["a deleted line on its side", { ...text, line: 2, side: "LEFT" }, null],
    ["a range in one hunk", { ...text, start_line: 1, start_side: "RIGHT", line: 2, side: "RIGHT" }, null],
    ["a line outside every hunk", { ...text, line: 12, side: "RIGHT" }, "Line must be part of the diff"],
    [
      "a range over two hunks",
      { ...text, start_line: 2, line: 24, side: "RIGHT" },
      "Start line must be part of the same hunk as the line",
    ],
    [
      "a start outside every hunk",
      { ...text, start_line: 12, line: 24, side: "RIGHT" },
      "Start line must be part of the diff",
    ],
    ["a range of one line", { ...text, start_line: 2, line: 2, side: "RIGHT" }, "Start line must precede the end line"],
    ["a range backwards", { ...text, start_line: 3, line: 2, side: "RIGHT" }, "Start line must precede the end line"],
    ["a file that is not in the diff", { ...text, path: "other.py", line: 1 }, "Path could not be resolved"],
    ["no line", { ...text }, "Line could not be resolved"],
  ])("takes or refuses a review by its anchors: %s", async (_, comment, refusal) => {
    const place = await newRepository();
    const pull = await newPull(place);
    const good = { ...text, line: 24, side: "RIGHT" };
    const answer = await api("POST", `${pull.path}/reviews`, {
      commit_id: pull.sha,
      event: "COMMENT",
      body: "review",
      comments: [good, comment],
    });
    const comments = (await api("GET", `${pull.path}/comments`)).body;
    if (refusal === null) {
      expect([answer.status, comments.length]).toEqual([200, 2]);
      expect(comments[0].diff_hunk.split("\n").at(-1)).toBe("+    return sum(xs, 0)");
    } else {
      expect([answer.status, answer.body.errors]).toEqual([422, [refusal]]);
      // One bad anchor refuses the whole review.
      expect(comments).toEqual([]);
      expect((await api("GET", `${pull.path}/reviews`)).body).toEqual([]);
    }
  });

  it("takes a review of the pull request's own commits only, and outdates it with the next push", async () => {
    const place = await newRepository();
    const pull = await newPull(place);
    const review = (commit_id: string) =>
      api("POST", `${pull.path}/reviews`, { commit_id, event: "COMMENT", body: "r", comments: [{ ...text, line: 2 }] });
    expect((await review(place.sha)).status).toBe(422);
    const made = await review(pull.sha);
    expect(made.body.user.login).toBe("funprm[bot]");
    expect((await api("POST", `${pull.path}/reviews`, { event: "COMMENT", body: " " })).status).toBe(422);
    const of = (await api("GET", `${pull.path}/reviews/${made.body.id}/comments`)).body;
    expect(of).toHaveLength(1);
    await github.act("push", {
      ...place,
      login: "ada",
      branch: "funprm/issue-1",
      files: [{ path: "n.py", text: "y = 2\n" }],
    });
    expect((await api("GET", `${pull.path}/comments`)).body[0]).toMatchObject({ line: null, original_line: 2 });
  });

  it("holds a comment on a whole file, and flat replies", async () => {
    const place = await newRepository();
    const pull = await newPull(place);
    const file = await api("POST", `${pull.path}/comments`, {
      body: "whole",
      commit_id: pull.sha,
      path: "src/app.py",
      subject_type: "file",
    });
    expect([file.status, file.body.subject_type]).toEqual([201, "file"]);
    const reply = await api("POST", `${pull.path}/comments`, {
      body: "fixed",
      commit_id: pull.sha,
      path: "src/app.py",
      in_reply_to: file.body.id,
    });
    const second = await api("POST", `${pull.path}/comments`, {
      body: "yes",
      commit_id: pull.sha,
      path: "src/app.py",
      in_reply_to: reply.body.id,
    });
    expect([reply.body.in_reply_to_id, second.body.in_reply_to_id]).toEqual([file.body.id, file.body.id]);
  });
});

describe("check runs", () => {
  it("holds GitHub's limits, and appends annotations", async () => {
    const place = await newRepository();
    const create = (more: object) =>
      api("POST", `${place.path}/check-runs`, { name: "FunPRM / functions", head_sha: place.sha, ...more });
    const annotation = { path: "src/app.py", start_line: 1, end_line: 2, annotation_level: "warning", message: "low" };
    const output = { title: "t", summary: "s" };
    const action = { label: "Re-score", description: "Score again", identifier: "rescore" };
    for (const bad of [
      { output: { ...output, summary: "x".repeat(65_536) } },
      { output: { ...output, text: "x".repeat(65_536) } },
      { output: { ...output, annotations: Array.from({ length: 51 }, () => annotation) } },
      { actions: [action, action, action, action] },
      { actions: [{ ...action, label: "x".repeat(21) }] },
      { actions: [{ ...action, description: "x".repeat(41) }] },
      { head_sha: "0".repeat(40) },
    ]) {
      const before = (await violations()).length;
      expect((await create(bad)).status).toBe(422);
      expected += (await violations()).length - before;
    }
    const run = (await create({ status: "in_progress", external_id: "01J", actions: [action] })).body;
    const update = (more: object) => api("PATCH", `${place.path}/check-runs/${run.id}`, more);
    await update({ output: { ...output, annotations: [annotation] } });
    await update({ output: { ...output, annotations: [annotation] }, conclusion: "neutral" });
    const seen = (await api("GET", `${place.path}/check-runs/${run.id}`)).body;
    expect([seen.status, seen.conclusion, seen.output.annotations_count]).toEqual(["completed", "neutral", 2]);
    expect((await api("GET", `${place.path}/check-runs/${run.id}/annotations`)).body).toHaveLength(2);
    expect(
      (await api("GET", `${place.path}/commits/${place.sha}/check-runs?check_name=FunPRM%20%2F%20functions`)).body
        .total_count,
    ).toBe(1);
    arrived.length = 0;
    await github.act("check-action", { ...place, id: run.id, identifier: "rescore", login: "ada" });
    await github.act("settled");
    expect(JSON.parse(arrived[0]!.raw)).toMatchObject({
      action: "requested_action",
      requested_action: { identifier: "rescore" },
      sender: { login: "ada" },
    });
  });
});

describe("webhooks", () => {
  it("are signed, named, and sent for what people and the app do, in GitHub's order", async () => {
    const place = await newRepository();
    await github.act("settled");
    arrived.length = 0;
    const { number } = await github.act("issue", { ...place, login: "ada", title: "t", labels: ["funprm:fix"] });
    await api("POST", `${place.path}/issues/${number}/comments`, { body: "seen" });
    await github.act("settled");
    for (const one of arrived) {
      expect(one.headers["x-hub-signature-256"]).toBe(
        `sha256=${createHmac("sha256", SECRET).update(one.raw).digest("hex")}`,
      );
      expect(one.headers["x-github-hook-installation-target-id"]).toBe("77");
    }
    const seen = arrived.map((one) => [
      one.headers["x-github-event"],
      JSON.parse(one.raw).action,
      JSON.parse(one.raw).sender.type,
    ]);
    expect(seen.toSorted()).toEqual([
      ["issue_comment", "created", "Bot"],
      ["issues", "labeled", "User"],
      ["issues", "opened", "User"],
    ]);
    const labelled = arrived.map((one) => JSON.parse(one.raw)).find((one) => one.action === "labeled");
    expect(labelled).toMatchObject({
      label: { name: "funprm:fix" },
      installation: { id: installationId },
      repository: { id: place.id },
      issue: { number },
    });
  });

  it("cover a pull request's whole life: push, opened, synchronize, review, merge, closed issue", async () => {
    const place = await newRepository();
    await github.act("issue", { ...place, login: "ada", title: "t" });
    const { path } = await newPull(place);
    const number = Number(path.split("/").at(-1));
    await github.act("push", {
      ...place,
      login: "ada",
      branch: "funprm/issue-1",
      files: [{ path: "n.py", text: "y = 2\n" }],
    });
    await api("POST", `${path}/reviews`, {
      event: "COMMENT",
      body: "r",
      comments: [{ ...{ path: "src/app.py", body: "b" }, line: 2 }],
    });
    await github.act("ready", { ...place, number, login: "ada" });
    const { sha } = await github.act("merge", { ...place, number, login: "ada", method: "squash" });
    await github.act("settled");
    const names = arrived.map((one) => `${one.headers["x-github-event"]}.${JSON.parse(one.raw).action ?? ""}`);
    for (const name of [
      "push.",
      "pull_request.opened",
      "pull_request.synchronize",
      "pull_request_review.submitted",
      "pull_request_review_comment.created",
      "pull_request.ready_for_review",
      "pull_request.closed",
      "issues.closed",
    ])
      expect(names).toContain(name);
    const pull = (await api("GET", path)).body;
    expect([pull.merged, pull.merged_by.login, pull.merge_commit_sha, pull.changed_files]).toEqual([
      true,
      "ada",
      sha,
      2,
    ]);
    expect((await api("GET", `${place.path}/issues/1`)).body.state).toBe("closed");
  });

  it("say that a workflow ended, again with its next attempt, and that a repository is gone", async () => {
    const place = await newRepository();
    const { id } = await github.act("workflow-run", { ...place, sha: place.sha, conclusion: "failure" });
    await github.act("workflow-run", { ...place, run: id });
    await github.act("delete-repository", place);
    await github.act("settled");
    const told = arrived.map(({ headers, raw }) => {
      const [name, payload] = [`${headers["x-github-event"]}`, JSON.parse(raw)];
      return { name, job: outcomeJob(name, payload) ?? jobOf({ id: "1", name, payload }) };
    });
    const saw = told
      .filter(({ name }) => name === "workflow_run")
      .map(({ job }) => (job!.payload as RecordOutcomePayload).saw);
    const checks = (attempt: number, conclusion: string) => [expect.objectContaining({ attempt, conclusion })];
    const at = { kind: "checks", sha: place.sha, workflow: true };
    expect(saw.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))).toEqual([
      { ...at, checks: checks(1, "failure") },
      { ...at, checks: checks(2, "success") },
    ]);
    const gone = told.find(({ name }) => name === "repository");
    expect(gone?.job).toEqual(forgetJob({ installationId, repositoryId: place.id }));
  });

  it("are listed, filtered, and sent again under the same id only when asked", async () => {
    const place = await newRepository();
    await github.act("settled");
    await github.act("webhook", { url: "http://127.0.0.1:9/closed" });
    await github.act("issue", { ...place, login: "ada", title: "lost" });
    await github.act("settled");
    await github.act("webhook", { url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook` });
    arrived.length = 0;
    const [lost] = (await api("GET", "/app/hook/deliveries?status=failure&per_page=1", undefined, appToken())).body;
    expect([lost.event, lost.action, lost.redelivery]).toEqual(["issues", "opened", false]);
    expect(
      (await api("GET", `/app/hook/deliveries/${lost.id}`, undefined, appToken())).body.request.payload.issue.title,
    ).toBe("lost");
    expect((await api("POST", `/app/hook/deliveries/${lost.id}/attempts`, undefined, appToken())).status).toBe(202);
    await github.act("settled");
    expect(arrived.map((one) => one.headers["x-github-delivery"])).toEqual([lost.guid]);
    const page = await api("GET", "/app/hook/deliveries?per_page=1", undefined, appToken());
    expect(page.body[0]).toMatchObject({ guid: lost.guid, redelivery: true, status_code: 202 });
    expect(page.headers.get("link")).toContain("cursor=v1_");
  });
});

describe("faults", () => {
  it("refuse before, fail after applying, cut the line, limit the rate, each for as many requests as asked", async () => {
    const place = await newRepository();
    const { number } = await github.act("issue", { ...place, login: "ada", title: "t" });
    const comments = `${place.path}/issues/${number}/comments`;
    const write = (body: string) => api("POST", comments, { body });
    const fault = (kind: string, more: object = {}) =>
      github.act("fault", { method: "POST", path: "/comments$", kind, ...more });
    await fault("status", { status: 503 });
    expect((await write("never")).status).toBe(503);
    await fault("applies-then-fails", { status: 502 });
    expect((await write("applied")).status).toBe(502);
    await fault("drop");
    await expect(write("never")).rejects.toThrow();
    await fault("applies-then-drops");
    await expect(write("applied too")).rejects.toThrow();
    await fault("secondary", { status: 429, retryAfter: 7 });
    const limited = await write("never");
    expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "7"]);
    await fault("rate-limit");
    expect((await write("never")).headers.get("x-ratelimit-remaining")).toBe("0");
    expect((await write("last")).status).toBe(201);
    expect((await api("GET", comments)).body.map((one: { body: string }) => one.body)).toEqual([
      "applied",
      "applied too",
      "last",
    ]);
    const { effects } = await github.act("state");
    expect(effects.filter((one: { path: string }) => one.path === comments)).toHaveLength(3);
  });
});

describe("the page", () => {
  it("shows a reader the issue and the pull request, and nothing that would load, run or hide", async () => {
    const place = await newRepository();
    const body =
      "<!-- funprm:sticky v1 -->\n**bold**<script>alert(1)</script><img src=x onerror=alert(1)>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](https://evil.example/p.png) [l](javascript:alert(1))\n\n<details><summary>More</summary>\n\ninside\n\n</details>";
    const { number } = await github.act("issue", { ...place, login: "ada", title: "<b>t</b>", body });
    const pull = await newPull(place);
    await api("POST", `${pull.path}/reviews`, {
      commit_id: pull.sha,
      event: "COMMENT",
      body: "whole review",
      comments: [{ path: "src/app.py", line: 2, body: "reward 0.71 of greet" }],
    });
    await api("POST", `${pull.path}/comments`, {
      body: "about the file",
      commit_id: pull.sha,
      path: "src/app.py",
      subject_type: "file",
    });
    await api("POST", `${place.path}/check-runs`, {
      name: "FunPRM / functions",
      head_sha: pull.sha,
      conclusion: "neutral",
      output: {
        title: "2/2 scored",
        summary: "| f | r |\n|---|---|\n| greet | 0.71 |",
        annotations: [
          { path: "src/app.py", start_line: 2, end_line: 2, annotation_level: "warning", message: "low reward" },
        ],
      },
    });
    const read = async (path: string) => (await fetch(`${github.url}/${place.owner}/${place.repo}/${path}`)).text();
    const issue = await read(`issues/${number}`);
    expect(issue).toContain("<strong>bold</strong>");
    expect(issue).toContain("<details><summary>More</summary>");
    expect(issue).toContain("&lt;b&gt;t&lt;/b&gt;");
    for (const bad of ["<script", "<img", "evil.example", "javascript:", "funprm:sticky"])
      expect(issue).not.toContain(bad);
    const page = await read(`pull/${pull.number}`);
    for (const part of [
      "whole review",
      "reward 0.71 of greet",
      "about the file",
      "FunPRM / functions",
      "2/2 scored",
      "low reward",
      "+    return sum(xs, 0)",
      "<td>greet</td>",
    ])
      expect(page).toContain(part);
    // The comment stands under its line and not merely somewhere.
    const places = ["f'hello {name}'", "reward 0.71 of greet", "sum(xs, 0)"].map((part) => page.indexOf(part));
    expect(places).toEqual(places.toSorted((x, y) => x - y));
    expect(page).not.toMatch(/(src|href)="https?:\/\/(?!127\.0\.0\.1)/);
  });
});
