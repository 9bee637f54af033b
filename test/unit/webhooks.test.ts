/** Hostile and repeated deliveries over real HTTP: verified, recorded once, answered quickly, nothing else done. */
import { createHmac, generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { type RunningServer, startServer } from "../../src/app/server.ts";
import { jobOf, type Webhook } from "../../src/app/webhooks/receive.ts";
import { forgetJob } from "../../src/domain/job-payloads.ts";
import funprm from "../../src/index.ts";
import type { JobStore } from "../../src/ports.ts";

const SECRET = "a secret of more than sixteen characters";
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
let jobs: JobStore;
let server: RunningServer;
let closeDatabase: () => Promise<void>;
let woken = 0;

const options = (port: number, store: JobStore) => ({
  appId: 1,
  privateKey,
  webhookSecret: SECRET,
  webhookPath: "/api/github/webhooks",
  host: "127.0.0.1",
  port,
  register: funprm(store, () => void woken++),
  health: async () => ({ ok: true }),
  page: async () => false,
});

beforeAll(async () => {
  const database = await openDatabase({
    path: ":memory:",
    now: () => new Date(),
    random: (count) => randomBytes(count),
  });
  jobs = database.jobs;
  closeDatabase = database.close;
  server = await startServer(options(0, jobs));
});
afterAll(async () => {
  await server.close();
  await closeDatabase();
});

const payload = (change: object = {}) => ({
  action: "labeled",
  installation: { id: 5 },
  repository: { id: 7, name: "r", owner: { login: "o" } },
  sender: { login: "ada", type: "User" },
  issue: { number: 3 },
  label: { name: "funprm:fix" },
  ...change,
});

function deliver(
  body: string,
  {
    id = randomBytes(8).toString("hex"),
    event = "issues",
    signature = `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`,
    path = "/api/github/webhooks",
  } = {},
) {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "x-github-event": event,
    "x-github-delivery": id,
  };
  if (signature !== "") headers["x-hub-signature-256"] = signature;
  return fetch(`${server.url}${path}`, { method: "POST", headers, body });
}

const queued = async () => (await jobs.list()).length;

