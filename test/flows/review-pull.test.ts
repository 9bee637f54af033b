import { expect, test } from "vitest";
import { FunprmError } from "../../src/domain/errors.ts";
import { DEFAULT_REPO_CONFIG } from "../../src/domain/repo-config.ts";
import { noteDeadReview, type ReviewPullPorts, reviewPull } from "../../src/flows/review-pull.ts";

const HEAD = "a".repeat(40);

function world(error: Error) {
  const states: [string, string | null][] = [];
  const runs = new Set<string>();
  const pull = { number: 7, state: "open", headSha: HEAD, headRef: "x", author: "ann", draft: false, body: "" };
  const host = {
    pullRequest: async () => pull,
    repository: async () => ({ defaultBranch: "main" }),
    branchSha: async () => null,
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
    parseConfig: () => ({ config: DEFAULT_REPO_CONFIG, problems: [] }),
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
  job: { attempts: number; maxAttempts: number },
  signal = new AbortController().signal,
) {
  const { states, ports, payload } = world(error);
  await expect(reviewPull(ports, { ...job, payload } as never, signal)).rejects.toBe(error);
  return states;
}

test("a review that is given up leaves no check run in progress: a required one would hold the pull request for ever", async () => {
  const open = ["in_progress", null];
  const closed = ["completed", "neutral"];
  expect(await said(new Error("bug"), { attempts: 3, maxAttempts: 3 })).toEqual([open, closed]);
  expect(await said(new FunprmError("BAD_INPUT", "no"), { attempts: 1, maxAttempts: 3 })).toEqual([open, closed]);
  expect(await said(new Error("bug"), { attempts: 1, maxAttempts: 3 })).toEqual([open]);
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
  const job = { kind: "review-pull", payload, attempts: 1, maxAttempts: 3 } as never;
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
  await reviewPull(ports, { payload: { ...payload, head: "b".repeat(40) } } as never, new AbortController().signal);
  expect(states).toEqual([]);
});
