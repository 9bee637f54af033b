/** REST: workflow runs of GitHub Actions, their attempts and artifacts. */
import { createHash } from "node:crypto";
import { type Call, type Handler, ok, page, repoOf } from "./call.ts";
import * as git from "./git.ts";
import type { World } from "./state.ts";
import { type Artifact, Refusal, type Repo, type WorkflowRun } from "./types.ts";
import { htmlUrl, type Json, nodeId, repoUrl, repoView, userView } from "./views.ts";
import { emit } from "./webhooks.ts";

const CI = "github-actions[bot]";
/** Attempts begin this far apart, in seconds, and leave their artifacts half-way. */
const ATTEMPT_SECONDS = 60;

// biome-ignore lint/suspicious/noExplicitAny: a test's own JSON, read field by field
type Wish = Record<string, any>;

/**
 * A workflow ran at a commit (`sha`), or with `run` once more, and left artifacts: `zip` in base64; `expired`; `size` as GitHub
 * states it; `location` in place of where the storage has it; `digest: null` as old actions upload.
 */
export function runWorkflow(world: World, repo: Repo, wish: Wish): WorkflowRun {
  world.addUser(CI, "Bot");
  const sha = git.resolveCommit(repo.gitDir, wish["sha"] ?? "");
  const known = repo.workflowRuns.find((one) => one.id === wish["run"]);
  if (known === undefined && sha === null) throw new Refusal(404, `no commit ${wish["sha"]}`);
  const run: WorkflowRun = known ?? {
    id: world.nextId(),
    name: wish["name"] ?? "Tests",
    event: wish["event"] ?? "push",
    headSha: sha!,
    headBranch: wish["branch"] ?? repo.defaultBranch,
    headRepositoryId: wish["from"] === undefined ? repo.id : world.repo(wish["from"], repo.name).id,
    attempts: [],
    artifacts: [],
  };
  if (known === undefined) repo.workflowRuns.unshift(run);
  const startedAt = secondsLater(run.attempts[0]?.startedAt ?? world.now(), ATTEMPT_SECONDS * run.attempts.length);
  run.attempts.push({ conclusion: wish["conclusion"] ?? "success", startedAt });
  for (const one of (wish["artifacts"] ?? []) as Wish[]) {
    const zip = Buffer.from(one["zip"], "base64");
    const artifact: Artifact = {
      id: world.nextId(),
      name: one["name"],
      zip,
      sizeInBytes: one["size"] ?? zip.length,
      expired: one["expired"] ?? false,
      digest: one["digest"] === undefined ? `sha256:${createHash("sha256").update(zip).digest("hex")}` : one["digest"],
      location: one["location"] ?? null,
      createdAt: secondsLater(startedAt, ATTEMPT_SECONDS / 2),
    };
    run.artifacts.push(artifact);
  }
  emit(world, repo, {
    event: "workflow_run",
    action: "completed",
    sender: CI,
    payload: { workflow_run: runView(world, repo, run), workflow: workflowView(world, repo, run) },
  });
  return run;
}

