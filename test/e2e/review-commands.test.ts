/** People answer findings: commands in the conversation and in threads, the button, and what precision does to comments. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { jobOf } from "../../src/app/webhooks/receive.ts";
import { FunprmError } from "../../src/domain/errors.ts";
import { outcomeOf } from "../../src/domain/outcome.ts";
import { startReviewWorld } from "../fakes/review-world.ts";

const CONFIG = `
review: { max_inline: 3, ignore_paths: ["gen/**"] }
check: { fail_on: finding }
paths:
  - { match: "quiet/**", review: { max_inline: 0 } }
`;
let world: Awaited<ReturnType<typeof startReviewWorld>>;
beforeAll(async () => {
  world = await startReviewWorld(CONFIG);
});
afterAll(() => world.stop());

const fn = (name: string, body: string) => `def ${name}(x):\n    return ${body}\n`;
const base = (names: string[]) => names.map((name) => fn(name, "x")).join("\n");
const bugs = (names: string[]) => names.map((name) => fn(name, "x - BUG")).join("\n");
type Comment = {
  id: number;
  body: string;
  path: string;
  login: string;
  resolved: boolean;
  inReplyTo: number | null;
  reactions: { content: string }[];
};

/** A pull request that puts a bug into each of these functions, reviewed. */
async function reviewed(files: Record<string, string[]>, branch: string) {
  const of = (text: (names: string[]) => string) =>
    Object.fromEntries(Object.entries(files).map(([path, names]) => [path, text(names)]));
  await world.push(of(base), "main");
  await world.push(of(bugs), branch);
  const number = await world.open({ branch, title: branch });
  await world.review(number);
  return number;
}
const findings = (number: number) =>
  world.database.reviews.findings({ repositoryId: world.ref.repositoryId, pullRequest: number });
const threads = async (number: number) =>
  ((await world.state(number)).pull.comments as Comment[]).filter((one) => one.inReplyTo === null);
const check = async () =>
  (await world.state(1)).checks.at(-1) as {
    conclusion: string;
    title: string;
    summary: string;
    annotations: { path: string; title: string }[];
    externalId: string;
  };
const reactions = async (number: number, id: number) => {
  const { pull, comments } = await world.state(number);
  return [...comments, ...pull.comments]
    .find((one: Comment) => one.id === id)
    .reactions.map((one: { content: string }) => one.content);
};

