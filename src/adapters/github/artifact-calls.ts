/** Artifacts of workflow runs: the API says where each lies, and the file itself comes from GitHub's storage (ADR 15). */
import { createHash } from "node:crypto";
import { FunprmError } from "../../domain/errors.ts";
import type { Conclusion } from "../../domain/outcome.ts";
import type { WorkflowAttempt } from "../../domain/test-report.ts";
import type { GitHost, RepoRef, RunArtifact } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";
import { fetchStored, MOST_ZIP_BYTES } from "./fetch-stored.ts";

/** Of one commit: each costs a request or two. */
const MOST_RUNS = 50;
/** Of one run: whose results flicker so long have none. */
const MOST_ATTEMPTS = 5;
const MOST_ARTIFACTS = 100;

type Run = {
  id: number;
  run_attempt?: number;
  event: string;
  head_sha: string;
  status: string | null;
  conclusion: string | null;
  run_started_at?: string;
  head_repository: { id: number } | null;
};
type Listed = RunArtifact & { createdAt: number };

/** @param baseUrl of the API: storage of a server of one's own may lie there, and then needs no TLS that the API has not. */
export function artifactCalls(client: GitHubClient, baseUrl: string): Pick<GitHost, "workflowAttempts" | "artifact"> {
  const { rest } = client.octokit;

  async function attemptsOf(ref: RepoRef, run: Run): Promise<Run[]> {
    const { owner, repo } = ref;
    const earlier: Run[] = [];
    for (let attempt = 1; attempt < (run.run_attempt ?? 1); attempt++) {
      const { data } = await client.actions(ref, `read attempt ${attempt} of run ${run.id}`, (parameters) =>
        rest.actions.getWorkflowRunAttempt({
          ...{ owner, repo, run_id: run.id, attempt_number: attempt, exclude_pull_requests: true },
          ...parameters,
        }),
      );
      earlier.push(data as Run);
    }
    return [...earlier, run];
  }

  async function artifactsOf(ref: RepoRef, run: Run): Promise<Listed[] | null> {
    const { owner, repo } = ref;
    const { data } = await client.actions(ref, `read artifacts of run ${run.id}`, (parameters) =>
      rest.actions.listWorkflowRunArtifacts({ owner, repo, run_id: run.id, per_page: MOST_ARTIFACTS, ...parameters }),
    );
    if (data.total_count > data.artifacts.length) return null;
    return data.artifacts.map((one) => ({
      id: one.id,
      name: one.name,
      bytes: one.size_in_bytes,
      digest: one.digest ?? null,
      createdAt: Date.parse(one.created_at ?? ""),
    }));
  }

  return {
    async workflowAttempts(ref, sha) {
      const { owner, repo } = ref;
      const { data } = await client.actions(ref, `read workflow runs of ${sha}`, (parameters) =>
        rest.actions.listWorkflowRunsForRepo({
          ...{ owner, repo, head_sha: sha, per_page: MOST_RUNS, exclude_pull_requests: true },
          ...parameters,
        }),
      );
      const found: (WorkflowAttempt & { artifacts: RunArtifact[] | null })[] = [];
      const all = data.total_count <= data.workflow_runs.length;
      for (const run of data.workflow_runs as Run[]) {
        const read = all && (run.run_attempt ?? 1) <= MOST_ATTEMPTS;
        const attempts = read ? await attemptsOf(ref, run) : [run];
        const artifacts = read ? await artifactsOf(ref, run) : null;
        for (const [index, one] of attempts.entries())
          found.push({
            run: run.id,
            attempt: one.run_attempt ?? 1,
            event: run.event,
            sha: run.head_sha,
            headRepositoryId: run.head_repository?.id ?? null,
            conclusion: one.status === "completed" ? (one.conclusion as Conclusion | null) : null,
            artifacts: artifacts && leftBy(artifacts, index, attempts),
          });
      }
      return found;
    },

    async artifact({ owner, repo, ...ref }, artifact) {
      const where = `artifact ${artifact.id} in ${owner}/${repo}`;
      if (artifact.bytes > MOST_ZIP_BYTES)
        throw new FunprmError("GITHUB_REFUSED", `${where}: ${artifact.bytes} bytes, over ${MOST_ZIP_BYTES}`);
      const answer = await client
        .actions({ owner, repo, ...ref }, `find ${where}`, (parameters) =>
          rest.actions.downloadArtifact({
            ...{ owner, repo, artifact_id: artifact.id, archive_format: "zip" },
            ...parameters,
            request: { ...parameters.request, redirect: "manual" },
          }),
        )
        .catch((error: unknown) => {
          if (error instanceof FunprmError && error.code === "GITHUB_GONE") return null;
          throw error;
        });
      if (answer === null) return null;
      const { location } = answer.headers;
      if (location === undefined) throw new FunprmError("GITHUB_REFUSED", `${where}: GitHub names no place for it`);
      const zip = await fetchStored(location, { api: baseUrl, what: where });
      const digest = zip && `sha256:${createHash("sha256").update(zip).digest("hex")}`;
      if (digest !== null && artifact.digest !== null && digest !== artifact.digest.toLowerCase())
        throw new FunprmError("GITHUB_REFUSED", `${where}: it is not the file that was uploaded (${digest})`);
      return zip;
    },
  };
}

/** GitHub keeps the artifacts of all attempts in one list: each was left by the last attempt that had begun before it. */
function leftBy(artifacts: readonly Listed[], index: number, attempts: readonly Run[]): RunArtifact[] {
  const began = (one: Run | undefined) =>
    one === undefined ? Number.POSITIVE_INFINITY : Date.parse(one.run_started_at ?? "");
  const from = index === 0 ? Number.NEGATIVE_INFINITY : began(attempts[index]);
  const to = began(attempts[index + 1]);
  return artifacts
    .filter(({ createdAt }) => attempts.length === 1 || (createdAt >= from && createdAt < to))
    .map(({ createdAt: _, ...artifact }) => artifact);
}
