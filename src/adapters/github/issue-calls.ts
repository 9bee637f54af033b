/** Issues, their labels, reactions and comments. */
import { FunprmError } from "../../domain/errors.ts";
import { DELETED_ACCOUNT } from "../../domain/outcome.ts";
import type { GitHost, IssueFacts, ReactionContent, ReactionTarget, RepoRef } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";
import { ensure, markedBody, orNull } from "./ensure.ts";
import { mayHaveHappened, statusOf } from "./refusal.ts";

type IssueCalls = Pick<GitHost, "issue" | "issueWithLabel" | "setReaction" | "setLabels" | "ensureComment">;

const LABELS: Record<string, { color: string; description: string }> = {
  "funprm:fix": { color: "1d76db", description: "Ask FunPRM for a pull request" },
  "funprm:running": { color: "fbca04", description: "FunPRM is working; remove to stop it" },
  "funprm:pr": { color: "0e8a16", description: "FunPRM opened a pull request" },
  "funprm:abstained": { color: "d4c5f9", description: "FunPRM found nothing that it can vouch for" },
  "funprm:failed": { color: "b60205", description: "FunPRM could not finish; see its comment" },
  funprm: { color: "1d76db", description: "Opened by FunPRM" },
};
const OTHER_LABEL = { color: "ededed", description: "Set by FunPRM" };

export function issueCalls(client: GitHubClient): IssueCalls {
  const { octokit } = client;
  const { rest } = octokit;

  async function createLabel(ref: RepoRef, name: string): Promise<void> {
    const { owner, repo } = ref;
    const look = () =>
      orNull(
        client.read(ref, `read label ${name}`, (parameters) =>
          rest.issues.getLabel({ owner, repo, name, ...parameters }),
        ),
      );
    await ensure<unknown>(look, () =>
      client.write(ref, `create label ${name}`, (parameters) =>
        rest.issues.createLabel({ owner, repo, name, ...(LABELS[name] ?? OTHER_LABEL), ...parameters }),
      ),
    );
  }

  return {
    async issue(ref, number) {
      const { owner, repo } = ref;
      const { data } = await client.read(ref, `read issue #${number}`, (parameters) =>
        rest.issues.get({ owner, repo, issue_number: number, ...parameters }),
      );
      // GitHub redirects a transferred issue to where it is now.
      const [nowOwner, nowRepo] = data.repository_url.split("/").slice(-2);
      if (`${nowOwner}/${nowRepo}`.toLowerCase() !== `${owner}/${repo}`.toLowerCase())
        throw new FunprmError("GITHUB_GONE", `issue #${number} of ${owner}/${repo} moved to ${nowOwner}/${nowRepo}`);
      return factsOf(data);
    },

    async issueWithLabel(ref, label) {
      const { owner, repo } = ref;
      const labelled = await client.read(ref, `read issues labelled ${label}`, (parameters) =>
        octokit.paginate(rest.issues.listForRepo, {
          owner,
          repo,
          labels: label,
          state: "open",
          direction: "asc",
          per_page: 100,
          ...parameters,
        }),
      );
      return labelled.map(factsOf).find((one) => !one.isPullRequest) ?? null;
    },

    async setReaction(ref, target, content) {
      if (target.kind === "review-comment") {
        if (content !== null) await reactByNode(client, ref, target.nodeId, content);
        return;
      }
      const bot = await client.botLogin();
      const reactions = reactionCalls(client, ref, target);
      const own = (await reactions.list()).filter((reaction) => reaction.user?.login === bot);
      for (const reaction of own) if (reaction.content !== content) await reactions.remove(reaction.id);
      // GitHub keeps one reaction of a kind a user: the same request twice is one reaction, so no second look is needed.
      if (content !== null && !own.some((reaction) => reaction.content === content)) await reactions.add(content);
    },

    async setLabels(ref, issue, change) {
      const { owner, repo } = ref;
      const readLabels = async () => {
        const { data } = await client.read(ref, `read labels of #${issue}`, (parameters) =>
          rest.issues.listLabelsOnIssue({ owner, repo, issue_number: issue, per_page: 100, ...parameters }),
        );
        return new Set(data.map((label) => label.name.toLowerCase()));
      };
      const present = await readLabels();
      const missing = change.add.filter((name) => !present.has(name.toLowerCase()));
      for (const name of missing) await createLabel(ref, name);
      if (missing.length > 0) {
        await setState(
          () =>
            client.write(ref, `label #${issue}`, (parameters) =>
              rest.issues.addLabels({ owner, repo, issue_number: issue, labels: missing, ...parameters }),
            ),
          async () => {
            const now = await readLabels();
            return missing.every((name) => now.has(name.toLowerCase()));
          },
        );
      }
      for (const name of change.remove) {
        if (!present.has(name.toLowerCase())) continue;
        await setState(
          () =>
            orNull(
              client.write(ref, `remove label ${name} of #${issue}`, (parameters) =>
                rest.issues.removeLabel({ owner, repo, issue_number: issue, name, ...parameters }),
              ),
            ),
          async () => !(await readLabels()).has(name.toLowerCase()),
        );
      }
    },

    async ensureComment(ref, issue, marker, body) {
      const { owner, repo } = ref;
      const bot = await client.botLogin();
      const wanted = markedBody(marker, body);
      const look = async () => {
        const comments = await client.read(ref, `read comments of #${issue}`, (parameters) =>
          octokit.paginate(rest.issues.listComments, {
            owner,
            repo,
            issue_number: issue,
            per_page: 100,
            ...parameters,
          }),
        );
        return comments.find((comment) => comment.user?.login === bot && comment.body?.startsWith(marker)) ?? null;
      };
      const found = await ensure(look, async () => {
        const { data } = await client.write(ref, `comment on #${issue}`, (parameters) =>
          rest.issues.createComment({ owner, repo, issue_number: issue, body: wanted, ...parameters }),
        );
        return data;
      });
      if (found.body !== wanted) {
        await setState(
          () =>
            client.write(ref, `edit comment ${found.id}`, (parameters) =>
              rest.issues.updateComment({ owner, repo, comment_id: found.id, body: wanted, ...parameters }),
            ),
          async () => (await look())?.body === wanted,
        );
      }
      return { id: found.id, url: found.html_url };
    },
  };
}

