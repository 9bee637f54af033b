/** From a merged pull request to graded labels, over real HTTP: ours and people's, squashed, reverted, fixed later, closed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startDemo } from "../../src/compose.ts";
import { decided, type GradedLabel, gradedLabels } from "../../src/domain/graded-label.ts";
import { type OutcomeEvent, ofKind, outcomeOf } from "../../src/domain/outcome.ts";
import { zipOf } from "../fakes/zip.ts";

// Tests of repositories run in here, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const REPOSITORY = join(ROOT, "demo/repository");
const at = { owner: "team", repo: "tidytime" };
const SCHEDULE = readFileSync(join(REPOSITORY, "tidytime/schedule.py"), "utf8");
const TESTS = `import unittest
from tidytime import format_duration


class Issue(unittest.TestCase):
    def test_carries(self):
        self.assertEqual(format_duration(3599.7), "1h")

    def test_no_sign_on_nothing(self):
        self.assertEqual(format_duration(-0.2), "0s")

    def test_minus(self):
        self.assertEqual(format_duration(-90), "-1m 30s")
`;

let world: Awaited<ReturnType<typeof startDemo>>;
let repositoryId: number;
let issue: number;
beforeAll(async () => {
  process.env["MODEL_DIR"] = join(ROOT, "test/fixtures/models/tiny");
  world = await startDemo({ verbose: false, answers: join(ROOT, "demo/answers.jsonl") });
  repositoryId = (await world.github.act("repository", { ...at, folder: REPOSITORY })).id;
  await world.github.act("role", { ...at, login: "ada", role: "write" });
  await world.github.act("role", { ...at, login: "bob", role: "write" });
  await push("main", {
    ".github/funprm.yml":
      "fix: { candidates: { max: 3 } }\ntests: { runner: sandbox, timeout_s: 60 }\nlearn: { collect: all, shadow: 1 }\n",
  });
  issue = (await world.github.act("issue", { ...at, login: "ada", title: "60s", body: "`format_duration(59.6)`" }))
    .number;
  await world.github.act("label", { ...at, login: "ada", number: issue, name: "funprm:fix" });
  await until(async () => (await world.runs.latestRun(repositoryId, issue))?.finishedAt);
});
afterAll(async () => {
  await world.app.stop();
  await world.github.stop();
});

async function until<T>(look: () => Promise<T | null | undefined | false>): Promise<T> {
  for (let i = 0; i < 4_000; i++) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("not there after 200 s");
}

async function push(
  branch: string,
  files: Record<string, string>,
  message = "A change",
  login = "ada",
): Promise<string> {
  const wanted = Object.entries(files).map(([path, text]) => ({ path, text }));
  return (await world.github.act("push", { ...at, login, branch, message, files: wanted })).sha;
}
async function open(branch: string, title: string, body = ""): Promise<number> {
  return (await world.github.act("pull", { ...at, login: "ada", branch, title, body })).number;
}
const merge = (number: number, method = "squash") => world.github.act("merge", { ...at, number, login: "bob", method });
const events = (number: number): Promise<OutcomeEvent[]> => world.learning.events(repositoryId, number);
/** The facts of a pull request from the moment that its tests have run. */
const recorded = (number: number) =>
  until(async () => {
    const known = await events(number);
    return ofKind(known, "tests").length > 0 && known;
  });
const NOW = Date.now() + 86_400_000;
const grades = (known: readonly OutcomeEvent[]) =>
  Object.fromEntries(decided(gradedLabels(repositoryId, known, NOW)).map((label) => [label.function, label.grade]));
/** Of the text that was merged: the one it replaced may have a label too. */
const labelOf = (known: readonly OutcomeEvent[], name: string): GradedLabel => {
  const merged = ofKind(known, "changes").flatMap((event) => event.functions.map(({ hash }) => hash));
  return decided(gradedLabels(repositoryId, known, NOW)).find(
    (label) => label.function.endsWith(`#${name}`) && merged.includes(label.hash),
  )!;
};

