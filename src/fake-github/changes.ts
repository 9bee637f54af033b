/** What people and the app do to issues and labels; each change is remembered and announced by its webhook. */
import { same, type World } from "./state.ts";
import { type Comment, type Issue, type Reaction, Refusal, type Repo } from "./types.ts";
import { commentView, issueView, labelView, reactionView } from "./views.ts";
import { pullView } from "./views-pull.ts";
import { emit } from "./webhooks.ts";

/** GitHub counts characters of a body up to this; one more is 422 "Body is too long" (product.md 4.3). */
const MAX_BODY = 65_536;

export function checkText(field: string, resource: string, text: string | null | undefined): string {
  const value = text ?? "";
  if (value.length > MAX_BODY) {
    throw new Refusal(422, "Validation Failed", [
      { resource, code: "custom", field, message: `${field} is too long (maximum is ${MAX_BODY} characters)` },
    ]);
  }
  return value;
}

export function isBot(world: World, login: string): boolean {
  return world.user(login).type === "Bot";
}

/** Writes are refused on an archived repository, and conversation on a locked issue by anyone without write access. */
export function checkWritable(repo: Repo): void {
  if (repo.archived) throw new Refusal(403, "Repository was archived so is read-only.");
}

export function checkConversation(issue: Issue): void {
  if (issue.locked) throw new Refusal(403, "Unable to create comment because issue is locked.");
}

function touch(world: World, issue: Issue): void {
  issue.updatedAt = world.now();
}

function subject(
  world: World,
  repo: Repo,
  issue: Issue,
): { event: "issues" | "pull_request"; payload: Record<string, unknown> } {
  if (issue.pull === null) return { event: "issues", payload: { issue: issueView(world, repo, issue) } };
  return {
    event: "pull_request",
    payload: { number: issue.number, pull_request: pullView(world, repo, issue, issue.pull) },
  };
}

export function announce(
  world: World,
  repo: Repo,
  issue: Issue,
  action: string,
  sender: string,
  extra: Record<string, unknown> = {},
): void {
  const { event, payload } = subject(world, repo, issue);
  emit(world, repo, { event, action, sender, payload: { ...payload, ...extra } });
}

export function newIssue(world: World, repo: Repo, login: string, text: { title: string; body: string }): Issue {
  const now = world.now();
  const issue: Issue = {
    id: world.nextId(),
    number: world.nextNumber(repo),
    title: text.title,
    body: text.body,
    state: "open",
    stateReason: null,
    labels: [],
    login,
    byApp: isBot(world, login),
    createdAt: now,
    updatedAt: now,
    closedAt: null,
    locked: false,
    transferredTo: null,
    reactions: [],
    comments: [],
    pull: null,
    events: [],
  };
  repo.issues.push(issue);
  return issue;
}

/** Emits `opened`, and one `labeled` per label, as GitHub does. */
export function openIssue(
  world: World,
  repo: Repo,
  login: string,
  text: { title: string; body: string; labels?: string[] },
): Issue {
  checkWritable(repo);
  const issue = newIssue(world, repo, login, { title: text.title, body: checkText("body", "Issue", text.body) });
  announce(world, repo, issue, "opened", login);
  addLabels(world, repo, issue, login, text.labels ?? []);
  return issue;
}

export function addLabels(world: World, repo: Repo, issue: Issue, login: string, names: string[]): void {
  checkWritable(repo);
  for (const name of names) {
    if (issue.labels.some((known) => same(known, name))) continue;
    const label = world.label(repo, name);
    issue.labels.push(label.name);
    issue.events.push({ at: world.now(), login, text: `added the ${label.name} label` });
    touch(world, issue);
    announce(world, repo, issue, "labeled", login, { label: labelView(world, repo, label) });
  }
}

