/** Settings of paths reach every part of a review: what is said, how often, from which precision on, and what the check says. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { startReviewWorld } from "../fakes/review-world.ts";

const CONFIG = `
review: { max_inline: 5, rounds: 3 }
paths:
  - { match: "core/**", check: { fail_on: finding } }
  - { match: "once/**", review: { rounds: 1 } }
  - { match: "quiet/**", review: { max_inline: 0 } }
  - { match: "sure/**", review: { min_precision: 0.99 } }
`;

let world: Awaited<ReturnType<typeof startReviewWorld>>;
beforeAll(async () => {
  world = await startReviewWorld(CONFIG);
});
afterAll(() => world.stop());

const FOLDERS = ["core", "once", "quiet", "sure", "any"];
const fn = (name: string, body: string) => `def ${name}(x):\n    return ${body}\n`;
const files = (bodyOf: (folder: string) => string, folders = FOLDERS) =>
  Object.fromEntries(folders.map((folder) => [`${folder}/m.py`, fn(`of_${folder}`, bodyOf(folder))]));
const folderOf = ({ path }: { path: string }) => path.split("/")[0]!;

it("each file has the inline comments, rounds, precision and failing check of its own path", async () => {
  await world.push(
    files(() => "x"),
    "main",
  );
  // Nine findings of earlier pull requests were right, one was wrong: enough for .6, not for .99.
  const past = { installationId: world.ref.installationId, repositoryId: world.ref.repositoryId, pullRequest: 900 };
  for (let index = 0; index < 10; index++)
    await world.ports.reviews.saveFinding({
      ...{ ...past, path: "p.py", name: `f${index}`, bodyHash: `${index}`, modelVersion: "m@1", head: "h" },
      ...{ state: index === 0 ? "wrong" : "right", verdict: index === 0 ? "wrong" : "right" },
      ...{ attribution: 0.1, estimate: null, inline: false, commentId: null, threadId: null },
      ...{ judgedAt: "2025-12-01T00:00:00.000Z", by: "ada", reason: null },
    });
  const only = (folders: string[]) => (folder: string) => (folders.includes(folder) ? "x - BUG" : "x");
  await world.push(files(only(["once", "quiet", "sure", "any"])));
  const number = await world.open();
  await world.review(number);
  const first = await world.state(number);
  expect(first.pull.comments.map(folderOf).sort()).toEqual(["any", "once"]);
  // Nothing of core/ is low: findings elsewhere fail no check.
  expect(first.checks.at(-1)).toMatchObject({ conclusion: "neutral" });
  expect(first.checks.at(-1).annotations.map(folderOf).sort()).toEqual(["quiet", "sure"]);
  expect(first.checks.at(-1).summary).toContain("Inline comments in sure/");
  expect(first.checks.at(-1).summary).toContain("wanted 99 %");

  await world.push(files(() => "x - BUG2"));
  await world.review(number);
  const second = await world.state(number);
  expect(second.pull.comments.map(folderOf).sort()).toEqual(["any", "any", "core", "once"]);
  const check = second.checks.at(-1);
  expect(check.conclusion).toBe("failure");
  expect(check.summary).toMatch(/has had its 1 round of comments for once\/m\.py/);
  const levels = check.annotations.map((one: { path: string; annotation_level: string }) => [
    folderOf(one),
    one.annotation_level,
  ]);
  expect(levels.sort()).toEqual([
    ["once", "warning"],
    ["quiet", "warning"],
    ["sure", "warning"],
  ]);
  expect(second.violations).toEqual([]);
});

it("a key of a path that is not known stands in the check run, with its line", async () => {
  await world.push({ ".github/funprm.yml": 'paths:\n  - match: "core/**"\n    review: { auto: never }\n' }, "main");
  await world.push({ "any/m.py": fn("of_any", "x + 3") }, "other");
  const number = await world.open({ branch: "other" });
  await world.review(number);
  const { checks } = await world.state(number);
  expect(checks.at(-1).summary).toContain(
    ".github/funprm.yml line 3: unknown key paths.0.review.auto: review.auto holds for whole pull requests",
  );
});