describe("the webhook", () => {
  it("refuses what is not signed with the secret, and records nothing of it", async () => {
    const body = JSON.stringify(payload());
    for (const signature of [
      "",
      "sha256=00",
      `sha256=${createHmac("sha256", "development").update(body).digest("hex")}`,
      `sha1=${createHmac("sha1", SECRET).update(body).digest("hex")}`,
    ]) {
      expect((await deliver(body, { signature })).status).toBeGreaterThanOrEqual(400);
    }
    const other = JSON.stringify(payload({ issue: { number: 4 } }));
    expect(
      (await deliver(other, { signature: `sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}` })).status,
    ).toBeGreaterThanOrEqual(400);
    expect(await queued()).toBe(0);
  });

  it("accepts an event that asks for nothing, and does nothing", async () => {
    for (const event of ["ping", "star", "nobody_knows"])
      expect((await deliver(JSON.stringify({ zen: "x", action: "x" }), { event })).status).toBeLessThan(300);
    expect(await queued()).toBe(0);
  });

  it("makes one job of ten deliveries in parallel and of one sent again", async () => {
    const body = JSON.stringify(payload());
    const answers = await Promise.all(Array.from({ length: 10 }, () => deliver(body, { id: "same" })));
    expect(answers.every((answer) => answer.ok)).toBe(true);
    for (let i = 0; i < 5; i++) await deliver(body, { id: "same" });
    await deliver(body, { id: "another delivery of the same label", path: "/" });
    expect(await queued()).toBe(1);
    expect(woken).toBe(1);
  });

  it("answers 413 to a body that GitHub never sends, without reading it", async () => {
    const answer = await fetch(`${server.url}/api/github/webhooks`, {
      method: "POST",
      headers: { "x-github-event": "issues" },
      body: Buffer.alloc(26 * 1024 * 1024),
    }).catch((error: Error) => error);
    expect(answer instanceof Error || answer.status === 413).toBe(true);
  });

  it("says in one line that its port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as AddressInfo;
    await expect(startServer(options(port, jobs))).rejects.toMatchObject({
      code: "PORT_IN_USE",
      message: expect.stringContaining("set PORT"),
    });
    other.close();
  });

  it("hears of repositories taken from an installation, one job each, and of commands in threads", async () => {
    const asked = async (event: string, change: object) => {
      const known = await queued();
      expect((await deliver(JSON.stringify(payload({ issue: undefined, ...change })), { event })).ok).toBe(true);
      return (await jobs.list({ limit: (await queued()) - known || 1 })).map((job) => [job.kind, job.payload]);
    };
    const removed = { action: "removed", repository: undefined, repositories_removed: [{ id: 7 }, { id: 8 }] };
    expect((await asked("installation_repositories", removed)).reverse()).toEqual([
      ["forget-installation", { installationId: 5, repositoryId: 7 }],
      ["forget-installation", { installationId: 5, repositoryId: 8 }],
    ]);
    // "All repositories" became a selection: GitHub names none.
    const unnamed = { ...removed, repository_selection: "selected", repositories_removed: [] };
    expect(await asked("installation_repositories", unnamed)).toEqual([
      ["forget-installation", { installationId: 5, unnamed: true }],
    ]);
    const deleted = { action: "deleted", repository: { id: 9, name: "r", owner: { login: "o" } } };
    expect(await asked("repository", deleted)).toEqual([
      ["forget-installation", { installationId: 5, repositoryId: 9 }],
    ]);
    expect((await jobs.list()).filter((job) => job.cancelRequested && job.kind !== "solve-issue")).toEqual([]);
    const comment = { id: 9, body: "/funprm wrong", in_reply_to_id: 4, user: { login: "ada", type: "User" } };
    const reply = { action: "created", comment, pull_request: { number: 2 } };
    expect((await asked("pull_request_review_comment", reply)).map(([kind]) => kind)).toEqual(["answer-finding"]);
  });

  const HEAD = "a".repeat(40);
  const pushed = { asked: false, full: false, head: HEAD, command: null };
  const ASKED = {
    opened: ["review-pull", { ...pushed, trigger: "opened" }],
    ready: ["review-pull", { ...pushed, trigger: "ready" }],
    synchronize: ["review-pull", { ...pushed, trigger: "synchronize" }],
    button: ["review-pull", { ...pushed, trigger: "button", asked: true, head: null }],
    suite: ["review-pull", { ...pushed, trigger: "suite", asked: true, head: null }],
    rescore: ["review-pull", { ...pushed, trigger: "button", asked: true, full: true, head: null }],
    ignore: ["answer-finding", { by: "ada", command: { verb: "ignore", text: "pr" }, from: { kind: "button" } }],
    nothing: null,
  } as const;
  const BOT = { sender: { login: "dependabot[bot]", type: "Bot" } };
  const RESCORE = { requested_action: { identifier: "rescore" } };
  const IGNORE = { requested_action: { identifier: "ignore-all" } };
  let number = 100;

  it.each<[string, object, keyof typeof ASKED]>([
    ["pull_request.opened", {}, "opened"],
    ["pull_request.opened", BOT, "opened"],
    ["pull_request.reopened", {}, "opened"],
    ["pull_request.ready_for_review", {}, "ready"],
    ["pull_request.synchronize", {}, "synchronize"],
    ...["closed", "edited", "labeled", "assigned", "review_requested", "converted_to_draft"].map(
      (action): [string, object, "nothing"] => [`pull_request.${action}`, {}, "nothing"],
    ),
    ["check_run.rerequested", {}, "button"],
    ["check_run.requested_action", RESCORE, "rescore"],
    ["check_run.requested_action", IGNORE, "ignore"],
    ["check_run.requested_action", { requested_action: { identifier: "deploy" } }, "nothing"],
    ["check_run.created", {}, "nothing"],
    ["check_run.completed", {}, "nothing"],
    ["check_run.rerequested", BOT, "nothing"],
    ["check_run.requested_action", { ...IGNORE, ...BOT }, "nothing"],
    ["check_run.rerequested", { check_run: { external_id: "lint-3" } }, "nothing"],
    ["check_run.requested_action", { ...IGNORE, check_run: { external_id: null } }, "nothing"],
    ["check_suite.rerequested", {}, "suite"],
    ["check_suite.rerequested", { check_suite: { pull_requests: [] } }, "nothing"],
    ["check_suite.rerequested", BOT, "nothing"],
    ["check_suite.completed", {}, "nothing"],
  ])("%s %j asks a review for: %s", async (name, change, asked) => {
    const [event, action] = name.split(".") as ["pull_request" | "check_run" | "check_suite", string];
    number++;
    const about = {
      pull_request: { number, head: { sha: HEAD } },
      check_run: { external_id: `review-${number}` },
      check_suite: { head_sha: HEAD, pull_requests: [{ number }] },
    }[event];
    const sent = payload({ issue: undefined, label: undefined, action, [event]: about, ...change });
    const place = { installationId: 5, repositoryId: 7, owner: "o", repo: "r", issueNumber: number };
    const wanted = ASKED[asked] && { kind: ASKED[asked][0], payload: { ...place, ...ASKED[asked][1] } };
    const job = jobOf({ id: "1", name: event, payload: sent } as unknown as Webhook);
    expect(job && { kind: job.kind, payload: job.payload }).toEqual(wanted);
    const known = new Set((await jobs.list()).map(({ id }) => id));
    expect((await deliver(JSON.stringify(sent), { event })).ok).toBe(true);
    const made = (await jobs.list()).filter(({ id, kind }) => !known.has(id) && kind !== "record-outcome");
    expect(made).toMatchObject(wanted ? [wanted] : []);
  });

  it("serves health and nothing that is not there", async () => {
    expect(await (await fetch(`${server.url}/healthz`)).json()).toEqual({ ok: true });
    expect((await fetch(`${server.url}/runs/01UNKNOWN`)).status).toBe(404);
    expect((await fetch(`${server.url}/probot`)).status).toBe(404);
  });
});

