/** Webhooks that tell what became of code: ends of pull requests, pushes to the default branch, checks of other apps. */
import { type RecordOutcomePayload, recordJob } from "../../domain/job-payloads.ts";
import type { Conclusion, SeenCheck } from "../../domain/outcome.ts";
import type { NewJob } from "../../domain/run.ts";

/** The fields in use; everything else of a payload is ignored. */
export type OutcomeWebhook = {
  action?: string;
  installation?: { id: number } | null;
  repository?: {
    id: number;
    name: string;
    owner: { login: string };
    default_branch?: string;
    /** Seconds since 1970 in a push, ISO 8601 elsewhere. */
    pushed_at?: number | string | null;
    updated_at?: string;
  };
  sender?: { login: string };
  changes?: { default_branch?: { from?: string } };
  pull_request?: { number: number };
  ref?: string;
  before?: string;
  after?: string;
  deleted?: boolean;
  check_run?: {
    id: number;
    name?: string;
    head_sha?: string;
    conclusion?: string | null;
    started_at?: string | null;
    completed_at?: string | null;
  };
  check_suite?: { head_sha: string };
  workflow_run?: {
    name?: string | null;
    head_sha: string;
    run_attempt?: number;
    conclusion?: string | null;
    updated_at: string;
  };
  /** Of a commit status. */
  id?: number;
  sha?: string;
  context?: string;
  state?: string;
  updated_at?: string;
};

const STATUS: Record<string, Conclusion | null> = {
  success: "success",
  failure: "failure",
  error: "failure",
  pending: null,
};

/** Null for an event that says nothing of outcomes. What an app of ours writes is left out by the flow, which knows its checks. */
export function outcomeJob(name: string, payload: OutcomeWebhook): NewJob | null {
  const { installation, repository } = payload;
  if (!installation || !repository) return null;
  const saw = seen(name, payload, repository);
  if (saw === null) return null;
  return recordJob({
    installationId: installation.id,
    repositoryId: repository.id,
    owner: repository.owner.login,
    repo: repository.name,
    saw,
  });
}

function seen(
  name: string,
  payload: OutcomeWebhook,
  repository: NonNullable<OutcomeWebhook["repository"]>,
): RecordOutcomePayload["saw"] | null {
  const check = (sha: string | undefined, one: SeenCheck): (RecordOutcomePayload["saw"] & { kind: "checks" }) | null =>
    sha === undefined || Number.isNaN(one.at) ? null : { kind: "checks", sha, checks: [one] };
  switch (`${name}.${payload.action ?? ""}`) {
    case "pull_request.closed":
    case "pull_request.reopened":
      return payload.pull_request === undefined ? null : { kind: "pull", number: payload.pull_request.number };
    case "push.": {
      const { ref = "", before = "", after = "", deleted } = payload;
      const branch = ref.replace(/^refs\/heads\//, "");
      if (deleted === true || branch !== repository.default_branch) return null;
      return {
        kind: "pushed",
        branch,
        before,
        after,
        at: millisecondsOf(repository.pushed_at),
        by: payload.sender?.login ?? null,
      };
    }
    case "check_run.completed": {
      const run = payload.check_run!;
      const conclusion = (run.conclusion ?? null) as Conclusion | null;
      return check(run.head_sha, {
        name: run.name ?? "",
        attempt: run.id,
        conclusion,
        at: Date.parse(run.completed_at ?? run.started_at ?? ""),
      });
    }
    case "check_suite.completed":
      return { kind: "checks", sha: payload.check_suite!.head_sha, checks: null };
    case "workflow_run.completed": {
      const run = payload.workflow_run!;
      const saw = check(run.head_sha, {
        name: `workflow ${run.name ?? ""}`,
        attempt: run.run_attempt ?? 1,
        conclusion: (run.conclusion ?? null) as Conclusion | null,
        at: Date.parse(run.updated_at),
      });
      return saw && { ...saw, workflow: true };
    }
    case "status.":
      return check(payload.sha, {
        name: payload.context ?? "",
        attempt: payload.id ?? 1,
        conclusion: STATUS[payload.state ?? ""] ?? null,
        at: Date.parse(payload.updated_at ?? ""),
      });
    case "repository.edited": {
      const from = payload.changes?.default_branch?.from;
      const to = repository.default_branch;
      if (from === undefined || to === undefined) return null;
      return { kind: "branch_renamed", from, to, at: Date.parse(repository.updated_at ?? "") };
    }
    default:
      return null;
  }
}

function millisecondsOf(at: number | string | null | undefined): number {
  return typeof at === "number" ? at * 1000 : Date.parse(at ?? "");
}
