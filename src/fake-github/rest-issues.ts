/** REST: issues, labels, comments, reactions. */
import { type Call, created, type Handler, listReply, ok, repoOf } from "./call.ts";
import {
  addComment,
  addLabels,
  changeIssue,
  checkWritable,
  editComment,
  openIssue,
  react,
  removeLabel,
  unreact,
} from "./changes.ts";
import { same } from "./state.ts";
import { type Comment, type Issue, type Reaction, Refusal, type Repo } from "./types.ts";
import { commentView, issueView, labelView, labelViews, reactionView } from "./views.ts";

function issueOf(call: Call): { repo: Repo; issue: Issue } {
  const repo = repoOf(call);
  const issue = call.world.issue(repo, Number(call.params["issue_number"]));
  if (issue.transferredTo !== null) {
    const [path, number] = issue.transferredTo.split("#");
    throw new Refusal(301, "Moved Permanently", undefined, {
      location: `${call.world.url}/api/v3/repos/${path}/issues/${number}`,
    });
  }
  return { repo, issue };
}

function commentOf(call: Call): { repo: Repo; issue: Issue; comment: Comment } {
  const repo = repoOf(call);
  return { repo, ...call.world.comment(repo, Number(call.params["comment_id"])) };
}

/** Labels come as names, as `{name}` objects, or as a bare list. */
function labelNames(body: unknown): string[] {
  const list = Array.isArray(body) ? body : ((body as { labels?: unknown[] })?.labels ?? []);
  return list.map((item) => (typeof item === "string" ? item : (item as { name: string }).name));
}

function ownComment(call: Call, login: string): void {
  if (!same(login, call.actor)) throw new Refusal(403, "Resource not accessible by integration");
}

function listReactions(call: Call, reactions: Reaction[]) {
  const content = call.query.get("content");
  return listReply(
    call,
    reactions.filter((r) => content === null || r.content === content),
    (r) => reactionView(call.world, r),
  );
}

