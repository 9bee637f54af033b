/** `funprm report --post` as an operator runs it, beside the running app on the same database: one comment on GitHub. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { type FakeGitHub, startFakeGitHub } from "../../src/fake-github/start.ts";

// The app starts here, with the probes of its sandbox, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const root = join(import.meta.dirname, "../..");
const at = { owner: "team", repo: "code" };
const secret = "a secret of more than sixteen characters";
let github: FakeGitHub;
let folder: string;
let environment: NodeJS.ProcessEnv;
let repositoryId: number;
let issue: number;
let app: ChildProcess | null = null;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-report-"));
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  github = await startFakeGitHub({
    ...{
      id: 42,
      slug: "funprm",
      name: "FunPRM",
      owner: "operator",
      publicKey,
      webhookSecret: secret,
      webhookUrl: null,
    },
    events: [],
    permissions: { metadata: "read", contents: "write", issues: "write", pull_requests: "write", checks: "write" },
  });
  await github.act("user", { login: "ada" });
  const files = [{ path: ".github/funprm.yml", text: "learn: { report: learned }\n" }];
  const { id, installationId } = await github.act("repository", { ...at, files });
  repositoryId = id;
  issue = (await github.act("issue", { ...at, login: "ada", title: "What was learned", labels: ["learned"] })).number;
  environment = {
    ...process.env,
    ...{ INIT_CWD: folder, DATABASE_PATH: join(folder, "app.db"), LEARNING_DIR: "learning", LOG_LEVEL: "error" },
    ...{
      APP_ID: "42",
      PRIVATE_KEY: privateKey,
      WEBHOOK_SECRET: secret,
      GITHUB_API_URL: `${github.url}/api/v3`,
      PORT: "0",
    },
    MODEL_DIR: join(root, "test/fixtures/models/tiny"),
  };
  const database = await openDatabase({
    ...{ path: join(folder, "app.db"), now: () => new Date(), random: (count) => new Uint8Array(count) },
  });
  await database.learning.saveRepository({ installationId, repositoryId, ...at });
  await database.learning.append({ installationId, repositoryId, pullRequest: 900 }, [
    {
      ...{ id: "opened", at: Date.now(), actor: "ada", kind: "opened", number: 900 },
      ...{ head: "a".repeat(40), base: "b".repeat(40), defaultBranch: "main" },
    },
  ]);
  await database.close();
});
afterAll(async () => {
  if (app !== null && app.exitCode === null) {
    const ended = new Promise((done) => app!.once("exit", done));
    app.kill("SIGTERM");
    await ended;
  }
  await github.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Without blocking: the connection to the fake GitHub would be found closed when it is used next. */
function funprm(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile(
      process.execPath,
      ["--no-warnings", join(root, "src/main.ts"), ...args],
      { cwd: root, env: environment },
      (_, stdout, stderr) => done({ status: child.exitCode, stdout, stderr }),
    );
  });
}
const reports = async (): Promise<string[]> => {
  const { repos } = await github.act("state");
  const { comments } = repos[0].issues.find((one: { number: number }) => one.number === issue);
  const month = `month=${new Date().toISOString().slice(0, 7)} `;
  return comments.map(({ body }: { body: string }) => body).filter((body: string) => body.includes(month));
};

it.each([
  [["--post"], "name the repository with --repository ID"],
  [["--post", "--repository", "5"], "--repository 5: nothing was learned there"],
])("report %j is refused in one line and asks for nothing", async (args, said) => {
  const { status, stdout, stderr } = await funprm("report", ...args);
  expect([status, stdout, stderr.trim().split("\n").length]).toEqual([2, "", 1]);
  expect(stderr).toContain(said);
  expect(JSON.parse((await funprm("jobs", "list", "--json")).stdout).jobs).toEqual([]);
});

it("the report is queued, and the running app posts it in the issue that the settings name; again, it is the same comment", async () => {
  const asked = await funprm("report", "--post", "--repository", `${repositoryId}`);
  expect([asked.status, asked.stderr]).toEqual([0, ""]);
  expect(asked.stdout).toMatch(/^queued as job (\w+): funprm jobs show \1\n$/);
  expect(await reports()).toEqual([]);
  app = spawn(process.execPath, ["--no-warnings", join(root, "src/main.ts"), "serve"], {
    ...{ cwd: root, env: environment, stdio: ["ignore", "ignore", "inherit"] },
  });
  await expect.poll(async () => (await reports()).length, { timeout: 120_000, interval: 200 }).toBe(1);
  expect((await reports())[0]).toMatch(
    /^<!-- funprm:learned v1 month=\d{4}-\d{2} sig=[0-9a-f]{16} -->\n### What FunPRM learned/,
  );
  const { job } = JSON.parse((await funprm("report", "--post", "--repository", `${repositoryId}`, "--json")).stdout);
  const state = async () => JSON.parse((await funprm("jobs", "show", job, "--json")).stdout).state;
  await expect.poll(state, { timeout: 60_000, interval: 1_000 }).toBe("done");
  expect(await reports()).toHaveLength(1);
  expect((await github.act("state")).violations).toEqual([]);
});
