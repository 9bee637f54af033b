/** What was learned, as a comment on the fake GitHub: one a month, in the issue that the repository names, whatever breaks off. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { jobOf } from "../../src/app/webhooks/receive.ts";
import { reportJob } from "../../src/domain/job-payloads.ts";
import type { Job, NewJob } from "../../src/domain/run.ts";
import { type PostReportPorts, postReport, reportsDue } from "../../src/flows/post-report.ts";
import type { PostedReport } from "../../src/ports.ts";
import { startReviewWorld } from "../fakes/review-world.ts";

let world: Awaited<ReturnType<typeof startReviewWorld>>;
let ports: PostReportPorts;
let now = new Date("2026-03-02T08:00:00Z");
const warned: string[] = [];

beforeAll(async () => {
  world = await startReviewWorld("");
  const { learning, reviews, runs, models, reports } = world.database;
  ports = {
    ...{ learning, reviews, runs, models, reports, host: world.ports.host },
    clock: { now: () => now, sleep: async () => {} },
    log: {
      debug: () => {},
      info: () => {},
      warn: (what, at) => void warned.push(`${what}: ${at?.["reason"]}`),
      error: () => {},
    },
    parseConfig: world.ports.parseConfig,
    markerKey: world.ports.markerKey,
  };
  const key = { installationId: world.ref.installationId, repositoryId: world.ref.repositoryId };
  await learning.saveRepository(world.ref);
  for (const [number, day] of [
    [900, "2026-02-10"],
    [901, "2026-03-01"],
  ] as const)
    await learning.append({ ...key, pullRequest: number }, [
      {
        ...{ id: "opened", at: Date.parse(`${day}T12:00:00Z`), actor: "ada", kind: "opened", number },
        ...{ head: "a".repeat(40), base: "b".repeat(40), defaultBranch: "main" },
      },
    ]);
  for (let index = 0; index < 20; index++)
    await reviews.saveFinding({
      ...{ ...key, pullRequest: 900, path: "p.py", name: `f${index}`, bodyHash: `${index}`, modelVersion: "m@1" },
      ...{ head: "h", state: index < 4 ? "right" : "wrong", verdict: index < 4 ? "right" : "wrong", attribution: 0.1 },
      ...{ estimate: null, inline: false, commentId: null, threadId: null, by: "ada", reason: null },
      judgedAt: "2026-02-11T00:00:00.000Z",
    });
});
afterAll(() => world.stop());
beforeEach(() => {
  warned.length = 0;
});

const name = (report: string) => world.push({ ".github/funprm.yml": `learn: { report: ${report} }\n` }, "main");
const run = (job: NewJob) => postReport(ports, { ...job, attempts: 1, maxAttempts: 5 } as unknown as Job);
const month = (of: string | null) => run(reportJob({ ...world.ref, month: of, command: null }));
const issue = async (labels: string[] = []) =>
  (await world.github.act("issue", { ...world.at, login: "ada", title: "What was learned", labels })).number as number;
type Said = { id: number; body: string; login: string; history: string[]; reactions: { content: string }[] };
const said = async (number: number): Promise<Said[]> => (await world.state(number)).comments;
const reports = async (number: number) => (await said(number)).filter((one) => one.body.includes("funprm:learned"));
const command = async (number: number, login = "ada") => {
  const body = "/funprm report";
  const { id } = await world.github.act("comment", { ...world.at, number, login, body });
  const job = jobOf({
    ...{ id: "d", name: "issue_comment" },
    payload: {
      ...{ action: "created", installation: { id: world.ref.installationId }, sender: { login, type: "User" } },
      repository: { id: world.ref.repositoryId, name: world.at.repo, owner: { login: world.at.owner } },
      ...{ issue: { number }, comment: { id, body, user: { login, type: "User" } } },
    },
  });
  expect(job?.kind).toBe("report-learning");
  await run(job!);
  return (await said(number)).find((one) => one.id === id)!;
};

describe("the report on what was learned", () => {
  it("is posted nowhere unless an issue is named; who asks hears what to set", async () => {
    const number = await issue();
    await month("2026-02");
    expect([await said(number), warned]).toEqual([[], []]);
    const asked = await command(number);
    expect(asked.reactions.map((one) => one.content)).toEqual(["confused"]);
    const answers = (await said(number)).filter((one) => one.login === "funprm[bot]");
    expect(answers.map((one) => one.body.split("\n")[1])).toEqual([
      "No issue is named for reports: set `learn.report` in `.github/funprm.yml` to the number or to a label of an open issue.",
    ]);
  });

  it("is due for the month that is over where something was learned in it, until it was said", async () => {
    const due = await reportsDue(ports);
    expect(due.map((one) => [one.repositoryId, one.month])).toEqual([[world.ref.repositoryId, "2026-02"]]);
    await name("no-such-label");
    await month("2026-02");
    expect(warned).toEqual([
      "no report on what was learned: `learn.report` names the label `no-such-label`, which no open issue has that can be commented on.",
    ]);
    expect(await reportsDue(ports)).toHaveLength(1);
  });

  it("says labels, precision with its interval, the mute and the cost, once, in the oldest open issue with the label", async () => {
    const closed = await issue(["learned"]);
    await world.github.act("change", { ...world.at, number: closed, login: "ada", state: "closed" });
    const [number, younger] = [await issue(["learned"]), await issue(["learned"])];
    await name("learned");
    await month("2026-02");
    await month("2026-02");
    const [comment, ...more] = await reports(number);
    expect(more).toEqual([]);
    expect(comment!.history).toHaveLength(1);
    expect(comment!.body).toMatch(
      /^<!-- funprm:learned v1 month=2026-02 sig=[0-9a-f]{16} -->\n### What FunPRM learned, 2026-02-01 to 2026-02-28/,
    );
    expect(comment!.body).toContain("1 pull requests gave 0 labels of grade A or B");
    expect(comment!.body).toContain(
      "4 of the last 20 judged findings were right, 95 % interval 8 % to 42 %, wanted 60 %: inline comments are muted",
    );
    expect(comment!.body).toContain("**Cost**: 0 runs");
    expect([await said(closed), await said(younger)]).toEqual([[], []]);
    expect(await reportsDue(ports)).toEqual([]);
    // What was said stays where it was said: an issue named anew does not hear it again.
    await name(`${younger}`);
    await month("2026-02");
    expect(await said(younger)).toEqual([]);
  });

  it("is one comment when it is asked for twice and then ends with the month, also when the issue is named anew meanwhile", async () => {
    const [number, other] = [await issue(), await issue()];
    await name(`${number}`);
    expect((await command(other)).reactions.map((one) => one.content)).toEqual(["+1"]);
    now = new Date("2026-03-20T08:00:00Z");
    await command(number);
    await name(`${other}`);
    now = new Date("2026-04-01T00:00:10Z");
    for (const one of await reportsDue(ports)) await run(reportJob(one));
    const [comment, ...more] = await reports(number);
    expect(more).toEqual([]);
    expect(comment!.history.map((body) => /learned, (.*)/.exec(body)![1])).toEqual([
      "2026-03-01 to 2026-03-02",
      "2026-03-01 to 2026-03-20",
      "2026-03-01 to 2026-03-31",
    ]);
    expect(await reports(other)).toEqual([]);
  });

  it("is refused to people without write access", async () => {
    const number = await issue();
    await name(`${number}`);
    expect((await command(number, "eve")).reactions.map((one) => one.content)).toEqual(["-1"]);
    expect(await reports(number)).toEqual([]);
  });

  const dieAt = (at: PostedReport["state"]) => {
    const { reports: store } = world.database;
    ports.reports = {
      ...store,
      saveReport: async (row) => {
        if (row.state === at) throw new Error("the process died");
        await store.saveReport(row);
      },
    };
  };
  const liveOn = () => {
    ports.reports = world.database.reports;
  };
  it.each([
    ["before anything was planned", "2025-06", async () => dieAt("planned"), 0],
    ["before it was sent", "2025-07", async () => dieAt("sent"), 0],
    ["GitHub wrote it and the answer was lost", "2025-08", () => fault("applies-then-drops"), 1],
    ["GitHub refused it for a while", "2025-09", () => fault("status"), 0],
  ] as const)("is one comment after a crash: %s", async (_, over, breakOff, written) => {
    const number = await issue();
    await name(`${number}`);
    await breakOff();
    await month(over).catch(() => {});
    expect((await reports(number)).length).toBeGreaterThanOrEqual(written);
    await world.github.act("clear-faults", {});
    liveOn();
    await month(over);
    await month(over);
    expect(await reports(number)).toHaveLength(1);
    expect(await ports.reports.report(world.ref.repositoryId, over)).toMatchObject({ state: "confirmed", whole: true });
  });
  const fault = (kind: string) =>
    world.github.act("fault", { method: "POST", path: "/issues/\\d+/comments$", kind, status: 502, times: 1 });

  it("is one comment after a crash: it stood and was not yet confirmed", async () => {
    const number = await issue();
    await name(`${number}`);
    dieAt("confirmed");
    await expect(month("2025-10")).rejects.toThrow("the process died");
    liveOn();
    // Named anew between the two: the comment that stands is the month's.
    await name(`${await issue()}`);
    await month("2025-10");
    const [comment, ...more] = await reports(number);
    expect(more).toEqual([]);
    expect(await ports.reports.report(world.ref.repositoryId, "2025-10")).toMatchObject({
      ...{ state: "confirmed", issue: number, commentId: comment!.id },
    });
    expect((await world.state(number)).violations).toEqual([]);
  });

  it("counts no finding that a removed person judged, as reviews do", async () => {
    const number = await issue();
    await name(`${number}`);
    await ports.learning.removeActor("ada");
    await month("2025-11");
    expect((await reports(number)).map((one) => one.body.includes("**Findings**: none was judged yet."))).toEqual([
      true,
    ]);
  });

  it("is forgotten with its installation and after the retention", async () => {
    const { reports: store } = world.database;
    const row = {
      repositoryId: 5,
      installationId: 6,
      issue: 1,
      state: "confirmed",
      whole: true,
      commentId: 3,
    } as const;
    await store.saveReport({ ...row, month: "2026-01" });
    await store.saveReport({ ...row, repositoryId: 7, month: "2026-01" });
    await store.deleteInstallation(6, 5);
    expect(await store.report(5, "2026-01")).toBeNull();
    expect(await store.report(7, "2026-01")).toEqual({ ...row, repositoryId: 7, month: "2026-01" });
    await store.deleteInstallation(6);
    expect(await store.report(7, "2026-01")).toBeNull();
    expect(await store.expireBefore(new Date("2100-01-01"))).toBeGreaterThan(0);
  });
});