describe("the app's own pull request, merged with a person's tests", () => {
  let known: OutcomeEvent[];
  let number: number;
  it("has every stored candidate judged by the merged tests, in both signs", async () => {
    const run = (await world.runs.latestRun(repositoryId, issue))!;
    expect([run.state, run.failure]).toEqual(["opened", null]);
    number = run.pullRequest!.number;
    const head = await push(run.pullRequest!.branch, { "tests/test_issue.py": TESTS }, "Tests of the issue", "bob");
    await world.github.act("check", { ...at, sha: run.baseSha, name: "ci", conclusion: "success" });
    await world.github.act("check", { ...at, sha: head, name: "ci", conclusion: "success" });
    await merge(number);
    known = await until(async () => {
      const now = await events(number);
      return ofKind(now, "judged").length > 0 && now;
    });
    const judged = ofKind(known, "judged");
    const stored = (await world.runs.candidates(run.id)).filter(({ candidate }) => candidate.status === "scored");
    expect(judged).toHaveLength(stored.length);
    expect(Object.fromEntries(judged.map((one) => [one.candidate, one.label]))).toEqual({ 0: 0, 1: 1, 2: 1 });
    expect(judged.every((one) => one.tier === 1 && one.attested === "in-process" && one.logSha256 !== "")).toBe(true);
    expect(judged.find((one) => one.candidate === 0)!.reason).toContain("fails tests.test_issue.Issue.test_no_sign");
    const texts = await world.learning.texts(repositoryId, number);
    expect(texts.filter((text) => text.candidate !== null)).toHaveLength(stored.length);
  });

  it("has the two best by reward judged in shadow when the run ended, without a label", async () => {
    const shadows = await until(async () => {
      const found = ofKind(await events(issue), "judged");
      return found.length > 0 && found;
    });
    expect(shadows).toHaveLength(2);
    expect(shadows.every((one) => one.occasion === "shadow" && one.label === null && one.tier === 1)).toBe(true);
    const [first, second] = shadows.map((one) => one.score!).sort((a, b) => b - a);
    expect(first).toBeGreaterThanOrEqual(second!);
  });

  it("joins by the stored run, names the asker as its author, and grades what it proposed by the tests that run it", async () => {
    expect(ofKind(known, "linked")).toMatchObject([{ by: "run", issue }]);
    expect(outcomeOf(known, NOW)).toMatchObject({ state: "merged", author: "ada", checks: { state: "green" } });
    const label = labelOf(known, "format_duration");
    expect(label).toMatchObject({ label: label.grade.endsWith("+") ? 1 : 0, author: "ada" });
    expect(["A+", "C"]).toContain(label.grade);
  });
});