describe("answers to findings", () => {
  it("comments where settings allow it, the rest as annotations; the check fails where the repository asks for it", async () => {
    await reviewed({ "a.py": ["a1"], "quiet/b.py": ["b1"], "gen/c.py": ["c1"] }, "places");
    const [comment, ...others] = await threads(1);
    expect([comment!.path, others]).toEqual(["a.py", []]);
    expect(comment!.body).toMatch(
      /^<!-- funprm:fn v1 id=a\.py%23a1 hash=[0-9a-f]{64} prm=fake%400 sig=[0-9a-f]{16} -->\n\*\*Low reward · `a1`\*\* — rank 1 of 2, uncalibrated/,
    );
    const { conclusion, annotations, summary } = await check();
    expect([conclusion, annotations.map(({ path }) => path)]).toEqual(["failure", ["quiet/b.py"]]);
    expect(summary).toContain("1 ignored by configuration");
  }, 180_000);

  it("a verdict in the thread or by name is kept with who and why, and told to the outcome log; others have no say", async () => {
    const number = await reviewed({ "v.py": ["v1", "v2", "v3"] }, "verdicts");
    const [first] = await threads(number);
    const refused = await world.reply(number, first!.id, "/funprm wrong I say so", "eve");
    expect([(await findings(number)).map(({ state }) => state), await reactions(number, refused)]).toEqual([
      ["posted", "posted", "posted"],
      ["-1"],
    ]);
    const accepted = await world.reply(number, first!.id, "/funprm wrong the caller checks it");
    await world.say(number, "/funprm right v2");
    expect(await reactions(number, accepted)).toEqual(["+1"]);
    const [v1, v2, v3] = await findings(number);
    expect([v1, v2, v3]).toMatchObject([
      { name: "v1", state: "wrong", by: "ada", reason: "the caller checks it" },
      { name: "v2", state: "right", verdict: "right" },
      { name: "v3", state: "posted" },
    ]);
    const closed = (await threads(number)).filter((one) => one.resolved).map(({ id }) => id);
    expect(closed).toEqual([v1!.commentId]);
    const events = await world.database.learning.events(world.ref.repositoryId, number);
    expect(events).toMatchObject([
      { kind: "verdict", actor: "ada", function: "v.py#v1", verdict: "wrong" },
      { kind: "verdict", actor: "ada", function: "v.py#v2", verdict: "right" },
    ]);
    expect(outcomeOf(events, Date.now()).state).toBe("pending");
    // The check run was written again, without what was called wrong.
    expect((await check()).summary).toContain("Silent until it changes, as asked: v1.");
    // A name that does not say which: one line, no guess.
    const unclear = await world.say(number, "/funprm ignore");
    expect(await reactions(number, unclear)).toEqual(["confused"]);
    expect((await world.state(number)).comments.at(-1).body).toMatch(
      /Which finding\? `\/funprm ignore NAME` with one of: `v2`, `v3`\./,
    );
  }, 180_000);

  it("any command in a thread is answered there; one that begins a thread of its own is heard too", async () => {
    const number = await reviewed({ "t.py": ["t1"] }, "in-threads");
    const [first] = await threads(number);
    const answers = async () =>
      ((await world.state(number)).pull.comments as Comment[])
        .filter((one) => one.inReplyTo === first!.id && one.login === "funprm[bot]")
        .map(({ body }) => body);
    const help = await world.reply(number, first!.id, "/funprm help");
    const mistyped = await world.reply(number, first!.id, "/funprm reviwe");
    expect([await reactions(number, help), await reactions(number, mistyped)]).toEqual([["+1"], ["confused"]]);
    expect(await answers()).toEqual([
      expect.stringMatching(/`\/funprm review \[full\]`/),
      expect.stringMatching(/\n`reviwe` is not a command: one of `fix`, `review`/),
    ]);
    const again = await world.reply(number, first!.id, "/funprm review full");
    expect(await reactions(number, again)).toEqual(["eyes", "+1"]);
    const refused = await world.reply(number, first!.id, "/funprm review", "eve");
    expect(await reactions(number, refused)).toEqual(["-1"]);
    const comment = { id: 9, node_id: "x", body: "/funprm pause", user: { login: "ada", type: "User" } };
    const payload = {
      ...{ action: "created", installation: { id: 1 }, sender: comment.user, comment, pull_request: { number } },
      repository: { id: 1, name: "code", owner: { login: "team" } },
    };
    const job = jobOf({ id: "1", name: "pull_request_review_comment", payload });
    expect(job).toMatchObject({ kind: "answer-finding", payload: { from: { kind: "thread", firstCommentId: 9 } } });
  }, 180_000);

  it("a review that was asked for on a closed pull request says that it did not happen", async () => {
    const number = await reviewed({ "closed.py": ["c1"] }, "closed");
    await world.github.act("change", { ...world.at, number, login: "ada", state: "closed" });
    const asked = await world.say(number, "/funprm review");
    expect(await reactions(number, asked)).toEqual(["confused"]);
  }, 180_000);

  it("a finding on a function that changed since a person declined one says so", async () => {
    const number = await reviewed({ "d.py": ["d1"] }, "declined");
    await world.say(number, "/funprm ignore d1");
    await world.push({ "d.py": fn("d1", "x + 1 - BUG") }, "declined");
    await world.review(number);
    const [before, since] = await threads(number);
    expect([before!.body, since!.body].map((body) => /changed since you declined/.test(body))).toEqual([false, true]);
  }, 180_000);

  it("ignore, ignore pr and the button silence; resolve closes threads; the check is no longer failed", async () => {
    const number = await reviewed({ "i.py": ["i1", "i2"] }, "ignored");
    await world.say(number, "/funprm ignore i1");
    expect((await findings(number)).map(({ state }) => state)).toEqual(["dismissed", "posted"]);
    const { externalId } = await check();
    await world.hear("check_run", {
      action: "requested_action",
      sender: { login: "ada", type: "User" },
      check_run: { external_id: externalId },
      requested_action: { identifier: "ignore-all" },
    });
    expect((await findings(number)).map(({ state }) => state)).toEqual(["dismissed", "dismissed"]);
    expect((await threads(number)).every((one) => one.resolved)).toBe(true);
    expect((await check()).conclusion).toBe("neutral");
    const other = await reviewed({ "r.py": ["r1"] }, "resolved");
    await world.say(other, "/funprm resolve");
    expect([(await threads(other)).map((one) => one.resolved), (await findings(other))[0]!.state]).toEqual([
      [true],
      "posted",
    ]);
  }, 180_000);

  it("pause says so in the check run of every new head; a person may still ask; resume catches up", async () => {
    const number = await reviewed({ "p.py": ["p1"] }, "paused");
    await world.say(number, "/funprm pause");
    await world.push({ "p.py": bugs(["p1", "p2"]) }, "paused");
    await world.review(number);
    expect(await check()).toMatchObject({ title: "not reviewed: paused", conclusion: "neutral" });
    const asked = await world.say(number, "/funprm review");
    expect([await reactions(number, asked), (await check()).title]).toEqual([
      ["+1"],
      expect.stringMatching(/^2\/2 functions scored/),
    ]);
    await world.push({ "p.py": bugs(["p1", "p2", "p3"]) }, "paused");
    await world.review(number);
    await world.say(number, "/funprm resume");
    expect((await check()).title).toMatch(/^3\/3 functions scored/);
    const stranger = await world.say(number, "/funprm review full", "eve");
    expect(await reactions(number, stranger)).toEqual(["-1"]);
  }, 180_000);

  it("where the app may not resolve a thread one reply says it is fixed; where it may not comment the check run has all", async () => {
    const number = await reviewed({ "f.py": ["f1"] }, "fixed");
    const { setThreadResolved } = world.ports.host;
    world.ports.host.setThreadResolved = () => Promise.reject(new FunprmError("GITHUB_REFUSED", "may not"));
    const { sha } = await world.push({ "f.py": `${base(["f1"])}\n` }, "fixed");
    await world.review(number);
    await world.review(number);
    world.ports.host.setThreadResolved = setThreadResolved;
    const replies = ((await world.state(number)).pull.comments as Comment[]).filter((one) => one.inReplyTo !== null);
    expect(replies.map(({ body }) => body.split("\n")[1])).toEqual([`fixed in ${sha}`]);
    await world.github.act("fault", { method: "POST", path: "/reviews$", kind: "status", status: 403, times: 5 });
    const mute = await reviewed({ "n.py": ["n1"] }, "nocomments");
    expect([await threads(mute), (await check()).annotations.map(({ path }) => path)]).toEqual([[], ["n.py"]]);
    expect((await check()).summary).toContain("Comments could not be posted");
    await world.github.act("clear-faults");
  }, 180_000);

  it("an attempt that died after its comments were made makes none again", async () => {
    await world.push({ "d.py": base(["d1"]) }, "main");
    await world.push({ "d.py": bugs(["d1"]) }, "died");
    const number = await world.open({ branch: "died", title: "died" });
    await world.github.act("fault", { method: "POST", path: "/reviews$", kind: "applies-then-drops", times: 1 });
    await world.github.act("fault", { method: "GET", path: "/reviews", kind: "status", status: 502, times: 9 });
    await expect(world.review(number)).rejects.toThrow();
    await world.github.act("clear-faults");
    await world.review(number);
    expect(await threads(number)).toHaveLength(1);
    expect((await findings(number))[0]).toMatchObject({ state: "posted", commentId: (await threads(number))[0]!.id });
  }, 180_000);

  it("an attempt that died while it closed what is fixed is not taken for a person's refusal", async () => {
    const number = await reviewed({ "x.py": ["x1"] }, "closing");
    await world.push({ "x.py": base(["x1"]) }, "closing");
    const { saveFinding } = world.ports.reviews;
    world.ports.reviews.saveFinding = async (finding) => {
      if (finding.state === "fixed") throw new Error("died");
      await saveFinding(finding);
    };
    await expect(world.review(number)).rejects.toThrow("died");
    world.ports.reviews.saveFinding = saveFinding;
    await world.review(number);
    expect((await findings(number)).map(({ state }) => state)).toEqual(["fixed"]);
  }, 180_000);

  it("comments that the store has forgotten are known again by their markers, and a person's branch of our name is reviewed", async () => {
    const number = await reviewed({ "l.py": ["l1", "l2"] }, "funprm/not-ours");
    const comments = await threads(number);
    await world.github.act("resolve-thread", { ...world.at, number, comment: comments[0]!.id });
    await world.database.reviews.expireBefore(new Date(Date.UTC(2100, 0, 1)));
    expect(await findings(number)).toEqual([]);
    await world.push({ "l.py": `${bugs(["l1", "l2"])}\n# more\n` }, "funprm/not-ours");
    await world.review(number);
    expect((await threads(number)).map(({ body }) => /`(l\d)`/.exec(body)![1])).toEqual(["l1", "l2"]);
    expect((await findings(number)).map(({ name, state }) => [name, state])).toEqual([
      ["l1", "dismissed"],
      ["l2", "posted"],
    ]);
  }, 180_000);

  it("comments stop while findings prove wrong, say so, and come back when they prove right", async () => {
    const repository = { repositoryId: world.ref.repositoryId, installationId: world.ref.installationId };
    const judge = async (count: number, state: "right" | "wrong", start: number) => {
      for (let k = start; k < start + count; k++)
        await world.database.reviews.saveFinding({
          ...repository,
          ...{
            pullRequest: 9_000,
            path: "h.py",
            name: `h${k}`,
            bodyHash: `${k}`,
            modelVersion: "fake@0",
            head: "h",
            attribution: 0.2,
          },
          ...{ estimate: null, inline: true, commentId: null, threadId: null, by: "ada", reason: null },
          ...{ state, verdict: state, judgedAt: new Date(Date.UTC(2026, 5, 1, 0, k)).toISOString() },
        });
    };
    await judge(12, "wrong", 0);
    const muted = await reviewed({ "m.py": ["m1"] }, "muted");
    expect(await threads(muted)).toEqual([]);
    expect((await findings(muted))[0]).toMatchObject({ state: "muted", inline: false });
    expect((await check()).summary).toMatch(
      /Inline comments are muted: 0 of the last 12 judged findings .* were right/,
    );
    expect((await check()).annotations).toHaveLength(1);
    await judge(50, "right", 100);
    const back = await reviewed({ "z.py": ["z1"] }, "back");
    expect(await threads(back)).toHaveLength(1);
    // A person whose word is removed neither mutes nor unmutes.
    await judge(60, "wrong", 200);
    expect(await threads(await reviewed({ "y.py": ["y1"] }, "flooded"))).toEqual([]);
    await world.database.learning.removeActor("Ada");
    expect(await threads(await reviewed({ "x.py": ["x1"] }, "removed"))).toHaveLength(1);
    const { violations } = await world.state(back);
    expect(violations).toEqual([]);
  }, 180_000);
});

it("an installation that may not push is reviewed like any other; what it may not resolve gets one reply", async () => {
  const small = await startReviewWorld("review: { max_inline: 1 }\n", "read");
  await small.push({ "s.py": base(["s1"]) }, "main");
  await small.push({ "s.py": bugs(["s1"]) });
  const number = await small.open();
  await small.review(number);
  const { sha } = await small.push({ "s.py": `${base(["s1"])}\n` });
  await small.review(number);
  const { pull, checks, violations } = await small.state(number);
  expect(pull.comments.map((one: Comment) => one.body.split("\n")[1])).toEqual([
    expect.stringContaining("Low reward"),
    `fixed in ${sha}`,
  ]);
  expect([checks.length, violations]).toEqual([2, []]);
  await small.stop();
}, 180_000);
