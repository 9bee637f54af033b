/** GraphQL of review threads and of reactions to review comments. A thread's id is made of its first comment's. */
import { react } from "./changes.ts";
import type { World } from "./state.ts";
import { type Issue, type Pull, Refusal, type Repo, type ReviewComment } from "./types.ts";
import { nodeId } from "./views.ts";

type Place = { repo: Repo; issue: Issue; pull: Pull; comment: ReviewComment };
const REACTIONS: Record<string, string> = {
  EYES: "eyes",
  ROCKET: "rocket",
  THUMBS_UP: "+1",
  THUMBS_DOWN: "-1",
  CONFUSED: "confused",
};

export function threadId(comment: ReviewComment): string {
  return nodeId("PRRT", comment.id);
}

/** `check` throws when the caller may not; `applied` tells that something was written. */
export function threadResolvers(
  world: World,
  actor: string,
  check: (repo: Repo, permission: "contents" | "pull_requests", level: "read" | "write") => void,
  applied: () => void,
) {
  const find = (matches: (comment: ReviewComment) => boolean): Place => {
    for (const repo of world.repos)
      for (const issue of repo.issues) {
        const comment = issue.pull?.comments.find(matches);
        if (comment !== undefined) return { repo, issue, pull: issue.pull!, comment };
      }
    throw new Refusal(404, "Could not resolve to a node with the global id");
  };
  const setResolved = (id: string, resolved: boolean) => {
    const { repo, pull, comment } = find((one) => one.inReplyTo === null && threadId(one) === id);
    // Not what its documentation says, but what GitHub does (github/gh-aw#35726, community discussion 44650).
    check(repo, "contents", "write");
    comment.resolved = resolved;
    applied();
    return { thread: threadNode(pull, comment, actor) };
  };
  return {
    repository: ({ owner, name }: { owner: string; name: string }) => {
      const repo = world.repo(owner, name);
      check(repo, "pull_requests", "read");
      return {
        pullRequest: ({ number }: { number: number }) => {
          const { pull } = world.pull(repo, number);
          return {
            reviewThreads: ({ first, after }: { first: number; after: string | null }) => {
              const all = pull.comments.filter((one) => one.inReplyTo === null);
              const from = after === null || after === undefined ? 0 : Number(after);
              return {
                nodes: all.slice(from, from + first).map((one) => threadNode(pull, one, actor)),
                pageInfo: { hasNextPage: from + first < all.length, endCursor: String(from + first) },
              };
            },
          };
        },
      };
    },
    resolveReviewThread: ({ input }: { input: { threadId: string } }) => setResolved(input.threadId, true),
    unresolveReviewThread: ({ input }: { input: { threadId: string } }) => setResolved(input.threadId, false),
    addReaction: ({ input }: { input: { subjectId: string; content: string } }) => {
      const { repo, comment } = find((one) => nodeId("PRRC", one.id) === input.subjectId);
      check(repo, "pull_requests", "write");
      react(world, comment.reactions, actor, REACTIONS[input.content]!);
      applied();
      return { reaction: { content: input.content } };
    },
  };
}

function threadNode(pull: Pull, first: ReviewComment, viewer: string) {
  const comments = pull.comments.filter((one) => one === first || one.inReplyTo === first.id);
  return {
    id: threadId(first),
    isResolved: first.resolved,
    comments: ({ first: count }: { first: number }) => ({
      nodes: comments.slice(0, count).map((one) => ({
        fullDatabaseId: one.id,
        body: one.body,
        viewerDidAuthor: one.login === viewer,
      })),
    }),
  };
}
