/** What became of pull requests: their end, commits on the base branch, checks of other apps. Reads only. */
import type { SeenCheck } from "../../domain/outcome.ts";
import type { CommitFacts, GitHost, PullRequestFile } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";

type OutcomeCalls = Pick<GitHost, "pullRequestEnd" | "commit" | "checks" | "requiredChecks">;

/** Committer of what is merged or edited on GitHub's pages. */
const GITHUB_ITSELF = "web-flow";

type DiffEntry = {
  filename: string;
  previous_filename?: string;
  status: string;
  additions: number;
  deletions: number;
  patch?: string;
};

export function outcomeCalls(client: GitHubClient, appId: number): OutcomeCalls {
  const { octokit } = client;
  const { rest } = octokit;
  return {
    async pullRequestEnd(ref, number) {
      const { owner, repo } = ref;
      const { data } = await client.read(ref, `read pull request #${number}`, (parameters) =>
        rest.pulls.get({ owner, repo, pull_number: number, ...parameters }),
      );
      const commits = await client.read(ref, `read commits of #${number}`, (parameters) =>
        octokit.paginate(rest.pulls.listCommits, { owner, repo, pull_number: number, per_page: 100, ...parameters }),
      );
      return {
        createdAt: data.created_at,
        closedAt: data.closed_at,
        mergedAt: data.merged_at,
        mergedBy: data.merged_by?.login ?? null,
        // Before the merge this is the test merge.
        mergeCommitSha: data.merged ? data.merge_commit_sha : null,
        commits: commits.map((one) => ({
          sha: one.sha,
          message: one.commit.message,
          parents: one.parents.map((parent) => parent.sha),
        })),
      };
    },

    async commit(ref, sha): Promise<CommitFacts> {
      const { owner, repo } = ref;
      const { data } = await client.read(ref, `read commit ${sha}`, (parameters) =>
        rest.repos.getCommit({ owner, repo, ref: sha, per_page: 100, ...parameters }),
      );
      return {
        sha: data.sha,
        message: data.commit.message,
        author: vouchedAuthor(data),
        at: data.commit.committer?.date ?? data.commit.author?.date ?? "",
        parents: data.parents.map((parent) => parent.sha),
        files: ((data.files ?? []) as DiffEntry[]).map(fileFacts),
      };
    },

    async checks(ref, sha): Promise<SeenCheck[]> {
      const { owner, repo } = ref;
      const runs = await client.read(ref, `read check runs of ${sha}`, (parameters) =>
        octokit.paginate(rest.checks.listForRef, {
          owner,
          repo,
          ref: sha,
          filter: "all",
          per_page: 100,
          ...parameters,
        }),
      );
      return runs
        .filter((run) => run.app?.id !== appId)
        .map((run) => ({
          name: run.name,
          // A check that runs again is a new check run with a greater id.
          attempt: run.id,
          conclusion: run.status === "completed" ? (run.conclusion as SeenCheck["conclusion"]) : null,
          at: Date.parse(run.completed_at ?? run.started_at ?? ""),
        }));
    },

    async requiredChecks(ref, branch) {
      const { owner, repo } = ref;
      const rules = await client.read(ref, `read rules of ${branch}`, (parameters) =>
        octokit.paginate(rest.repos.getBranchRules, { owner, repo, branch, per_page: 100, ...parameters }),
      );
      return rules.flatMap((rule) =>
        rule.type === "required_status_checks"
          ? (rule.parameters?.required_status_checks ?? []).map((check) => check.context)
          : [],
      );
    },
  };
}

/** A signature is its committer's: GitHub's own, or the author's where that is the same person. */
function vouchedAuthor({
  author,
  committer,
  commit,
}: {
  author: { login?: string } | null;
  committer: { login?: string } | null;
  commit: { verification?: { verified: boolean } };
}): string | null {
  const name = author?.login ?? null;
  const signer = committer?.login;
  return commit.verification?.verified === true && (signer === GITHUB_ITSELF || signer === name) ? name : null;
}

function fileFacts(file: DiffEntry): PullRequestFile {
  return {
    path: file.filename,
    previousPath: file.previous_filename ?? null,
    status: file.status,
    additions: file.additions,
    deletions: file.deletions,
    patch: file.patch ?? null,
  };
}
