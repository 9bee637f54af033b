/** Artifacts of CI → grades, over real HTTP: what the settings name is read, and nothing that could not be trusted. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { artifacts } from "../../src/adapters/artifacts/read-artifact.ts";
import { decided, gradedLabels } from "../../src/domain/graded-label.ts";
import { type RecordOutcomePayload, recordJob } from "../../src/domain/job-payloads.ts";
import { ofKind } from "../../src/domain/outcome.ts";
import type { Job } from "../../src/domain/run.ts";
import type { FakeGitHub } from "../../src/fake-github/start.ts";
import { type RecordOutcomePorts, recordOutcome } from "../../src/flows/record-outcome.ts";
import type { RepoRef } from "../../src/ports.ts";
import { openOutcomeWorld } from "../fakes/outcome-world.ts";
import { junitOf, zipOf } from "../fakes/zip.ts";

const NOW = Date.now() + 86_400_000;
const CONFIG =
  "learn: { collect: all, artifacts: [{ name: 'tests-*', kind: junit }, { name: coverage, kind: coverage }] }\n";
const BROKEN = "import os\n\n\ndef one(x):\n    return x - 1\n\n\ndef two(x):\n    return one(x) * 2\n";
const MENDED = BROKEN.replace("x - 1", "x + 1");
const ID = "src/a.py#one";
let github: FakeGitHub;
let ports: RecordOutcomePorts;
let stop: () => Promise<void>;
let ref: RepoRef;
let at: { owner: string; repo: string };
let base: string;
let warned: string[] = [];
let repositories = 0;

beforeAll(async () => {
  ({ github, ports, stop } = await openOutcomeWorld({
    events: ["workflow_run"],
    permissions: { actions: "read" },
    logins: ["ann", "eve"],
    artifacts,
    matches: (glob, name) => new RegExp(`^${glob.replace("*", ".*")}$`).test(name),
    warn: (_, more) => void warned.push(String(more?.["reason"] ?? more?.["message"])),
  }));
});
afterAll(async () => {
  const { violations } = await github.act("state");
  await stop();
  expect(violations).toEqual([]);
});
beforeEach(async () => {
  repositories += 1;
  warned = [];
  at = { owner: "team", repo: `code-${repositories}` };
  const files = [
    { path: "src/a.py", text: BROKEN },
    { path: ".github/funprm.yml", text: CONFIG },
  ];
  const made = await github.act("repository", { ...at, files });
  ref = { installationId: made.installationId, repositoryId: made.id, ...at };
  base = made.sha;
});

const record = async (saw: RecordOutcomePayload["saw"]) =>
  recordOutcome(ports, { payload: recordJob({ ...ref, saw }).payload } as Job, new AbortController().signal);
const push = async (files: Record<string, string>, branch = "work"): Promise<string> =>
  (
    await github.act("push", {
      ...at,
      login: "ann",
      branch,
      files: Object.entries(files).map(([path, text]) => ({ path, text })),
    })
  ).sha;
const workflow = (
  sha: string,
  reports: Record<string, string | Uint8Array>,
  more: Record<string, unknown> = {},
  each = {},
) =>
  github.act("workflow-run", {
    ...at,
    sha,
    artifacts: Object.entries(reports).map(([name, report]) => ({
      name,
      zip: (typeof report === "string"
        ? zipOf([{ name: fileFor(name, report), text: report }])
        : Buffer.from(report)
      ).toString("base64"),
      ...each,
    })),
    ...more,
  });
const fileFor = (name: string, text: string) =>
  name !== "coverage" || text.startsWith("<") ? "a.xml" : text.startsWith("{") ? "a.json" : "a.info";
const workspaceOf = () => `/home/runner/work/${at.repo}/${at.repo}`;
/** What CI says of `test_one` and of `test_two`, which passes always. */
const junit = (fails: boolean) =>
  junitOf([
    { name: "test_one", ...(fails ? { fails: `${workspaceOf()}/src/a.py:5: AssertionError` } : {}) },
    { name: "test_elsewhere" },
  ]);
