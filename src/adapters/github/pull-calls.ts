/** Pull requests and their reviews. */
import { DELETED_ACCOUNT } from "../../domain/outcome.ts";
import type { GitHost, PullRequestFacts, RepoRef, ReviewComment } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";
import { checkedBody, ensure, markedBody } from "./ensure.ts";
import { mayHaveHappened, statusOf } from "./refusal.ts";

type PullCalls = Pick<
  GitHost,
  | "ensurePullRequest"
  | "updatePullRequest"
  | "pullRequest"
  | "ownOpenPullRequests"
  | "pullRequestFiles"
  | "requestReviewer"
  | "ensureReview"
>;

/** What a pull request has in lists and alone alike. */
type Pull = {
  number: number;
  node_id: string;
  html_url: string;
  title: string;
  body: string | null;
  draft?: boolean;
  state: string;
  merged?: boolean;
  merged_at: string | null;
  head: { ref: string; sha: string };
  base: { ref: string; sha: string };
  user: { login: string } | null;
  labels: { name: string }[];
  changed_files?: number;
};

const NO_DRAFTS = "\n\n> This repository allows no draft pull requests: please treat this one as a draft.\n";

export function pullCalls(client: GitHubClient): PullCalls {
  const { octokit } = client;
  const { rest } = octokit;

  async function pullRequest(ref: RepoRef, number: number): Promise<PullRequestFacts> {
    const { owner, repo } = ref;
    const { data } = await client.read(ref, `read pull request #${number}`, (parameters) =>
      rest.pulls.get({ owner, repo, pull_number: number, ...parameters }),
    );
    return facts(data);
  }

  async function ownOpen(ref: RepoRef, head?: string): Promise<PullRequestFacts[]> {
    const { owner, repo } = ref;
    const bot = await client.botLogin();
    const pulls = await client.read(ref, "read open pull requests", (parameters) =>
      octokit.paginate(rest.pulls.list, {
        owner,
        repo,
        state: "open",
        per_page: 100,
        ...(head === undefined ? {} : { head: `${owner}:${head}` }),
        ...parameters,
      }),
    );
    return pulls.filter((pull) => pull.user?.login === bot).map(facts);
  }

  return {
    pullRequest,

    ownOpenPullRequests: (ref) => ownOpen(ref),

    async ensurePullRequest(ref, pull) {
      const { owner, repo } = ref;
      const { head, base, title, draft } = pull;
      const body = checkedBody(pull.body);
      const look = async () => (await ownOpen(ref, head)).find((one) => one.headRef === head) ?? null;
      const create = async (change: { title: string; body: string; draft: boolean }) => {
        const { data } = await client.write(ref, `open pull request from ${head}`, (parameters) =>
          rest.pulls.create({ owner, repo, head, base, ...change, ...parameters }),
        );
        return facts(data);
      };
      return ensure(look, async () => {
        try {
          return await create({ title, body, draft });
        } catch (error) {
          // GitHub has no code for "no drafts here", so any 422 of a draft is tried once as a normal pull request.
          if (!draft || statusOf(error) !== 422) throw error;
          const found = await look();
          if (found) return found;
          return create({ title: `[draft] ${title}`, body: checkedBody(body.trimEnd() + NO_DRAFTS), draft: false });
        }
      });
    },

    async updatePullRequest(ref, number, change) {
      const { owner, repo } = ref;
      const now = await pullRequest(ref, number);
      const holds = (one: PullRequestFacts) =>
        (change.title === undefined || one.title === change.title) &&
        (change.body === undefined || one.body === change.body);
      if (holds(now)) return;
      if (change.body !== undefined) checkedBody(change.body);
      try {
        await client.write(ref, `edit pull request #${number}`, (parameters) =>
          rest.pulls.update({ owner, repo, pull_number: number, ...change, ...parameters }),
        );
      } catch (error) {
        if (!mayHaveHappened(error) || !holds(await pullRequest(ref, number))) throw error;
      }
    },

    async pullRequestFiles(ref, number) {
      const { owner, repo } = ref;
      const files = await client.read(ref, `read files of #${number}`, (parameters) =>
        octokit.paginate(rest.pulls.listFiles, { owner, repo, pull_number: number, per_page: 100, ...parameters }),
      );
      return files.map((file) => ({
        path: file.filename,
        previousPath: file.previous_filename ?? null,
        status: file.status,
        additions: file.additions,
        deletions: file.deletions,
        patch: file.patch ?? null,
      }));
    },

    async requestReviewer(ref, number, login) {
      const { owner, repo } = ref;
      try {
        await client.write(ref, `ask ${login} to review #${number}`, (parameters) =>
          rest.pulls.requestReviewers({ owner, repo, pull_number: number, reviewers: [login], ...parameters }),
        );
      } catch (error) {
        if (![403, 404, 422].includes(statusOf(error) ?? 0)) throw error;
      }
    },

    async ensureReview(ref, number, review) {
      const { owner, repo } = ref;
      const bot = await client.botLogin();
      const look = async () => {
        const reviews = await client.read(ref, `read reviews of #${number}`, (parameters) =>
          octokit.paginate(rest.pulls.listReviews, { owner, repo, pull_number: number, per_page: 100, ...parameters }),
        );
        const own = reviews.find((one) => one.user?.login === bot && one.body.startsWith(review.marker));
        if (!own) return null;
        const comments = await client.read(ref, `read review ${own.id}`, (parameters) =>
          octokit.paginate(rest.pulls.listCommentsForReview, {
            owner,
            repo,
            pull_number: number,
            review_id: own.id,
            per_page: 100,
            ...parameters,
          }),
        );
        return { id: own.id, url: own.html_url, comments: comments.length };
      };
      return ensure(look, async () => {
        const { data } = await client.write(ref, `review #${number}`, (parameters) =>
          rest.pulls.createReview({
            owner,
            repo,
            pull_number: number,
            commit_id: review.commitSha,
            event: "COMMENT",
            body: markedBody(review.marker, review.body),
            comments: review.comments.map(reviewComment),
            ...parameters,
          }),
        );
        return { id: data.id, url: data.html_url, comments: review.comments.length };
      });
    },
  };
}

function reviewComment(comment: ReviewComment) {
  const { path, line, side, startLine } = comment;
  const body = checkedBody(comment.body);
  const range = startLine === null || startLine === line ? {} : { start_line: startLine, start_side: side };
  return { path, body, line, side, ...range };
}

function facts(pull: Pull): PullRequestFacts {
  return {
    number: pull.number,
    nodeId: pull.node_id,
    url: pull.html_url,
    title: pull.title,
    body: pull.body ?? "",
    draft: pull.draft ?? false,
    state: pull.state === "closed" ? "closed" : "open",
    merged: pull.merged ?? pull.merged_at !== null,
    headRef: pull.head.ref,
    headSha: pull.head.sha,
    baseRef: pull.base.ref,
    baseSha: pull.base.sha,
    author: pull.user?.login ?? DELETED_ACCOUNT,
    labels: pull.labels.map((label) => label.name),
    changedFiles: pull.changed_files ?? null,
  };
}