export const issueHandlers: Record<string, Handler> = {
  "issues/list-for-repo": (call) => {
    const repo = repoOf(call);
    const state = call.query.get("state") ?? "open";
    const labels = (call.query.get("labels") ?? "").split(",").filter((name) => name !== "");
    const creator = call.query.get("creator");
    const items = repo.issues
      .filter((i) => i.transferredTo === null && (state === "all" || i.state === state))
      .filter((i) => labels.every((name) => i.labels.some((known) => same(known, name))))
      .filter((i) => creator === null || same(i.login, creator));
    return listReply(call, call.query.get("direction") === "asc" ? items : items.reverse(), (i) =>
      issueView(call.world, repo, i),
    );
  },
  "issues/create": (call) => {
    const repo = repoOf(call);
    return created(
      issueView(
        call.world,
        repo,
        openIssue(call.world, repo, call.actor, {
          title: String(call.body["title"]),
          body: call.body["body"] ?? "",
          labels: labelNames(call.body),
        }),
      ),
    );
  },
  "issues/get": (call) => {
    const { repo, issue } = issueOf(call);
    return ok(issueView(call.world, repo, issue));
  },
  "issues/update": (call) => {
    const { repo, issue } = issueOf(call);
    const { title, body, state, state_reason } = call.body;
    changeIssue(call.world, repo, issue, call.actor, {
      ...(title == null ? {} : { title: String(title) }),
      ...(body === undefined ? {} : { body }),
      ...(state === undefined ? {} : { state }),
      ...(state_reason === undefined ? {} : { stateReason: state_reason }),
    });
    if (call.body["labels"] !== undefined) setLabels(call, repo, issue);
    return ok(issueView(call.world, repo, issue));
  },

  "issues/list-labels-for-repo": (call) => {
    const repo = repoOf(call);
    return listReply(call, repo.labels, (label) => labelView(call.world, repo, label));
  },
  "issues/get-label": (call) => {
    const repo = repoOf(call);
    const label = repo.labels.find((l) => same(l.name, call.params["name"]!));
    if (label === undefined) throw new Refusal(404, "Not Found");
    return ok(labelView(call.world, repo, label));
  },
  "issues/create-label": (call) => {
    const repo = repoOf(call);
    checkWritable(repo);
    const { name, color, description } = call.body;
    const invalid = (code: string, field: string) =>
      new Refusal(422, "Validation Failed", [{ resource: "Label", code, field }]);
    if (repo.labels.some((l) => same(l.name, name))) throw invalid("already_exists", "name");
    if (color !== undefined && !/^[0-9a-fA-F]{6}$/.test(color)) throw invalid("invalid", "color");
    if ((description ?? "").length > 100) throw invalid("invalid", "description");
    return created(labelView(call.world, repo, call.world.label(repo, name, color ?? "ededed", description ?? null)));
  },
  "issues/list-labels-on-issue": (call) => {
    const { repo, issue } = issueOf(call);
    return ok(labelViews(call.world, repo, issue));
  },
  "issues/add-labels": (call) => {
    const { repo, issue } = issueOf(call);
    addLabels(call.world, repo, issue, call.actor, labelNames(call.body));
    return ok(labelViews(call.world, repo, issue));
  },
  "issues/set-labels": (call) => {
    const { repo, issue } = issueOf(call);
    setLabels(call, repo, issue);
    return ok(labelViews(call.world, repo, issue));
  },
  "issues/remove-label": (call) => {
    const { repo, issue } = issueOf(call);
    removeLabel(call.world, repo, issue, call.actor, call.params["name"]!);
    return ok(labelViews(call.world, repo, issue));
  },

  "issues/list-comments": (call) => {
    const { repo, issue } = issueOf(call);
    const since = call.query.get("since") ?? "";
    return listReply(
      call,
      issue.comments.filter((c) => c.updatedAt >= since),
      (c) => commentView(call.world, repo, issue, c),
    );
  },
  "issues/create-comment": (call) => {
    const { repo, issue } = issueOf(call);
    return created(
      commentView(call.world, repo, issue, addComment(call.world, repo, issue, call.actor, call.body["body"])),
    );
  },
  "issues/get-comment": (call) => {
    const { repo, issue, comment } = commentOf(call);
    return ok(commentView(call.world, repo, issue, comment));
  },
  "issues/update-comment": (call) => {
    const { repo, issue, comment } = commentOf(call);
    ownComment(call, comment.login);
    editComment(call.world, repo, issue, comment, call.actor, call.body["body"]);
    return ok(commentView(call.world, repo, issue, comment));
  },
  "issues/delete-comment": (call) => {
    const { repo, issue, comment } = commentOf(call);
    checkWritable(repo);
    issue.comments.splice(issue.comments.indexOf(comment), 1);
    return { status: 204 };
  },

  "reactions/list-for-issue": (call) => listReactions(call, issueOf(call).issue.reactions),
  "reactions/create-for-issue": (call) => {
    const { repo, issue } = issueOf(call);
    checkWritable(repo);
    return react(call.world, issue.reactions, call.actor, call.body["content"]);
  },
  "reactions/delete-for-issue": (call) => {
    unreact(issueOf(call).issue.reactions, Number(call.params["reaction_id"]));
    return { status: 204 };
  },
  "reactions/list-for-issue-comment": (call) => listReactions(call, commentOf(call).comment.reactions),
  "reactions/create-for-issue-comment": (call) => {
    const { repo, comment } = commentOf(call);
    checkWritable(repo);
    return react(call.world, comment.reactions, call.actor, call.body["content"]);
  },
  "reactions/delete-for-issue-comment": (call) => {
    unreact(commentOf(call).comment.reactions, Number(call.params["reaction_id"]));
    return { status: 204 };
  },
  "reactions/list-for-pull-request-review-comment": (call) => {
    const repo = repoOf(call);
    const id = Number(call.params["comment_id"]);
    const comment = repo.issues.flatMap((i) => i.pull?.comments ?? []).find((c) => c.id === id);
    if (comment === undefined) throw new Refusal(404, "Not Found");
    return listReactions(call, comment.reactions);
  },
};

function setLabels(call: Call, repo: Repo, issue: Issue): void {
  const wanted = labelNames(call.body);
  for (const name of [...issue.labels])
    if (!wanted.some((w) => same(w, name))) removeLabel(call.world, repo, issue, call.actor, name);
  addLabels(call.world, repo, issue, call.actor, wanted);
}