describe("what a webhook asks for", () => {
  const job = (name: string, change: object) => jobOf({ id: "1", name, payload: payload(change) } as Webhook);
  const comment = (body: string, change: object = {}) =>
    job("issue_comment", {
      action: "created",
      comment: { id: 9, body, user: { login: "ada", type: "User" } },
      ...change,
    });

  it("is nothing when a bot did it, the label is another, or the comment is ours", () => {
    expect(job("issues", { sender: { login: "funprm[bot]", type: "Bot" } })).toBeNull();
    expect(job("issues", { label: { name: "bug" } })).toBeNull();
    expect(job("issues", { label: { name: "funprm:running" } })).toBeNull();
    expect(comment("<!-- funprm:sticky v1 issue=3 sig=0000000000000000 -->\n/funprm fix")).toBeNull();
    expect(comment("```\n/funprm fix\n```")).toBeNull();
    expect(comment("> /funprm fix")).toBeNull();
    expect(comment("please /funprm fix")).toBeNull();
  });

  it("is to forget everything when the app is uninstalled, by whomever", () => {
    expect(job("installation", { action: "deleted", repository: undefined, issue: undefined })).toMatchObject({
      kind: "forget-installation",
      payload: { installationId: 5 },
    });
    const deleted = { action: "deleted", issue: undefined, repository: { id: 7, name: "r", owner: { login: "o" } } };
    expect(job("repository", deleted)).toEqual(forgetJob({ installationId: 5, repositoryId: 7 }));
    for (const action of ["archived", "transferred", "privatized"])
      expect(job("repository", { ...deleted, action })).toBeNull();
    expect(job("repository", { ...deleted, installation: undefined })).toBeNull();
    expect(job("installation", { action: "suspend", repository: undefined, issue: undefined })).toBeNull();
    expect(job("installation_repositories", { action: "added", repository: undefined })).toBeNull();
  });

  it("is a run, a stop or an answer when a person asks", () => {
    expect(job("issues", {})?.kind).toBe("solve-issue");
    expect(comment("/FunPRM fix n=4")?.payload).toMatchObject({
      trigger: { kind: "command", verb: "fix" },
      options: { n: 4 },
    });
    expect(comment("/funprm stop")?.kind).toBe("stop-run");
    expect(job("issues", { action: "unlabeled", label: { name: "funprm:running" } })?.kind).toBe("stop-run");
    expect(job("issues", { action: "closed" })?.kind).toBe("stop-run");
    expect(comment("/funprm help")?.kind).toBe("reply-command");
    for (const at of [{}, { issue: { number: 3, pull_request: {} } }])
      expect(comment("/funprm report", at)).toMatchObject({ kind: "report-learning", payload: { month: null } });
    expect(comment("/funprm dance")?.payload).toMatchObject({ command: { verb: "unknown" } });
    expect(comment("/funprm fix", { issue: { number: 3, pull_request: {} } })?.kind).toBe("reply-command");
  });
});
