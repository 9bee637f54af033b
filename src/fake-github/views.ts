/** State to JSON in GitHub's shape: users, repositories, installations, labels, issues, comments, reactions. */
import type { World } from "./state.ts";
import type { Comment, Installation, Issue, Label, Permissions, Reaction, Repo, User } from "./types.ts";

export type Json = Record<string, unknown>;

export function api(world: World, path = ""): string {
  return `${world.url}/api/v3${path}`;
}

export function nodeId(kind: string, id: number): string {
  return `${kind}_kwDO${Buffer.from(String(id)).toString("base64url")}`;
}

const USER_URLS = [
  "followers",
  "following{/other_user}",
  "gists{/gist_id}",
  "starred{/owner}{/repo}",
  "subscriptions",
  "orgs",
  "repos",
  "events{/privacy}",
  "received_events",
];
const USER_URL_NAMES = [
  "followers",
  "following",
  "gists",
  "starred",
  "subscriptions",
  "organizations",
  "repos",
  "events",
  "received_events",
];

export function userView(world: World, login: string): Json {
  const user = world.user(login);
  const url = api(world, `/users/${encodeURIComponent(user.login)}`);
  return {
    login: user.login,
    id: user.id,
    node_id: nodeId(user.type === "Bot" ? "BOT" : "U", user.id),
    avatar_url: `${world.url}/_avatar/${encodeURIComponent(user.login)}`,
    gravatar_id: "",
    url,
    html_url: user.type === "Bot" ? `${world.url}/apps/${world.app.slug}` : `${world.url}/${user.login}`,
    ...Object.fromEntries(USER_URL_NAMES.map((name, at) => [`${name}_url`, `${url}/${USER_URLS[at]}`])),
    type: user.type,
    user_view_type: "public",
    site_admin: false,
  };
}

export function fullUserView(world: World, user: User): Json {
  return {
    ...userView(world, user.login),
    name: user.login,
    company: null,
    blog: "",
    location: null,
    email: null,
    hireable: null,
    bio: null,
    public_repos: world.repos.filter((r) => r.owner === user.login && !r.private).length,
    public_gists: 0,
    followers: 0,
    following: 0,
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
  };
}

const REPO_PATHS: Record<string, string> = {
  archive_url: "/{archive_format}{/ref}",
  assignees_url: "/assignees{/user}",
  blobs_url: "/git/blobs{/sha}",
  branches_url: "/branches{/branch}",
  collaborators_url: "/collaborators{/collaborator}",
  comments_url: "/comments{/number}",
  commits_url: "/commits{/sha}",
  compare_url: "/compare/{base}...{head}",
  contents_url: "/contents/{+path}",
  contributors_url: "/contributors",
  deployments_url: "/deployments",
  downloads_url: "/downloads",
  events_url: "/events",
  forks_url: "/forks",
  git_commits_url: "/git/commits{/sha}",
  git_refs_url: "/git/refs{/sha}",
  git_tags_url: "/git/tags{/sha}",
  hooks_url: "/hooks",
  issue_comment_url: "/issues/comments{/number}",
  issue_events_url: "/issues/events{/number}",
  issues_url: "/issues{/number}",
  keys_url: "/keys{/key_id}",
  labels_url: "/labels{/name}",
  languages_url: "/languages",
  merges_url: "/merges",
  milestones_url: "/milestones{/number}",
  notifications_url: "/notifications{?since,all,participating}",
  pulls_url: "/pulls{/number}",
  releases_url: "/releases{/id}",
  stargazers_url: "/stargazers",
  statuses_url: "/statuses/{sha}",
  subscribers_url: "/subscribers",
  subscription_url: "/subscription",
  tags_url: "/tags",
  teams_url: "/teams",
  trees_url: "/git/trees{/sha}",
};

export function repoUrl(world: World, repo: Repo): string {
  return api(world, `/repos/${repo.owner}/${repo.name}`);
}

export function htmlUrl(world: World, repo: Repo): string {
  return `${world.url}/${repo.owner}/${repo.name}`;
}

export function repoView(world: World, repo: Repo, permissions?: Permissions): Json {
  const url = repoUrl(world, repo);
  const html = htmlUrl(world, repo);
  const open = repo.issues.filter((i) => i.state === "open").length;
  return {
    id: repo.id,
    node_id: nodeId("R", repo.id),
    name: repo.name,
    full_name: `${repo.owner}/${repo.name}`,
    private: repo.private,
    owner: userView(world, repo.owner),
    html_url: html,
    description: repo.description,
    fork: repo.forkOf !== null,
    url,
    ...Object.fromEntries(Object.entries(REPO_PATHS).map(([name, path]) => [name, url + path])),
    git_url: `git:${html.replace(/^https?:/, "")}.git`,
    ssh_url: `git@127.0.0.1:${repo.owner}/${repo.name}.git`,
    clone_url: `${html}.git`,
    svn_url: html,
    homepage: null,
    language: null,
    forks: 0,
    forks_count: 0,
    stargazers_count: 0,
    watchers: 0,
    watchers_count: 0,
    size: 0,
    default_branch: repo.defaultBranch,
    open_issues: open,
    open_issues_count: open,
    is_template: false,
    topics: [],
    has_issues: true,
    has_projects: false,
    has_wiki: false,
    has_pages: false,
    has_downloads: true,
    has_discussions: false,
    archived: repo.archived,
    disabled: false,
    visibility: repo.private ? "private" : "public",
    mirror_url: null,
    license: null,
    allow_forking: true,
    web_commit_signoff_required: false,
    pushed_at: repo.pushedAt,
    created_at: repo.createdAt,
    updated_at: repo.pushedAt,
    ...(permissions === undefined ? {} : { permissions }),
  };
}

