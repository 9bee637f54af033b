import { expect, test } from "vitest";
import { parseRepoConfig } from "../../src/config/repo-config.ts";
import { FunprmError } from "../../src/domain/errors.ts";
import { DEFAULT_REPO_CONFIG } from "../../src/domain/repo-config.ts";
import { noteDeadReview, type ReviewPullPorts, reviewPull } from "../../src/flows/review-pull.ts";

const HEAD = "a".repeat(40);

function world(error: Error, settings: string | null = null, facts: object = {}) {
  const states: [string, string | null][] = [];
  const runs = new Set<string>();
  const pull = { number: 7, state: "open", headSha: HEAD, headRef: "x", author: "ann", draft: false, body: "" };
  const host = {
    pullRequest: async () => ({ ...pull, ...facts }),
    repository: async () => ({ defaultBranch: "main" }),
    branchSha: async () => "b".repeat(40),
    readFile: async () => settings && new TextEncoder().encode(settings),
    role: async () => "write",
    setReaction: async () => {},
    pullRequestFiles: () => Promise.reject(error),
    ensureCheckRun: async (_: unknown, state: { status: string; conclusion: string | null; externalId: string }) => {
      states.push([state.status, state.conclusion]);
      runs.add(state.externalId);
    },
  };
  const ports = {
    host,
    model: { info: { name: "m", version: "1" } },
    bundled: async () => ({ info: { name: "m", version: "of the repository's own settings" } }),
    reviews: { pull: async () => ({ pausedBy: null, rounds: [] }) },
    parseConfig: parseRepoConfig,
  } as unknown as ReviewPullPorts;
  const payload = {
    ...{ installationId: 1, repositoryId: 1, owner: "o", repo: "r", issueNumber: 7 },
    ...{ asked: true, full: false, head: null, command: null },
  };
  return { states, runs, ports, payload };
}

/** A review in which reading the files fails; what its check run said, in order. */
async function said(
  error: Error,
  { head = HEAD, ...job }: { attempts: number; maxAttempts: number; head?: string | null },
  signal = new AbortController().signal,
) {
  const { states, ports, payload } = world(error);
  await expect(reviewPull(ports, { ...job, payload: { ...payload, head } } as never, signal)).rejects.toBe(error);
  return states;
}

test("a review that is given up leaves no check run in progress: a required one would hold the pull request for ever", async () => {
  const open = ["in_progress", null];
  const closed = ["completed", "neutral"];
  expect(await said(new Error("bug"), { attempts: 3, maxAttempts: 3 })).toEqual([open, closed]);
  expect(await said(new FunprmError("BAD_INPUT", "no"), { attempts: 1, maxAttempts: 3 })).toEqual([open, closed]);
  expect(await said(new Error("bug"), { attempts: 1, maxAttempts: 3 })).toEqual([open]);
  // Its next attempt may be one of a newer head.
  expect(await said(new Error("bug"), { attempts: 1, maxAttempts: 3, head: null })).toEqual([open, closed]);
  const stopped = new AbortController();
  stopped.abort();
  expect(await said(new Error("bug"), { attempts: 3, maxAttempts: 3 }, stopped.signal)).toEqual([open]);
});

test("a review whose worker dies at every attempt is closed when its job is buried", async () => {
  const { states, runs, ports, payload } = world(new Error("the worker died"));
  ports.parseConfig = () => ({
    config: { ...DEFAULT_REPO_CONFIG, prm: { ...DEFAULT_REPO_CONFIG.prm, model: "funprm-mini" } },
    problems: [],
    origins: {},
  });
  const job = { kind: "review-pull", payload: { ...payload, head: HEAD }, attempts: 1, maxAttempts: 3 } as never;
  await expect(reviewPull(ports, job, new AbortController().signal)).rejects.toThrow("the worker died");
  await noteDeadReview(ports, job);
  expect(states).toEqual([
    ["in_progress", null],
    ["completed", "neutral"],
  ]);
  // One check run, though the repository chose another model than the app's.
  expect([...runs]).toEqual(["review-7"]);
});