describe("people's pull requests", () => {
  const later = (name: string, body: string) => `${SCHEDULE}\n\ndef ${name}(now, every):\n${body}`;
  const test = (name: string, expected: string) =>
    `import unittest\nfrom tidytime.schedule import ${name}\n\n\nclass Test${name}(unittest.TestCase):\n    def test_${name}(self):\n        self.assertEqual(${name}(10, 4), ${expected})\n`;

  it("a new function whose test could not be loaded without it is B+, one that no test runs is C", async () => {
    await push("skip", {
      "tidytime/schedule.py": `${later("skipped", "    return now // every\n")}\n\ndef unseen(x):\n    return x\n`,
      "tests/test_skipped.py": test("skipped", "2"),
    });
    const number = await open("skip", "Count skipped runs");
    await merge(number);
    const known = await recorded(number);
    expect(grades(known)).toEqual({ "tidytime/schedule.py#skipped": "B+", "tidytime/schedule.py#unseen": "C" });
  });

  it("a revert within the window makes B- of what nothing else vouches for, a revert of the revert takes it back", async () => {
    const before = SCHEDULE;
    const known0 = readFile("tidytime/schedule.py");
    await push("calm", { "tidytime/schedule.py": `${await known0}\n\ndef calm(x):\n    return x\n` });
    const number = await open("calm", "Calm down");
    const { sha } = await merge(number, "merge");
    await recorded(number);
    const reverted = await push(
      "main",
      { "tidytime/schedule.py": await known0 },
      `Revert "Calm down"\n\nThis reverts commit ${sha}.`,
      "bob",
    );
    const known = await until(
      async () => outcomeOf(await events(number), NOW).state === "reverted" && (await events(number)),
    );
    expect(labelOf(known, "calm")).toMatchObject({ grade: "B-", label: 0, actor: "bob", author: "ada" });
    await push(
      "main",
      { "tidytime/schedule.py": `${before}\n\ndef calm(x):\n    return x\n` },
      `Reapply\n\nThis reverts commit ${reverted}.`,
    );
    await until(async () => outcomeOf(await events(number), NOW).state === "merged");
    expect(labelOf(await events(number), "calm").grade).toBe("C");
  });

  it("a later fix of the same function makes B-, one of another function does not", async () => {
    const text = await readFile("tidytime/schedule.py");
    await push("two", {
      "tidytime/schedule.py": `${text}\n\ndef left(x):\n    return x\n\n\ndef right(x):\n    return x\n`,
    });
    const number = await open("two", "Two sides");
    await merge(number, "rebase");
    await recorded(number);
    await push(
      "main",
      { "tidytime/schedule.py": `${text}\n\ndef left(x):\n    return x + 1\n\n\ndef right(x):\n    return x\n` },
      "fix: left was off by one",
      "bob",
    );
    const known = await until(
      async () => outcomeOf(await events(number), NOW).fixes.length > 0 && (await events(number)),
    );
    expect(grades(known)).toEqual({ "tidytime/schedule.py#left": "B-", "tidytime/schedule.py#right": "C" });
  });

  it("closed unmerged is C whatever its tests say; a change of the workflow leaves no label at all", async () => {
    const text = await readFile("tidytime/schedule.py");
    await push("no", { "tidytime/schedule.py": `${text}\n\ndef refused(x):\n    return x\n` });
    const refused = await open("no", "Refused");
    await world.github.act("change", { ...at, number: refused, login: "bob", state: "closed" });
    const closed = await until(async () => {
      const known = await events(refused);
      return outcomeOf(known, NOW).state === "closed" && known;
    });
    expect(gradedLabels(repositoryId, closed, NOW)).toEqual([]);
    await push("ci", {
      ".github/workflows/ci.yml": "on: push\n",
      "tidytime/schedule.py": `${text}\n\ndef easy(x):\n    return x\n`,
      "tests/test_easy.py":
        "import unittest\nfrom tidytime.schedule import easy\n\n\nclass T(unittest.TestCase):\n    def test_easy(self):\n        self.assertEqual(easy(1), 1)\n",
    });
    const number = await open("ci", "Easier");
    await merge(number);
    const known = await recorded(number);
    expect([outcomeOf(known, NOW).ciChanged, gradedLabels(repositoryId, known, NOW)]).toEqual([true, []]);
  });

  it("a person's fix of an issue that has a stored run is joined with it by its closing words; without a runner nothing runs", async () => {
    await push("main", { ".github/funprm.yml": "learn: { collect: app }\n" });
    const text = await readFile("tidytime/schedule.py");
    const by = (name: string) => ({ "tidytime/schedule.py": `${text}\n\ndef ${name}(x):\n    return x\n` });
    await push("other", by("other"));
    const other = await open("other", "Of no issue");
    await push("hand", by("hand"));
    const number = await open("hand", "By hand", `Closes #${issue}`);
    await merge(other, "squash");
    await world.github.act("delete-branch", { ...at, login: "ada", branch: "other" });
    await push("hand", { "tidytime/schedule.py": await readFile("tidytime/schedule.py") });
    await push("hand", { "tidytime/late.py": "def late(x):\n    return x\n" });
    await merge(number);
    const known = await until(async () => ofKind(await events(number), "changes").length > 0 && (await events(number)));
    expect(ofKind(known, "linked")).toMatchObject([{ by: "closes", issue }]);
    expect(ofKind(known, "tests")).toEqual([]);
    // With `collect: app` a person's own work is none of the app's business.
    expect(await events(other)).toEqual([]);
  });

  it("what CI left as artifacts, in a workflow that ended after the merge, grades without any run of our own", async () => {
    await push("main", {
      ".github/funprm.yml": "learn: { collect: all, artifacts: [{ name: 'coverage-*', kind: coverage }] }\n",
    });
    const text = await readFile("tidytime/schedule.py");
    await push("ran", { "tidytime/schedule.py": text });
    const head = await push("ran", {
      "tidytime/ran.py": "def ran(x):\n    return x\n\n\ndef idle(x):\n    return x\n",
    });
    const number = await open("ran", "Ran by CI");
    await world.github.act("check", { ...at, sha: head, name: "ci", conclusion: "success" });
    await merge(number);
    await until(async () => ofKind(await events(number), "changes").length > 0);
    const lcov = "SF:tidytime/ran.py\nDA:1,1\nDA:2,1\nDA:5,1\nDA:6,0\nend_of_record\n";
    const zip = zipOf([{ name: "lcov.info", text: lcov }]).toString("base64");
    await world.github.act("workflow-run", { ...at, sha: head, artifacts: [{ name: "coverage-3.12", zip }] });
    await recorded(number);
    expect(grades(await events(number))).toEqual({ "tidytime/ran.py#ran": "B+", "tidytime/ran.py#idle": "C" });
  });

  it("no rule of GitHub was broken on the way, and the log holds this repository alone", async () => {
    expect((await world.github.act("state")).violations).toEqual([]);
    expect((await world.learning.pullRequests()).every((key) => key.repositoryId === repositoryId)).toBe(true);
  });
});

async function readFile(path: string): Promise<string> {
  const { repos } = await world.github.act("state");
  const sha = repos[0].branches.find((one: { name: string }) => one.name === "main").sha;
  const answer = await fetch(`${world.github.url}/api/v3/repos/${at.owner}/${at.repo}/contents/${path}?ref=${sha}`, {
    headers: { accept: "application/vnd.github.raw" },
  });
  return await answer.text();
}
