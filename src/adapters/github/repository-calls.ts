/** Repositories, roles, files and commits. */
import { FunprmError } from "../../domain/errors.ts";
import type { CommitRequest, GitHost, RepoRef, Role } from "../../ports.ts";
import type { GitHubClient } from "./client.ts";
import { ensure, orNull } from "./ensure.ts";
import { statusOf } from "./refusal.ts";

type RepositoryCalls = Pick<
  GitHost,
  | "reachedRepositories"
  | "repository"
  | "role"
  | "readFile"
  | "branchSha"
  | "readToken"
  | "ensureBranch"
  | "ensureCommit"
  | "deleteBranch"
>;

/** Signed by GitHub and shown as Verified; `expectedHeadOid` makes it a compare-and-swap (product.md 4.5). */
const CREATE_COMMIT = `mutation($input: CreateCommitOnBranchInput!) {
  createCommitOnBranch(input: $input) { commit { oid } }
}`;

export function repositoryCalls(client: GitHubClient): RepositoryCalls {
  const { octokit } = client;
  const { rest } = octokit;

  async function branchSha(ref: RepoRef, branch: string): Promise<string | null> {
    const { owner, repo } = ref;
    try {
      const { data } = await client.read(ref, `read branch ${branch}`, (parameters) =>
        rest.git.getRef({ owner, repo, ref: `heads/${branch}`, ...parameters }),
      );
      return data.object.sha;
    } catch (error) {
      // 409: a repository without any commit.
      if (statusOf(error) === 404 || statusOf(error) === 409) return null;
      throw error;
    }
  }

  /** Whether the app itself made the branch's newest commit in this run: people can copy a trailer, not the author. */
  async function ownCommit(ref: RepoRef, sha: string, trailer: string): Promise<boolean> {
    const { owner, repo } = ref;
    const { data } = await client.read(ref, `read commit ${sha}`, (parameters) =>
      rest.repos.getCommit({ owner, repo, ref: sha, per_page: 1, ...parameters }),
    );
    const lastLine = data.commit.message.trimEnd().split("\n").at(-1);
    return data.author?.login === (await client.botLogin()) && lastLine === trailer;
  }

  return {
    branchSha,

    async reachedRepositories(installationId) {
      const reached = await client.asInstallation(installationId, "read the repositories", (parameters) =>
        octokit.paginate(rest.apps.listReposAccessibleToInstallation, { per_page: 100, ...parameters }),
      );
      return reached.map(({ id }) => id);
    },

    async repository(ref) {
      const { owner, repo } = ref;
      const { data } = await client.read(ref, "read repository", (parameters) =>
        rest.repos.get({ owner, repo, ...parameters }),
      );
      if (data.id !== ref.repositoryId)
        throw new FunprmError("GITHUB_GONE", `${owner}/${repo} is another repository now (id ${data.id})`);
      return {
        id: data.id,
        owner: data.owner.login,
        repo: data.name,
        defaultBranch: data.default_branch,
        private: data.private,
        archived: data.archived,
        cloneUrl: data.clone_url,
      };
    },

    async role(ref, login) {
      const { owner, repo } = ref;
      const answer = await orNull(
        client.read(ref, `read the role of ${login}`, (parameters) =>
          rest.repos.getCollaboratorPermissionLevel({ owner, repo, username: login, ...parameters }),
        ),
      );
      const permission = answer?.data.permission ?? "none";
      return (["admin", "write", "read"] as string[]).includes(permission) ? (permission as Role) : "none";
    },

    async readFile(ref, path, sha) {
      const { owner, repo } = ref;
      const answer = await orNull(
        client.read(ref, `read ${path}`, (parameters) =>
          rest.repos.getContent({ owner, repo, path, ref: sha, ...parameters }),
        ),
      );
      if (!answer || Array.isArray(answer.data) || answer.data.type !== "file") return null;
      const { data } = answer;
      if ("content" in data && data.encoding === "base64") return Buffer.from(data.content, "base64");
      // Over 1 MB the contents API leaves the content out.
      const blob = await client.read(ref, `read ${path}`, (parameters) =>
        rest.git.getBlob({ owner, repo, file_sha: data.sha, ...parameters }),
      );
      return Buffer.from(blob.data.content, "base64");
    },

    readToken: (ref) => client.token(ref, "checkout"),

    async ensureBranch(ref, branch, sha) {
      const { owner, repo } = ref;
      const look = async () => {
        const at = await branchSha(ref, branch);
        return at === null ? null : { sha: at };
      };
      return ensure(look, async () => {
        const { data } = await client.push(ref, `create branch ${branch}`, (parameters) =>
          rest.git.createRef({ owner, repo, ref: `refs/heads/${branch}`, sha, ...parameters }),
        );
        return { sha: data.object.sha };
      });
    },

    async ensureCommit(ref, commit) {
      const what = `commit to ${commit.branch}`;
      const look = async () => {
        const head = await branchSha(ref, commit.branch);
        if (head === null)
          throw new FunprmError("GITHUB_GONE", `${what} in ${ref.owner}/${ref.repo}: there is no such branch`);
        if (head === commit.expectedHead) return null;
        if (await ownCommit(ref, head, commit.trailer)) return { sha: head };
        throw new FunprmError(
          "GITHUB_CONFLICT",
          `${what} in ${ref.owner}/${ref.repo}: somebody else moved it to ${head}, expected ${commit.expectedHead}`,
        );
      };
      return ensure(look, async () => {
        const answer = await client.push(ref, what, ({ headers, request }) =>
          client.octokit.graphql<{ createCommitOnBranch: { commit: { oid: string } } }>(CREATE_COMMIT, {
            headers,
            request,
            input: commitInput(ref, commit),
          }),
        );
        return { sha: answer.createCommitOnBranch.commit.oid };
      });
    },

    async deleteBranch(ref, branch) {
      const { owner, repo } = ref;
      const gone = async () => ((await branchSha(ref, branch)) === null ? true : null);
      await ensure(gone, async () => {
        await client.push(ref, `delete branch ${branch}`, (parameters) =>
          rest.git.deleteRef({ owner, repo, ref: `heads/${branch}`, ...parameters }),
        );
        return true;
      });
    },
  };
}

function commitInput(ref: RepoRef, commit: CommitRequest) {
  const body = commit.body.trimEnd();
  return {
    branch: { repositoryNameWithOwner: `${ref.owner}/${ref.repo}`, branchName: commit.branch },
    expectedHeadOid: commit.expectedHead,
    message: {
      headline: commit.headline,
      body: body.endsWith(commit.trailer) ? body : `${body}\n${commit.trailer}`.trimStart(),
    },
    fileChanges: {
      additions: commit.additions.map(({ path, content }) => ({
        path,
        contents: Buffer.from(content).toString("base64"),
      })),
      deletions: commit.deletions.map((path) => ({ path })),
    },
  };
}