test("an event of a head that was pushed over says nothing: the newer one has a job of its own", async () => {
  const { states, ports, payload } = world(new Error("never reached"));
  const old = { ...payload, asked: false, head: "b".repeat(40) };
  await reviewPull(ports, { payload: old } as never, new AbortController().signal);
  expect(states).toEqual([]);
});

test("an opening whose head was pushed over is reviewed at the newer one where pushes are not", async () => {
  const stop = new Error("reviewed");
  const { states, ports, payload } = world(stop, "review: { on_push: false }\n");
  const moved = { ...payload, asked: false, head: "b".repeat(40) };
  const run = (trigger: string) =>
    reviewPull(
      ports,
      { attempts: 1, maxAttempts: 3, payload: { ...moved, trigger } } as never,
      new AbortController().signal,
    );
  await expect(run("opened")).rejects.toBe(stop);
  await run("synchronize");
  expect(states).toEqual([["in_progress", null]]);
});

test.each([
  ["a newer head came", {}],
  ["it was closed", { state: "closed" }],
])("%s between two attempts: what the first left in progress is cancelled", async (_, facts) => {
  const { states, ports, payload } = world(new Error("never reached"), null, facts);
  const at = (attempts: number) =>
    ({ attempts, maxAttempts: 3, payload: { ...payload, asked: false, head: "b".repeat(40) } }) as never;
  await reviewPull(ports, at(1), new AbortController().signal);
  expect(states).toEqual([]);
  await reviewPull(ports, at(2), new AbortController().signal);
  expect(states).toEqual([["completed", "cancelled"]]);
});

const YES = [true, true];
const NO = [false, false];
const BOTS = { author: "dependabot[bot]" };
const OURS = { headRef: "funprm/issue-3", author: "funprm[bot]" };

test.each([
  ["", {}, YES],
  ["auto: never", {}, NO],
  ["", { draft: true }, NO],
  ["drafts: true", { draft: true }, YES],
  ["on_push: false", {}, [true, false]],
  ["ignore_authors: [Ann]", {}, NO],
  ["ignore_authors: [ann]", { author: "bob" }, YES],
  ["", BOTS, NO],
  ["", { author: "renovate[bot]" }, NO],
  ["ignore_authors: []", BOTS, YES],
  ["", OURS, NO],
  ["ignore_authors: []", OURS, NO],
  ["", { ...OURS, author: "ann" }, YES],
  ["", { ...OURS, headRef: "x" }, YES],
])(
  "review: { %s } and %j: opening and a push are reviewed: %j; who asks for a review always gets it",
  async (review, facts, wanted) => {
    const reviewed = async (more: object) => {
      const stop = new Error("reviewed");
      const { states, ports, payload } = world(stop, `review: { ${review} }\n`, facts);
      const job = { attempts: 1, maxAttempts: 3, payload: { ...payload, ...more } } as never;
      const end = await reviewPull(ports, job, new AbortController().signal).catch((error: unknown) => error);
      expect(states.slice(0, 1)).toEqual(end === stop ? [["in_progress", null]] : []);
      return end === stop;
    };
    const event = { asked: false, head: HEAD };
    expect([
      await reviewed({ ...event, trigger: "opened" }),
      await reviewed({ ...event, trigger: "synchronize" }),
    ]).toEqual(wanted);
    expect(await reviewed({ trigger: "command", command: { by: "ada", commentId: 9 } })).toBe(true);
    expect(await reviewed({ trigger: "button" })).toBe(true);
    // "Re-run all checks" of what the app opened means the checks that stand there.
    const { headRef = "x", author = "ann" } = facts as { headRef?: string; author?: string };
    expect(await reviewed({ trigger: "suite" })).toBe(!(headRef.startsWith("funprm/") && author.endsWith("[bot]")));
  },
);