function secondsLater(at: string, seconds: number): string {
  return new Date(Date.parse(at) + seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}

function workflowView(world: World, repo: Repo, run: WorkflowRun): Json {
  return {
    id: 1,
    node_id: nodeId("W", 1),
    name: run.name,
    path: ".github/workflows/tests.yml",
    state: "active",
    created_at: repo.createdAt,
    updated_at: repo.createdAt,
    url: `${repoUrl(world, repo)}/actions/workflows/1`,
    html_url: `${htmlUrl(world, repo)}/blob/${repo.defaultBranch}/.github/workflows/tests.yml`,
    badge_url: `${htmlUrl(world, repo)}/workflows/${run.name}/badge.svg`,
  };
}

/** @param attempt counts from 1; the last one unless told. */
function runView(world: World, repo: Repo, run: WorkflowRun, attempt = run.attempts.length): Json {
  const { conclusion, startedAt } = run.attempts[attempt - 1]!;
  const url = `${repoUrl(world, repo)}/actions/runs/${run.id}`;
  const commit = git.readCommit(repo.gitDir, run.headSha);
  const head = world.repos.find((one) => one.id === run.headRepositoryId);
  return {
    id: run.id,
    name: run.name,
    node_id: nodeId("WFR", run.id),
    check_suite_id: run.id,
    check_suite_node_id: nodeId("CS", run.id),
    check_suite_url: `${repoUrl(world, repo)}/check-suites/${run.id}`,
    head_branch: run.headBranch,
    head_sha: run.headSha,
    path: ".github/workflows/tests.yml",
    run_number: 1,
    run_attempt: attempt,
    event: run.event,
    display_title: run.name,
    status: "completed",
    conclusion,
    workflow_id: 1,
    url,
    html_url: `${htmlUrl(world, repo)}/actions/runs/${run.id}`,
    pull_requests: [],
    created_at: run.attempts[0]!.startedAt,
    updated_at: secondsLater(startedAt, ATTEMPT_SECONDS - 1),
    run_started_at: startedAt,
    actor: userView(world, CI),
    triggering_actor: userView(world, CI),
    jobs_url: `${url}/jobs`,
    logs_url: `${url}/logs`,
    artifacts_url: `${url}/artifacts`,
    cancel_url: `${url}/cancel`,
    rerun_url: `${url}/rerun`,
    previous_attempt_url: attempt === 1 ? null : `${url}/attempts/${attempt - 1}`,
    workflow_url: `${repoUrl(world, repo)}/actions/workflows/1`,
    head_commit: {
      id: commit.sha,
      tree_id: commit.tree,
      message: commit.message,
      timestamp: commit.committer.date,
      author: { name: commit.author.name, email: commit.author.email },
      committer: { name: commit.committer.name, email: commit.committer.email },
    },
    repository: repoView(world, repo),
    head_repository: head === undefined ? null : repoView(world, head),
  };
}

function artifactView(world: World, repo: Repo, run: WorkflowRun, artifact: Artifact): Json {
  const url = `${repoUrl(world, repo)}/actions/artifacts/${artifact.id}`;
  return {
    id: artifact.id,
    node_id: nodeId("AR", artifact.id),
    name: artifact.name,
    size_in_bytes: artifact.sizeInBytes,
    url,
    archive_download_url: `${url}/zip`,
    expired: artifact.expired,
    created_at: artifact.createdAt,
    updated_at: artifact.createdAt,
    expires_at: secondsLater(artifact.createdAt, 90 * 86_400),
    digest: artifact.digest,
    workflow_run: {
      id: run.id,
      repository_id: repo.id,
      head_repository_id: run.headRepositoryId,
      head_branch: run.headBranch,
      head_sha: run.headSha,
    },
  };
}

function runOf(call: Call): WorkflowRun {
  const run = repoOf(call).workflowRuns.find((one) => one.id === Number(call.params["run_id"]));
  if (run === undefined) throw new Refusal(404, "Not Found");
  return run;
}

export const actionsHandlers: Record<string, Handler> = {
  "actions/list-workflow-runs-for-repo": (call) => {
    const repo = repoOf(call);
    const sha = call.query.get("head_sha");
    const runs = repo.workflowRuns.filter((one) => sha === null || one.headSha === sha);
    const { items, headers } = page(call, runs);
    return ok({ total_count: runs.length, workflow_runs: items.map((one) => runView(call.world, repo, one)) }, headers);
  },
  "actions/get-workflow-run-attempt": (call) => {
    const run = runOf(call);
    const attempt = Number(call.params["attempt_number"]);
    if (run.attempts[attempt - 1] === undefined) throw new Refusal(404, "Not Found");
    return ok(runView(call.world, repoOf(call), run, attempt));
  },
  "actions/list-workflow-run-artifacts": (call) => {
    const [repo, run] = [repoOf(call), runOf(call)];
    const { items, headers } = page(call, run.artifacts);
    return ok(
      {
        total_count: run.artifacts.length,
        artifacts: items.map((one) => artifactView(call.world, repo, run, one)),
      },
      headers,
    );
  },
  "actions/download-artifact": (call) => {
    const id = Number(call.params["artifact_id"]);
    const artifact = repoOf(call)
      .workflowRuns.flatMap((run) => run.artifacts)
      .find((one) => one.id === id);
    if (artifact === undefined || call.params["archive_format"] !== "zip") throw new Refusal(404, "Not Found");
    if (artifact.expired) throw new Refusal(410, "Artifact has expired");
    return { status: 302, headers: { location: artifact.location ?? `${call.world.storageUrl}/artifacts/${id}` } };
  },
};
