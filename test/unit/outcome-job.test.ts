/** Which webhooks tell of outcomes, and what the job that they make says. */
import { describe, expect, it } from "vitest";
import { type OutcomeWebhook, outcomeJob } from "../../src/app/webhooks/outcome-job.ts";
import type { RecordOutcomePayload } from "../../src/domain/job-payloads.ts";

const SHA = "a".repeat(40);
const whole = (more: OutcomeWebhook): OutcomeWebhook => ({
  installation: { id: 5 },
  repository: {
    id: 7,
    name: "r",
    owner: { login: "o" },
    default_branch: "main",
    pushed_at: 1_700_000_000,
    updated_at: "2026-01-02T00:00:00Z",
  },
  ...more,
});
const sawOf = (name: string, more: OutcomeWebhook) =>
  (outcomeJob(name, whole(more))?.payload as RecordOutcomePayload | undefined)?.saw ?? null;

describe("webhooks of outcomes", () => {
  it.each<[string, OutcomeWebhook, unknown]>([
    ["pull_request", { action: "closed", pull_request: { number: 3 } }, { kind: "pull", number: 3 }],
    ["pull_request", { action: "reopened", pull_request: { number: 3 } }, { kind: "pull", number: 3 }],
    ["pull_request", { action: "opened", pull_request: { number: 3 } }, null],
    [
      "push",
      { ref: "refs/heads/main", before: "b", after: SHA, sender: { login: "mia" } },
      { kind: "pushed", branch: "main", before: "b", after: SHA, at: 1_700_000_000_000, by: "mia" },
    ],
    ["push", { ref: "refs/heads/other", before: "b", after: SHA }, null],
    ["push", { ref: "refs/heads/main", before: "b", after: "0", deleted: true }, null],
    ["push", { ref: "refs/tags/main", before: "b", after: SHA }, null],
    [
      "check_run",
      {
        action: "completed",
        check_run: { id: 9, name: "ci", head_sha: SHA, conclusion: "failure", completed_at: "2026-01-01T00:00:00Z" },
      },
      {
        kind: "checks",
        sha: SHA,
        checks: [{ name: "ci", attempt: 9, conclusion: "failure", at: Date.UTC(2026, 0, 1) }],
      },
    ],
    ["check_run", { action: "created", check_run: { id: 9, name: "ci", head_sha: SHA } }, null],
    ["check_run", { action: "completed", check_run: { id: 9, name: "ci", conclusion: "success" } }, null],
    [
      "check_suite",
      { action: "completed", check_suite: { head_sha: SHA } },
      { kind: "checks", sha: SHA, checks: null },
    ],
    [
      "workflow_run",
      {
        action: "completed",
        workflow_run: {
          name: "Test",
          head_sha: SHA,
          run_attempt: 2,
          conclusion: "cancelled",
          updated_at: "2026-01-01T00:00:00Z",
        },
      },
      {
        kind: "checks",
        sha: SHA,
        checks: [{ name: "workflow Test", attempt: 2, conclusion: "cancelled", at: Date.UTC(2026, 0, 1) }],
        workflow: true,
      },
    ],
    [
      "status",
      { sha: SHA, id: 4, context: "jenkins", state: "error", updated_at: "2026-01-01T00:00:00Z" },
      {
        kind: "checks",
        sha: SHA,
        checks: [{ name: "jenkins", attempt: 4, conclusion: "failure", at: Date.UTC(2026, 0, 1) }],
      },
    ],
    [
      "status",
      { sha: SHA, id: 4, context: "jenkins", state: "pending", updated_at: "2026-01-01T00:00:00Z" },
      {
        kind: "checks",
        sha: SHA,
        checks: [{ name: "jenkins", attempt: 4, conclusion: null, at: Date.UTC(2026, 0, 1) }],
      },
    ],
    [
      "repository",
      { action: "edited", changes: { default_branch: { from: "master" } } },
      { kind: "branch_renamed", from: "master", to: "main", at: Date.UTC(2026, 0, 2) },
    ],
    ["repository", { action: "edited", changes: {} }, null],
    ["issues", { action: "closed" }, null],
  ])("%s %j", (name, payload, saw) => {
    expect(sawOf(name, payload)).toEqual(saw);
  });

  it("without an installation there is nobody whose outcome it is", () => {
    const payload = whole({ action: "closed", pull_request: { number: 3 } });
    expect(outcomeJob("pull_request", { ...payload, installation: null })).toBeNull();
  });

  it("the same telling is the same job, another one of the same pull request waits in its lane", () => {
    const closed = () => outcomeJob("pull_request", whole({ action: "closed", pull_request: { number: 3 } }))!;
    const checks = outcomeJob("check_suite", whole({ action: "completed", check_suite: { head_sha: SHA } }))!;
    expect(closed()).toEqual(closed());
    expect(checks.lane).not.toBe(closed().lane);
  });
});