/** What an issue has in lists and alone alike. */
type Issue = {
  number: number;
  title: string;
  body?: string | null;
  state: string;
  locked: boolean;
  labels: (string | { name?: string | null })[];
  user: { login: string } | null;
  pull_request?: unknown;
  html_url: string;
};

function factsOf(data: Issue): IssueFacts {
  return {
    number: data.number,
    title: data.title,
    body: data.body ?? "",
    state: data.state === "closed" ? "closed" : "open",
    locked: data.locked,
    labels: data.labels.map((label) => (typeof label === "string" ? label : (label.name ?? ""))),
    author: data.user?.login ?? DELETED_ACCOUNT,
    isPullRequest: data.pull_request !== undefined,
    url: data.html_url,
  };
}

/** A write that sets a state: after an uncertain answer it is done when `holds` says so. */
async function setState(write: () => Promise<unknown>, holds: () => Promise<boolean>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!mayHaveHappened(error) || !(await holds())) throw error;
  }
}

const REACTIONS = {
  eyes: "EYES",
  rocket: "ROCKET",
  "+1": "THUMBS_UP",
  "-1": "THUMBS_DOWN",
  confused: "CONFUSED",
} as const;
const ADD_REACTION = `mutation($subjectId: ID!, $content: ReactionContent!) {
  addReaction(input: { subjectId: $subjectId, content: $content }) { reaction { content } }
}`;

/** The same reaction twice is one, so no look is needed. */
async function reactByNode(client: GitHubClient, ref: RepoRef, subjectId: string, content: ReactionContent) {
  await client.write<unknown>(ref, "react to a review comment", ({ headers, request }) =>
    client.octokit.graphql(ADD_REACTION, { headers, request, subjectId, content: REACTIONS[content] }),
  );
}

function reactionCalls(
  client: GitHubClient,
  ref: RepoRef,
  target: Exclude<ReactionTarget, { kind: "review-comment" }>,
) {
  const { octokit } = client;
  const { reactions } = octokit.rest;
  const { owner, repo } = ref;
  const at = target.kind === "issue" ? `issue #${target.number}` : `comment ${target.commentId}`;
  return {
    list: () =>
      client.read(ref, `read reactions to ${at}`, (parameters) =>
        target.kind === "issue"
          ? octokit.paginate(reactions.listForIssue, {
              owner,
              repo,
              issue_number: target.number,
              per_page: 100,
              ...parameters,
            })
          : octokit.paginate(reactions.listForIssueComment, {
              owner,
              repo,
              comment_id: target.commentId,
              per_page: 100,
              ...parameters,
            }),
      ),
    async add(content: ReactionContent): Promise<void> {
      await client.write<unknown>(ref, `react to ${at}`, (parameters) =>
        target.kind === "issue"
          ? reactions.createForIssue({ owner, repo, issue_number: target.number, content, ...parameters })
          : reactions.createForIssueComment({ owner, repo, comment_id: target.commentId, content, ...parameters }),
      );
    },
    async remove(reactionId: number): Promise<void> {
      try {
        await client.write<unknown>(ref, `remove the reaction to ${at}`, (parameters) =>
          target.kind === "issue"
            ? reactions.deleteForIssue({
                owner,
                repo,
                issue_number: target.number,
                reaction_id: reactionId,
                ...parameters,
              })
            : reactions.deleteForIssueComment({
                owner,
                repo,
                comment_id: target.commentId,
                reaction_id: reactionId,
                ...parameters,
              }),
        );
      } catch (error) {
        if (statusOf(error) !== 404) throw error;
      }
    },
  };
}