const contexts = () =>
  JSON.stringify({
    files: {
      "src/a.py": { executed_lines: [1, 4, 5], contexts: { "4": [""], "5": ["tests/test_a.py::test_one|run"] } },
    },
  });
const lcov = (line = 5) => `SF:src/a.py\nDA:4,1\nDA:${line},1\nend_of_record\n`;

async function merge(head: string, title = "Mend one"): Promise<number> {
  const { number } = await github.act("pull", { ...at, login: "ann", branch: "work", title, body: "" });
  await github.act("check", { ...at, sha: head, name: "ci", conclusion: "success" });
  await github.act("merge", { ...at, number, login: "ann", method: "squash" });
  await record({ kind: "pull", number });
  return number;
}
const known = (number: number) => ports.learning.events(ref.repositoryId, number);
const labels = async (number: number) => decided(gradedLabels(ref.repositoryId, await known(number), NOW));
const grades = async (number: number) => (await labels(number)).map((one) => `${one.grade} ${one.function}`).sort();

/** Git runs for every commit here, on a machine that may be busy. */
describe("artifacts of CI", { timeout: 180_000 }, () => {
  it("a test that failed on base and passes makes A+ of what it ran, and A- of the text it replaces, with their provenance", async () => {
    await workflow(base, { "tests-3.12": junit(true), coverage: contexts() }, { conclusion: "failure" });
    const head = await push({ "src/a.py": MENDED });
    const { id } = await workflow(head, { "tests-3.12": junit(false), coverage: contexts() });
    const number = await merge(head);
    expect(await grades(number)).toEqual([`A+ ${ID}`, `A- ${ID}`]);
    const right = (await labels(number)).find((one) => one.grade === "A+")!;
    expect(right).toMatchObject({ head, author: "ann", reason: "ci tests.test_a.test_one failed on base and passes" });
    expect(right.events).toContain(`tests:${head}:junit artifact of run ${id}:1`);
    expect(ofKind(await known(number), "tests").map(({ results }) => results.map((one) => one.id))).toEqual([
      ["ci tests.test_a.test_one"],
      ["ci tests.test_a.test_one"],
    ]);
    // Read again, from the webhook of the same run or in the night: the same facts.
    const timeless = async () => (await known(number)).map(({ at: _, ...rest }) => rest);
    const before = await timeless();
    await record({ kind: "checks", sha: head, checks: [], workflow: true });
    expect(await timeless()).toEqual(before);
  });

  it("a test that passed on base and fails twice in the function makes A-; once is not enough", async () => {
    await workflow(base, { "tests-a": junit(false) });
    const head = await push({ "src/a.py": MENDED });
    const { id } = await workflow(head, { "tests-a": junit(true) }, { conclusion: "failure" });
    const number = await merge(head);
    expect(await grades(number)).toEqual([`C ${ID}`]);
    await workflow(head, { "tests-a": junit(true) }, { run: id, conclusion: "failure" });
    await record({ kind: "checks", sha: head, checks: [], workflow: true });
    expect(await grades(number)).toEqual([`A- ${ID}`]);
  });

  it("one that fails and then passes in the next attempt says nothing", async () => {
    await workflow(base, { "tests-a": junit(false) });
    const head = await push({ "src/a.py": MENDED });
    const { id } = await workflow(head, { "tests-a": junit(true), coverage: contexts() }, { conclusion: "failure" });
    await workflow(head, { "tests-a": junit(false), coverage: contexts() }, { run: id });
    const number = await merge(head);
    expect(ofKind(await known(number), "tests").map(({ attempt }) => attempt)).toContain(2);
    expect(await grades(number)).toEqual([`C ${ID}`]);
  });

  it("a run of a pull request counts where the merge left the file alone, and not where base had moved under it", async () => {
    const head = await push({ "src/a.py": MENDED });
    await workflow(head, { coverage: lcov() }, { event: "pull_request" });
    expect(await grades(await merge(head))).toEqual([`B+ ${ID}`]);
    const next = await push({ "src/a.py": MENDED.replace("* 2", "* 3") }, "next");
    await workflow(next, { coverage: lcov(9) }, { event: "pull_request" });
    await push({ "src/a.py": `"""Moved."""\n\n${MENDED}` }, "main");
    const { number } = await github.act("pull", { ...at, login: "ann", branch: "next", title: "Two", body: "" });
    await github.act("check", { ...at, sha: next, name: "ci", conclusion: "success" });
    await github.act("merge", { ...at, number, login: "ann", method: "merge" });
    await record({ kind: "pull", number });
    expect(ofKind(await known(number), "tests")).toEqual([]);
  });

  it("a workflow that ends after the merge is read when it ends, and one whose webhook is lost in the night", async () => {
    const head = await push({ "src/a.py": MENDED });
    const number = await merge(head);
    // The line of its def, and another function.
    await workflow(head, { coverage: `${lcov(4)}${lcov(9)}` });
    await record({ kind: "checks", sha: head, checks: [], workflow: true });
    expect(await grades(number)).toEqual([`C ${ID}`]);
    const cobertura = `<coverage><sources><source>${workspaceOf()}</source></sources><class filename="src/a.py"><line number="5" hits="1"/></class></coverage>`;
    const { id } = await workflow(head, { coverage: cobertura });
    await record({ kind: "checks", sha: head, checks: [] });
    expect(await grades(number)).toEqual([`C ${ID}`]);
    await record({ kind: "sweep" });
    expect(await grades(number)).toEqual([`B+ ${ID}`]);
    expect((await labels(number))[0]!.events).toContain(`tests:${head}:coverage artifact of run ${id}:1`);
  });

  it.each<[string, () => Promise<unknown>, Record<string, string>]>([
    ["no setting names them", async () => push({ ".github/funprm.yml": "learn: { collect: all }\n" }, "main"), {}],
    ["the pull request changes how tests run", async () => {}, { "conftest.py": "" }],
  ])("nothing is asked of Actions where %s", async (_, prepare, files) => {
    const head = await push({ "src/a.py": MENDED, ...files });
    await workflow(head, { coverage: lcov() });
    await prepare();
    const before = (await github.act("state")).requests.length;
    const number = await merge(head);
    const { requests } = await github.act("state");
    expect(
      requests.slice(before).filter(({ operation }: { operation: string }) => operation?.startsWith("actions/")),
    ).toEqual([]);
    expect(ofKind(await known(number), "tests")).toEqual([]);
  });

  it("runs of forks, of other events, cancelled ones and artifacts that no glob names leave nothing, and are not fetched", async () => {
    const head = await push({ "src/a.py": MENDED });
    await github.act("fork", { ...at, login: "eve" });
    await workflow(head, { coverage: lcov() }, { event: "pull_request", from: "eve" });
    await workflow(head, { coverage: lcov() }, { event: "pull_request_target" });
    await workflow(head, { coverage: lcov() }, { event: "workflow_dispatch" });
    await workflow(head, { coverage: lcov() }, { conclusion: "cancelled" });
    await workflow(head, { "coverage-raw": lcov(), logs: "x" });
    const before = (await github.act("state")).storage.requests.length;
    const number = await merge(head);
    expect(ofKind(await known(number), "tests")).toEqual([]);
    expect((await github.act("state")).storage.requests.length).toBe(before);
  });

  it("one artifact that has expired, is no report or is missing from an attempt that failed silences its whole run", async () => {
    const head = await push({ "src/a.py": MENDED });
    await workflow(head, { coverage: lcov() }, {}, { expired: true });
    await workflow(head, { coverage: lcov(), "tests-a": "<testsuite>" });
    const { id } = await workflow(head, {}, { conclusion: "failure" });
    await workflow(head, { coverage: lcov() }, { run: id });
    const number = await merge(head);
    for (const said of [/coverage has expired/, /tests-a: .*unclosed/, /an attempt failed and left none/])
      expect(warned.join("\n")).toMatch(said);
    expect(ofKind(await known(number), "tests")).toEqual([]);
  });

  it("a file comes from GitHub's storage, whole and as it was uploaded, or not at all; no storage sees a token", async () => {
    const { storage } = await github.act("state");
    const zip = zipOf([{ name: "a.info", text: lcov() }]).toString("base64");
    const cases: [Record<string, unknown>, RegExp | null][] = [
      [{}, null],
      [{ digest: null }, null],
      [{ expired: true }, /^null$/],
      [{ size: 40 << 20 }, /^GITHUB_REFUSED .*over 33554432/],
      [{ digest: `sha256:${"0".repeat(64)}` }, /^GITHUB_REFUSED .*not the file that was uploaded/],
      [{ location: `${storage.url}/endless` }, /^GITHUB_REFUSED .*over 33554432 bytes/],
      [{ location: `${storage.url}/again/1` }, /^GITHUB_REFUSED .*sends elsewhere once more/],
      [{ location: `${storage.url}/artifacts/1` }, /^null$/],
      [{ location: `${storage.url}/down` }, /^GITHUB_TRANSIENT .*storage answered 503/],
      [{ location: `${storage.url}/broken` }, /^GITHUB_TRANSIENT /],
      [{ location: "http://example.com/x.zip" }, /^GITHUB_REFUSED .*http:, not https/],
      [{ location: "file:///etc/passwd" }, /^GITHUB_REFUSED .*file:, not https/],
      [{ location: "https://ann:secret@example.com/x.zip" }, /^GITHUB_REFUSED .*holds a password/],
      [{ location: "http://[" }, /^GITHUB_REFUSED .*is none/],
      ...["10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "[fd00::1]", "[::ffff:10.0.0.1]"].map(
        (host): [Record<string, unknown>, RegExp] => [
          { location: `https://${host}/x.zip` },
          /^GITHUB_REFUSED .*no public address/,
        ],
      ),
    ];
    await workflow(base, {}, { artifacts: cases.map(([more]) => ({ name: "coverage", zip, ...more })) });
    const listed = (await ports.host.workflowAttempts(ref, base)).flatMap((one) => one.artifacts ?? []);
    const said = await Promise.all(
      listed.map((one) =>
        ports.host.artifact(ref, one).then(
          (bytes) => (bytes === null ? "null" : Buffer.from(bytes).toString("base64")),
          (error) => `${error.code} ${error.message}`,
        ),
      ),
    );
    for (const [index, [more, expected]] of cases.entries())
      expect([more, said[index]]).toEqual([more, expected === null ? zip : expect.stringMatching(expected)]);
    const { requests } = (await github.act("state")).storage;
    for (const { headers } of requests)
      expect(Object.keys(headers).sort()).toEqual(["accept", "connection", "host", "user-agent"]);
    expect(JSON.stringify(requests)).not.toMatch(/gh[sopru]_|bearer|authorization/i);
  });

  it("storage that is away, or breaks off, is asked again in the night", async () => {
    const head = await push({ "src/a.py": MENDED });
    const { storage } = await github.act("state");
    await workflow(head, { coverage: lcov() }, {}, { location: `${storage.url}/down` });
    const number = await merge(head);
    expect([warned.join(), await grades(number)]).toEqual([
      expect.stringContaining("storage answered 503"),
      [`C ${ID}`],
    ]);
    await expect(record({ kind: "sweep" })).rejects.toMatchObject({ code: "GITHUB_TRANSIENT" });
  });

  it("where the installation has not granted Actions, the rest is recorded all the same", async () => {
    const head = await push({ "src/a.py": MENDED });
    await workflow(head, { coverage: lcov() });
    await github.act("fault", { method: "GET", path: "/actions/runs", status: 403, times: 1_000 });
    const number = await merge(head);
    await github.act("clear-faults");
    expect(await grades(number)).toEqual([`C ${ID}`]);
    expect(warned.join()).toMatch(/403/);
  });
});