export function removeLabel(world: World, repo: Repo, issue: Issue, login: string, name: string): void {
  checkWritable(repo);
  const at = issue.labels.findIndex((known) => same(known, name));
  if (at < 0) throw new Refusal(404, "Label does not exist");
  const label = world.label(repo, issue.labels[at]!);
  issue.labels.splice(at, 1);
  issue.events.push({ at: world.now(), login, text: `removed the ${label.name} label` });
  touch(world, issue);
  announce(world, repo, issue, "unlabeled", login, { label: labelView(world, repo, label) });
}

export function addComment(world: World, repo: Repo, issue: Issue, login: string, text: string): Comment {
  checkWritable(repo);
  if (world.role(repo, login).permission === "read" || isBot(world, login)) checkConversation(issue);
  const body = checkText("body", "IssueComment", text);
  if (body.trim() === "")
    throw new Refusal(422, "Validation Failed", [{ resource: "IssueComment", code: "missing_field", field: "body" }]);
  const now = world.now();
  const comment: Comment = {
    id: world.nextId(),
    body,
    login,
    byApp: isBot(world, login),
    createdAt: now,
    updatedAt: now,
    history: [body],
    reactions: [],
    minimized: null,
  };
  issue.comments.push(comment);
  touch(world, issue);
  emit(world, repo, {
    event: "issue_comment",
    action: "created",
    sender: login,
    payload: { issue: issueView(world, repo, issue), comment: commentView(world, repo, issue, comment) },
  });
  return comment;
}

export function editComment(
  world: World,
  repo: Repo,
  issue: Issue,
  comment: Comment,
  login: string,
  text: string,
): void {
  checkWritable(repo);
  const before = comment.body;
  comment.body = checkText("body", "IssueComment", text);
  comment.updatedAt = world.now();
  comment.history.push(comment.body);
  emit(world, repo, {
    event: "issue_comment",
    action: "edited",
    sender: login,
    payload: {
      issue: issueView(world, repo, issue),
      comment: commentView(world, repo, issue, comment),
      changes: { body: { from: before } },
    },
  });
}

/** The same reaction by the same login exists once. */
export function react(
  world: World,
  reactions: Reaction[],
  login: string,
  content: string,
): { status: 200 | 201; body: unknown } {
  const known = reactions.find((r) => r.login === login && r.content === content);
  if (known !== undefined) return { status: 200, body: reactionView(world, known) };
  const reaction = { id: world.nextId(), content, login, createdAt: world.now() };
  reactions.push(reaction);
  return { status: 201, body: reactionView(world, reaction) };
}

export function unreact(reactions: Reaction[], id: number): void {
  const at = reactions.findIndex((r) => r.id === id);
  if (at < 0) throw new Refusal(404, "Not Found");
  reactions.splice(at, 1);
}

export type IssueChange = {
  title?: string;
  body?: string | null;
  state?: "open" | "closed";
  stateReason?: Issue["stateReason"];
};

/** Edits title and body, closes, reopens; each announced on its own. */
export function changeIssue(world: World, repo: Repo, issue: Issue, login: string, change: IssueChange): void {
  checkWritable(repo);
  const changes: Record<string, { from: string }> = {};
  if (change.title !== undefined && change.title !== issue.title) {
    changes["title"] = { from: issue.title };
    issue.title = change.title;
  }
  if (change.body !== undefined && (change.body ?? "") !== issue.body) {
    changes["body"] = { from: issue.body };
    issue.body = checkText("body", issue.pull === null ? "Issue" : "PullRequest", change.body);
  }
  if (Object.keys(changes).length > 0) {
    touch(world, issue);
    announce(world, repo, issue, "edited", login, { changes });
  }
  if (change.state === undefined || change.state === issue.state) return;
  issue.state = change.state;
  issue.stateReason = change.state === "closed" ? (change.stateReason ?? "completed") : "reopened";
  issue.closedAt = change.state === "closed" ? world.now() : null;
  issue.events.push({ at: world.now(), login, text: change.state === "closed" ? "closed this" : "reopened this" });
  touch(world, issue);
  announce(world, repo, issue, change.state === "closed" ? "closed" : "reopened", login);
}
