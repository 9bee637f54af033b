/** Threads of review comments: only GraphQL knows which are resolved, and resolves them (product.md 4.2). */
import { FunprmError } from "../../domain/errors.ts";
import type { GitHost, RepoRef, ReviewThread } from "../../ports.ts";
import type { CallParameters, GitHubClient } from "./client.ts";
import { ensure, markedBody } from "./ensure.ts";
import { mayHaveHappened } from "./refusal.ts";

type ThreadCalls = Pick<GitHost, "reviewThreads" | "setThreadResolved" | "ensureReply">;

type ThreadPage = {
  repository: {
    pullRequest: {
      reviewThreads: {
        pageInfo: { hasNextPage: boolean; endCursor: string | null };
        nodes: {
          id: string;
          isResolved: boolean;
          comments: { nodes: { fullDatabaseId: string | number | null; body: string; viewerDidAuthor: boolean }[] };
        }[];
      };
    };
  };
};

const THREADS = `query($owner: String!, $repo: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $repo) {
    pullRequest(number: $number) {
      reviewThreads(first: 100, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { id isResolved comments(first: 1) { nodes { fullDatabaseId body viewerDidAuthor } } }
      }
    }
  }
}`;
const RESOLVE = `mutation($threadId: ID!) { resolveReviewThread(input: { threadId: $threadId }) { thread { isResolved } } }`;
const UNRESOLVE = `mutation($threadId: ID!) { unresolveReviewThread(input: { threadId: $threadId }) { thread { isResolved } } }`;

export function threadCalls(client: GitHubClient): ThreadCalls {
  const { octokit } = client;

  async function reviewThreads(ref: RepoRef, number: number): Promise<ReviewThread[]> {
    const { owner, repo } = ref;
    const threads: ReviewThread[] = [];
    let after: string | null = null;
    do {
      const variables: Record<string, unknown> = { owner, repo, number, after };
      const page: ThreadPage = await client.read(ref, `read threads of #${number}`, ({ headers }: CallParameters) =>
        octokit.graphql<ThreadPage>(THREADS, { headers, ...variables }),
      );
      const { nodes, pageInfo } = page.repository.pullRequest.reviewThreads;
      for (const { id, isResolved, comments } of nodes) {
        const first = comments.nodes[0];
        if (first?.viewerDidAuthor && first.fullDatabaseId !== null)
          threads.push({ id, resolved: isResolved, commentId: Number(first.fullDatabaseId), body: first.body });
      }
      after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
    } while (after !== null);
    return threads;
  }

  return {
    reviewThreads,

    async setThreadResolved(ref, number, threadId, resolved) {
      const holds = async () =>
        (await reviewThreads(ref, number)).some((one) => one.id === threadId && one.resolved === resolved);
      try {
        await client.push(ref, `${resolved ? "resolve" : "reopen"} a thread of #${number}`, ({ headers, request }) =>
          octokit.graphql(resolved ? RESOLVE : UNRESOLVE, { headers, request, threadId }),
        );
      } catch (error) {
        if (!mayHaveHappened(error) || !(await holds())) throw error;
      }
    },

    async ensureReply(ref, number, commentId, marker, body) {
      const { owner, repo } = ref;
      const bot = await client.botLogin();
      const comments = () =>
        client.read(ref, `read review comments of #${number}`, (parameters) =>
          octokit.paginate(octokit.rest.pulls.listReviewComments, {
            owner,
            repo,
            pull_number: number,
            per_page: 100,
            ...parameters,
          }),
        );
      const look = async () =>
        (await comments()).find((one) => one.user?.login === bot && one.body.startsWith(marker)) ?? null;
      await ensure(look, async () => {
        const first = (await comments()).find((one) => one.id === commentId);
        if (first === undefined)
          throw new FunprmError("GITHUB_GONE", `reply on #${number}: comment ${commentId} is gone`);
        const { data } = await client.write(ref, `reply on #${number}`, (parameters) =>
          octokit.rest.pulls.createReviewComment({
            owner,
            repo,
            pull_number: number,
            in_reply_to: commentId,
            // GitHub ignores both for a reply; its description requires them.
            commit_id: first.original_commit_id,
            path: first.path,
            body: markedBody(marker, body),
            ...parameters,
          }),
        );
        return data;
      });
    },
  };
}
