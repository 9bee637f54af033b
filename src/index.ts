/** The Probot app: registers webhook handlers, nothing else. They verify (Probot), record, return. */
import type { Probot } from "probot";
import { receive, type Webhook } from "./app/webhooks/receive.ts";
import type { JobStore } from "./ports.ts";

export default function funprm(jobs: JobStore, wake: () => void): (app: Probot) => void {
  return (app) => {
    app.on(
      [
        "issues.labeled",
        "issues.unlabeled",
        "issues.closed",
        "issue_comment.created",
        "installation.deleted",
        "installation_repositories.removed",
        "pull_request.opened",
        "pull_request.reopened",
        "pull_request.ready_for_review",
        "pull_request.synchronize",
        "pull_request.closed",
        "pull_request_review_comment.created",
        "check_run.rerequested",
        "check_run.requested_action",
        "check_run.completed",
        "check_suite.rerequested",
        "check_suite.completed",
        "workflow_run.completed",
        "status",
        "push",
        "repository.edited",
        "repository.deleted",
      ],
      async ({ id, name, payload }) => {
        await receive({ id, name, payload } as unknown as Webhook, jobs, wake);
      },
    );
  };
}
