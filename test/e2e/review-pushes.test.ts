/** What a pull request hears over its life: twenty pushes, commands, settings, on the fake GitHub. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startReviewWorld } from "../fakes/review-world.ts";

let world: Awaited<ReturnType<typeof startReviewWorld>>;
beforeAll(async () => {
  world = await startReviewWorld("review: { max_inline: 2, rounds: 3 }\n");
});
afterAll(() => world.stop());

const fn = (name: string, body: string) => `def ${name}(x):\n    """What ${name} does."""\n    return ${body}\n`;
const file = (bodies: Record<string, string>) =>
  Object.entries(bodies)
    .map(([name, body]) => fn(name, body))
    .join("\n");
type Comment = {
  id: number;
  body: string;
  line: number | null;
  path: string;
  resolved: boolean;
  inReplyTo: number | null;
  commitId: string;
};
const of = (comment: Comment) => /\*\*Low reward · `([^`]+)`/.exec(comment.body)?.[1];

describe("twenty pushes to one pull request", () => {
  it("say each finding once, close what is fixed, stay silent about what was declined", async () => {
    const bodies: Record<string, string> = { a: "x", b: "x + 1", c: "x + 2", d: "x + 3" };
    await world.push({ "m.py": file(bodies) }, "main");
    const opened = (await world.github.act("state")).effects.length as number;
    let number = 0;
    const seen = new Map<number, string[]>();
    const push = async (step: number, change: Record<string, string>, other = "") => {
      Object.assign(bodies, change);
      await world.push({ "m.py": file(bodies), "other.txt": `${step}${other}` });
      if (number === 0) number = await world.open({ body: "Does it." });
      await world.review(number);
      const { pull } = await world.state(number);
      seen.set(step, pull.comments.map(of).sort());
      return pull.comments as Comment[];
    };
    const thread = async (name: string) =>
      ((await world.state(number)).pull.comments as Comment[]).find((one) => of(one) === name)!;

    // 1 to 4: two bugs come, a text file changes, nothing is said again.
    expect((await push(1, { a: "x - BUG", b: "x - BUG2" })).map(of).sort()).toEqual(["a", "b"]);
    await push(2, {});
    await push(3, {}, "!");
    expect(await push(4, { d: "x + 4" })).toHaveLength(2);
    // 5: a is mended, its thread closes; 6: it comes back word for word, the same thread opens.
    await push(5, { a: "x" });
    expect([(await thread("a")).resolved, (await thread("b")).resolved]).toEqual([true, false]);
    await push(6, { a: "x - BUG" });
    expect((await thread("a")).resolved).toBe(false);
    // 7, 8: b is declined in its thread and stays so; 9: its body changes, and it is said anew.
    await world.reply(number, (await thread("b")).id, "/funprm ignore we need it");
    expect((await thread("b")).resolved).toBe(true);
    await push(7, {});
    expect(await push(8, { d: "x + 5" })).toHaveLength(3);
    const again = await push(9, { b: "x - BUG3" });
    expect(again.map(of).filter((name) => name === "b")).toHaveLength(2);
    // 10: a person resolves the thread by hand: declined too.
    const last = again.findLast((one) => of(one) === "b")!;
    await world.github.act("resolve-thread", { ...world.at, number, comment: last.id });
    await push(10, { c: "x + 20" });
    // 11: a third round; 12 to 19: rounds are spent, only the check run speaks; 20: all is mended.
    await push(11, { c: "x - BUG" });
    for (let step = 12; step < 20; step++) await push(step, { d: `x - BUG${step}` });
    const before = (await world.state(number)).checks.at(-1);
    expect(before.title).toMatch(/2 low|3 low/);
    await push(20, { a: "x", b: "x + 1", c: "x + 2", d: "x + 3" });

    const { pull, checks, violations, effects } = await world.state(number);
    const comments = (pull.comments as Comment[]).filter((one) => one.inReplyTo === null);
    expect(comments.map(of).sort()).toEqual(["a", "b", "b", "c"]);
    expect(comments.every((one) => one.resolved)).toBe(true);
    expect(pull.reviews).toHaveLength(3);
    expect(new Set(pull.reviews.map((one: { commitId: string }) => one.commitId)).size).toBe(3);
    // One check run a head and no more than two things made a push.
    expect(checks).toHaveLength(20);
    expect(checks.at(-1).title).toBe("no function in scope");
    expect(violations).toEqual([]);
    const made = (effects as { operation: string; actor: string }[])
      .slice(opened)
      .filter(
        (one) => one.actor === "funprm[bot]" && /^(checks\/create|pulls\/create|issues\/create)/.test(one.operation),
      );
    expect(made.filter((one) => one.operation === "checks/create")).toHaveLength(20);
    expect(made).toHaveLength(23);
  }, 240_000);

  it("score only what changed", async () => {
    const bodies = Object.fromEntries(Array.from({ length: 30 }, (_, k) => [`f${k}`, `x + ${k}`]));
    await world.push({ "many.py": file(bodies) }, "wide");
    const number = await world.open({ branch: "wide", title: "Many" });
    const start = world.rows();
    await world.review(number);
    const first = world.rows() - start;
    expect(first).toBeGreaterThanOrEqual(30);
    await world.push({ "many.py": file({ ...bodies, f3: "x * 3" }) }, "wide");
    await world.review(number);
    expect(world.rows() - start - first).toBeLessThanOrEqual(2);
  }, 180_000);
});

it.each([
  ["ends", false],
  ["goes on with the newer head when a person asked for it", true],
])(
  "a review whose head is pushed over while it is scored posts nothing there and %s",
  async (_, asked) => {
    const [branch, path] = [`late-${asked}`, `late_${asked}.py`];
    await world.push({ [path]: file({ late: "x" }) }, "main");
    const old = await world.push({ [path]: file({ late: "x - BUG" }) }, branch);
    const number = await world.open({ branch, title: branch });
    const { score } = world.ports.model;
    let newer = old;
    world.ports.model.score = async (...rows) => {
      if (newer === old) newer = await world.push({ "more.txt": branch }, branch);
      return score(...rows);
    };
    const said = async () => {
      const { pull, checks } = await world.state(number);
      return {
        checks: checks
          .filter(({ headSha }: { headSha: string }) => [old.sha, newer.sha].includes(headSha))
          .map((one: { headSha: string; conclusion: string; title: string }) => [
            one.headSha,
            one.conclusion,
            one.title,
          ]),
        reviews: pull.reviews.map(({ commitId }: { commitId: string }) => commitId),
        comments: pull.comments.map(of),
      };
    };
    await world.review(number, { asked, head: asked ? null : old.sha });
    world.ports.model.score = score;
    const cancelled = [old.sha, "cancelled", "superseded by a newer head"];
    if (!asked) {
      expect(await said()).toEqual({ checks: [cancelled], reviews: [], comments: [] });
      const place = { repositoryId: world.ref.repositoryId, pullRequest: number };
      expect(await world.database.reviews.findings(place)).toEqual([]);
      await world.review(number, { head: newer.sha });
    }
    const scored = [newer.sha, "neutral", expect.stringMatching(/^1\/1 functions scored · 1 low/)];
    expect(await said()).toEqual({ checks: [cancelled, scored], reviews: [newer.sha], comments: ["late"] });
  },
  180_000,
);

it("a pull request that is closed while it is scored gets nothing", async () => {
  await world.push({ "shut.py": file({ shut: "x" }) }, "main");
  const { sha } = await world.push({ "shut.py": file({ shut: "x - BUG" }) }, "shut");
  const number = await world.open({ branch: "shut", title: "shut" });
  const { score } = world.ports.model;
  world.ports.model.score = async (...rows) => {
    await world.github.act("change", { ...world.at, number, login: "ada", state: "closed" });
    return score(...rows);
  };
  await world.review(number, { head: sha });
  world.ports.model.score = score;
  const { pull, checks } = await world.state(number);
  expect([pull.reviews, pull.comments, checks.at(-1).conclusion]).toEqual([[], [], "cancelled"]);
}, 180_000);

describe("a fault at any write", () => {
  const writes = [
    ["POST", "/check-runs$"],
    ["PATCH", "/check-runs/"],
    ["POST", "/reviews$"],
    ["POST", "/graphql"],
  ] as const;
  it.each(
    writes.flatMap(([method, path]) =>
      (["applies-then-drops", "status"] as const).map((kind) => [method, path, kind] as const),
    ),
  )(
    "%s %s %s: tried again until it goes through, nothing is there twice",
    async (method, path, kind) => {
      const branch = `fault${method}${path}${kind}`.replaceAll(/\W/g, "");
      await world.push({ [`${branch}.py`]: file({ g: "x" }) }, "main");
      await world.push({ [`${branch}.py`]: file({ g: "x - BUG" }) }, branch);
      const number = await world.open({ branch, title: branch });
      await world.github.act("fault", { method, path, kind, status: 502, times: 2 });
      for (let attempt = 0; attempt < 4; attempt++)
        if (
          await world.review(number).then(
            () => true,
            () => false,
          )
        )
          break;
      await world.github.act("clear-faults");
      const { pull, checks, violations } = await world.state(number);
      const here = checks.filter((one: { headSha: string }) => one.headSha === pull.headSha);
      expect([pull.reviews.length, pull.comments.map(of), here.length, here[0]!.status]).toEqual([
        1,
        ["g"],
        1,
        "completed",
      ]);
      const [finding] = await world.database.reviews.findings({
        repositoryId: world.ref.repositoryId,
        pullRequest: number,
      });
      expect(finding).toMatchObject({ state: "posted", commentId: pull.comments[0].id });
      expect(violations).toEqual([]);
    },
    180_000,
  );
});
