/** A person's pull request on the fake GitHub gets one check run a head, with every changed function in it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startDemo } from "../../src/compose.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const REPOSITORY = join(ROOT, "demo/repository");
const at = { owner: "team", repo: "tidytime" };
const FORMAT = readFileSync(join(REPOSITORY, "tidytime/format.py"), "utf8");
const PLANTED = FORMAT.replace("divmod(rest, size)", "divmod(rest, size + 1)");

let world: Awaited<ReturnType<typeof startDemo>>;
beforeAll(async () => {
  process.env["MODEL_DIR"] = join(ROOT, "test/fixtures/models/tiny");
  world = await startDemo({ verbose: false, answers: join(ROOT, "demo/answers.jsonl") });
  await world.github.act("repository", { ...at, folder: REPOSITORY });
  await world.github.act("role", { ...at, login: "ada", role: "write" });
});
afterAll(async () => {
  await world.app.stop();
  await world.github.stop();
});

type Check = {
  id: number;
  headSha: string;
  externalId: string;
  status: string;
  conclusion: string | null;
  title: string;
  summary: string;
  text: string | null;
};

async function checks(sha?: string): Promise<Check[]> {
  await world.github.act("settled");
  const { repos } = await world.github.act("state");
  return repos[0].checkRuns.filter((one: Check) => sha === undefined || one.headSha === sha);
}

async function checked(sha: string): Promise<Check> {
  for (let i = 0; i < 400; i++) {
    const [check] = await checks(sha);
    if (check?.status === "completed") return check;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("no check run completed");
}

const quiet = () => new Promise((resolve) => setTimeout(resolve, 1_500));
const push = (branch: string, files: { path: string; text: string | null }[], login = "ada") =>
  world.github.act("push", { ...at, login, branch, files });

describe("review of a person's pull request", () => {
  it("lists every changed function in one check run, against its version on base, and says it is uncalibrated", async () => {
    expect(PLANTED).not.toBe(FORMAT);
    const { sha } = await push("speedup", [
      { path: "tidytime/format.py", text: PLANTED },
      { path: "tidytime/extra.py", text: "def fresh(x):\n    return x\n" },
      { path: "tool.go", text: "package x\n" },
      { path: "NOTES.md", text: "hi\n" },
    ]);
    const { number } = await world.github.act("pull", {
      ...at,
      login: "ada",
      branch: "speedup",
      title: "Speed up",
      body: "Faster.",
    });
    const check = await checked(sha);
    expect(check).toMatchObject({
      conclusion: "neutral",
      externalId: `review-${number}`,
    });
    expect(check.title).toMatch(/^2\/3 functions scored(?: · 1 low)? · uncalibrated · first /);
    expect(check.summary).toContain("scored 2/3; 1 unsupported language; 1 other file was not looked into");
    expect(check.summary).toMatch(
      /`tidytime\/format\.py: split_duration` \| \d+–\d+ \| modified \| 0\.\d\d \| [\d.]+ \| [\d.]+/,
    );
    expect(check.summary).toMatch(/`tidytime\/extra\.py: fresh` \| 1–2 \| added/);
    expect(check.summary).not.toMatch(/\d %/);
    expect(check.text).toContain("unsupported language");
    const { repos, violations } = await world.github.act("state");
    expect(violations).toEqual([]);
    // Nothing is posted beside the check run.
    expect(repos[0].issues.find((one: { number: number }) => one.number === number).comments).toEqual([]);
  });

  it("looks at a new head once, and at what changed against base there", async () => {
    const { sha } = await push("speedup", [{ path: "tidytime/format.py", text: FORMAT }]);
    const check = await checked(sha);
    expect(check.title).toMatch(/^1\/2 functions scored/);
    expect(check.summary).not.toContain("split_duration");
    expect(await checks(sha)).toHaveLength(1);
  });

  it.each([
    ["Re-score", "rescore"],
    ["GitHub's own Re-run", undefined],
  ])("%s reviews again, in the same check run", async (_, identifier) => {
    const [before] = (await checks()).slice(-1);
    const updates = async () => {
      const effects: { operation: string; path: string; body: { status: string; output?: { title: string } } }[] = (
        await world.github.act("state")
      ).effects;
      return effects
        .filter(({ operation, path }) => operation === "checks/update" && path.endsWith(`/${before!.id}`))
        .map(({ body }) => [body.status, body.output?.title]);
    };
    const known = (await updates()).length;
    await world.github.act("check-action", { ...at, id: before!.id, identifier, login: "ada" });
    await expect
      .poll(async () => (await updates()).slice(known), { timeout: 20_000 })
      .toEqual([
        ["in_progress", undefined],
        ["completed", before!.title],
      ]);
    expect(await checks(before!.headSha)).toMatchObject([{ id: before!.id, conclusion: "neutral" }]);
  });

  it("leaves drafts, listed bots and its own alone until a person asks; a pull request without functions is skipped", async () => {
    const pulls: { sha: string; number: number }[] = [];
    for (const [login, branch, draft] of [
      ["ada", "draft", true],
      ["dependabot[bot]", "update", false],
      ["funprm[bot]", "funprm/issue-1", false],
    ] as const) {
      if (!draft) await world.github.act("user", { login, type: "Bot" });
      const { sha } = await push(branch, [{ path: "README.md", text: `${branch}\n` }]);
      const { number } = await world.github.act("pull", { ...at, login, branch, title: "Docs", draft });
      pulls.push({ sha, number });
    }
    await quiet();
    for (const { sha } of pulls) expect(await checks(sha)).toEqual([]);
    for (const { sha, number } of pulls) {
      await world.github.act("comment", { ...at, number, login: "ada", body: "/funprm review" });
      expect(await checked(sha)).toMatchObject({ conclusion: "skipped", title: "no function in scope" });
    }
  });

  it("is paused and resumed by a comment, through the app's own webhook and queue", async () => {
    const { sha } = await push("pausing", [{ path: "tidytime/extra.py", text: "def one(x):\n    return x + 1\n" }]);
    const { number } = await world.github.act("pull", { ...at, login: "ada", branch: "pausing", title: "One" });
    await checked(sha);
    await world.github.act("comment", { ...at, number, login: "ada", body: "/funprm pause" });
    await quiet();
    const next = await push("pausing", [{ path: "tidytime/extra.py", text: "def one(x):\n    return x + 2\n" }]);
    expect(await checked(next.sha)).toMatchObject({ title: "not reviewed: paused", conclusion: "neutral" });
    await world.github.act("comment", { ...at, number, login: "ada", body: "/funprm resume" });
    for (let i = 0; i < 400 && !(await checked(next.sha)).title.startsWith("1/1 functions scored"); i++) await quiet();
    expect((await checked(next.sha)).title).toMatch(/^1\/1 functions scored/);
    expect((await world.github.act("state")).violations).toEqual([]);
  }, 120_000);

  it("says what is wrong with the repository's settings instead of being silent", async () => {
    await push("main", [{ path: ".github/funprm.yml", text: "review: { auto: sometimes }\n" }]);
    const { sha } = await push("later", [{ path: "tidytime/extra.py", text: "def other(x):\n    return -x\n" }]);
    await world.github.act("pull", { ...at, login: "ada", branch: "later", title: "Other" });
    const check = await checked(sha);
    expect(check.title).toContain(".github/funprm.yml cannot be read");
    expect(check.conclusion).toBe("neutral");
  });
});