export function fullRepoView(world: World, repo: Repo): Json {
  return { ...repoView(world, repo), network_count: 0, subscribers_count: 0 };
}

export function appView(world: World): Json {
  const { app } = world;
  return {
    id: app.id,
    slug: app.slug,
    node_id: nodeId("A", app.id),
    client_id: `Iv23fake${app.id}`,
    owner: userView(world, app.owner),
    name: app.name,
    description: null,
    external_url: `${world.url}/apps/${app.slug}`,
    html_url: `${world.url}/apps/${app.slug}`,
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
    permissions: app.permissions,
    events: app.events,
    installations_count: world.installations.length,
  };
}

export function installationView(world: World, installation: Installation): Json {
  const account = world.user(installation.account);
  return {
    id: installation.id,
    account: userView(world, account.login),
    repository_selection: installation.repositoryIds === "all" ? "all" : "selected",
    access_tokens_url: api(world, `/app/installations/${installation.id}/access_tokens`),
    repositories_url: api(world, "/installation/repositories"),
    html_url: `${world.url}/settings/installations/${installation.id}`,
    app_id: world.app.id,
    app_slug: world.app.slug,
    client_id: `Iv23fake${world.app.id}`,
    target_id: account.id,
    target_type: account.type,
    permissions: world.app.permissions,
    events: world.app.events,
    created_at: installation.createdAt,
    updated_at: installation.createdAt,
    single_file_name: null,
    has_multiple_single_files: false,
    single_file_paths: [],
    suspended_by: null,
    suspended_at: installation.suspended ? installation.createdAt : null,
  };
}

export function labelView(world: World, repo: Repo, label: Label): Json {
  return {
    id: label.id,
    node_id: nodeId("LA", label.id),
    url: `${repoUrl(world, repo)}/labels/${encodeURIComponent(label.name)}`,
    name: label.name,
    color: label.color,
    default: false,
    description: label.description,
  };
}

export function labelViews(world: World, repo: Repo, issue: Issue): Json[] {
  return issue.labels.map((name) => labelView(world, repo, world.label(repo, name)));
}

const CONTENTS = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];

export function reactionRollup(url: string, reactions: Reaction[]): Json {
  return {
    url: `${url}/reactions`,
    total_count: reactions.length,
    ...Object.fromEntries(CONTENTS.map((content) => [content, reactions.filter((r) => r.content === content).length])),
  };
}

export function reactionView(world: World, reaction: Reaction): Json {
  return {
    id: reaction.id,
    node_id: nodeId("REA", reaction.id),
    user: userView(world, reaction.login),
    content: reaction.content,
    created_at: reaction.createdAt,
  };
}

export function association(world: World, repo: Repo, login: string): string {
  if (login.toLowerCase() === repo.owner.toLowerCase()) return "OWNER";
  return repo.roles.has(login.toLowerCase()) && world.user(login).type === "User" ? "COLLABORATOR" : "NONE";
}

export function issueView(world: World, repo: Repo, issue: Issue): Json {
  const url = `${repoUrl(world, repo)}/issues/${issue.number}`;
  const html = `${htmlUrl(world, repo)}/${issue.pull ? "pull" : "issues"}/${issue.number}`;
  return {
    url,
    repository_url: repoUrl(world, repo),
    labels_url: `${url}/labels{/name}`,
    comments_url: `${url}/comments`,
    events_url: `${url}/events`,
    html_url: html,
    id: issue.id,
    node_id: nodeId(issue.pull ? "PR" : "I", issue.id),
    number: issue.number,
    title: issue.title,
    user: userView(world, issue.login),
    labels: labelViews(world, repo, issue),
    state: issue.state,
    locked: issue.locked,
    assignee: null,
    assignees: [],
    milestone: null,
    comments: issue.comments.length,
    created_at: issue.createdAt,
    updated_at: issue.updatedAt,
    closed_at: issue.closedAt,
    author_association: association(world, repo, issue.login),
    active_lock_reason: null,
    ...(issue.pull === null
      ? {}
      : {
          draft: issue.pull.draft,
          pull_request: {
            url: `${repoUrl(world, repo)}/pulls/${issue.number}`,
            html_url: html,
            diff_url: `${html}.diff`,
            patch_url: `${html}.patch`,
            merged_at: issue.pull.mergedAt,
          },
        }),
    body: issue.body,
    closed_by: null,
    reactions: reactionRollup(url, issue.reactions),
    timeline_url: `${url}/timeline`,
    performed_via_github_app: issue.byApp ? appView(world) : null,
    state_reason: issue.stateReason,
  };
}

export function commentView(world: World, repo: Repo, issue: Issue, comment: Comment): Json {
  const url = `${repoUrl(world, repo)}/issues/comments/${comment.id}`;
  return {
    url,
    html_url: `${htmlUrl(world, repo)}/${issue.pull ? "pull" : "issues"}/${issue.number}#issuecomment-${comment.id}`,
    issue_url: `${repoUrl(world, repo)}/issues/${issue.number}`,
    id: comment.id,
    node_id: nodeId("IC", comment.id),
    user: userView(world, comment.login),
    created_at: comment.createdAt,
    updated_at: comment.updatedAt,
    author_association: association(world, repo, comment.login),
    body: comment.body,
    reactions: reactionRollup(url, comment.reactions),
    performed_via_github_app: comment.byApp ? appView(world) : null,
  };
}
