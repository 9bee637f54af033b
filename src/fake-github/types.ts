/** What the fake GitHub remembers. Times are ISO 8601 in UTC to the second, as GitHub writes them. */

export type User = { id: number; login: string; type: "User" | "Bot" | "Organization" };

export type Label = { id: number; name: string; color: string; description: string | null };

export type Reaction = { id: number; content: string; login: string; createdAt: string };

export type Comment = {
  id: number;
  body: string;
  login: string;
  byApp: boolean;
  createdAt: string;
  updatedAt: string;
  /** Every body that the comment had, the first one first. */
  history: string[];
  reactions: Reaction[];
  minimized: string | null;
};

export type Issue = {
  id: number;
  number: number;
  title: string;
  body: string;
  state: "open" | "closed";
  stateReason: "completed" | "not_planned" | "reopened" | "duplicate" | null;
  labels: string[];
  login: string;
  byApp: boolean;
  createdAt: string;
  updatedAt: string;
  closedAt: string | null;
  locked: boolean;
  /** `owner/repo#number` when the issue moved away. */
  transferredTo: string | null;
  reactions: Reaction[];
  comments: Comment[];
  pull: Pull | null;
  /** What happened besides comments, for the page: label changes, pushes, closing. */
  events: { at: string; login: string; text: string }[];
};

export type Side = "LEFT" | "RIGHT";

export type ReviewComment = {
  id: number;
  reviewId: number;
  path: string;
  /** null for a comment on the whole file. */
  line: number | null;
  startLine: number | null;
  side: Side;
  startSide: Side | null;
  subjectType: "line" | "file";
  body: string;
  login: string;
  byApp: boolean;
  commitId: string;
  diffHunk: string;
  position: number | null;
  createdAt: string;
  inReplyTo: number | null;
  resolved: boolean;
  reactions: Reaction[];
};

export type Review = {
  id: number;
  body: string;
  state: "COMMENTED" | "APPROVED" | "CHANGES_REQUESTED" | "PENDING";
  login: string;
  byApp: boolean;
  commitId: string;
  submittedAt: string;
};

export type Pull = {
  id: number;
  /** The fork that the head stands in; null: this repository. A fork that was deleted is no longer among the repositories. */
  fork: { repositoryId: number; owner: string } | null;
  maintainerCanModify: boolean;
  headRef: string;
  headSha: string;
  baseRef: string;
  baseSha: string;
  /** Every commit that was the head: review comments may name any of these. */
  heads: string[];
  draft: boolean;
  merged: boolean;
  mergedAt: string | null;
  mergedBy: string | null;
  mergeCommitSha: string | null;
  requestedReviewers: string[];
  reviews: Review[];
  comments: ReviewComment[];
};

export type Annotation = {
  path: string;
  start_line: number;
  end_line: number;
  start_column?: number;
  end_column?: number;
  annotation_level: "notice" | "warning" | "failure";
  message: string;
  title?: string;
  raw_details?: string;
};

export type CheckAction = { label: string; description: string; identifier: string };

export type CheckRun = {
  id: number;
  /** Another app's, as continuous integration; the others are ours. */
  foreign: boolean;
  suiteId: number;
  name: string;
  headSha: string;
  externalId: string;
  detailsUrl: string | null;
  status: "queued" | "in_progress" | "completed";
  conclusion: string | null;
  startedAt: string;
  completedAt: string | null;
  title: string | null;
  summary: string | null;
  text: string | null;
  annotations: Annotation[];
  actions: CheckAction[];
};

/** `sizeInBytes` as GitHub states it; `location` in place of where the storage has it. */
export type Artifact = {
  id: number;
  name: string;
  zip: Buffer;
  sizeInBytes: number;
  expired: boolean;
  digest: string | null;
  location: string | null;
  createdAt: string;
};

/** Of GitHub Actions, newest first in a repository; each attempt ended. */
export type WorkflowRun = {
  id: number;
  name: string;
  event: string;
  headSha: string;
  headBranch: string;
  headRepositoryId: number;
  attempts: { conclusion: string; startedAt: string }[];
  artifacts: Artifact[];
};

/** A branch pattern (`*` within a segment, `**` across) that nobody may create or move. */
export type Ruleset = { id: number; name: string; pattern: string; rules: ("creation" | "update" | "deletion")[] };

export type Repo = {
  id: number;
  owner: string;
  name: string;
  /** Id of the repository that it was forked from. */
  forkOf: number | null;
  description: string | null;
  private: boolean;
  archived: boolean;
  /** Plans without draft pull requests answer 422 to `draft: true`. */
  draftsRefused: boolean;
  defaultBranch: string;
  gitDir: string;
  createdAt: string;
  pushedAt: string;
  labels: Label[];
  issues: Issue[];
  /** Role name by login (lower case): admin, maintain, write, triage, read or a custom one. */
  roles: Map<string, string>;
  /** Custom role → the legacy permission that it builds on. */
  customRoles: Map<string, "admin" | "write" | "read">;
  rulesets: Ruleset[];
  checkRuns: CheckRun[];
  workflowRuns: WorkflowRun[];
  /** Commits that GitHub signs: merges, and those of the app through the API without an author of its own. */
  verified: Set<string>;
  /** Login of whoever pushed or made a commit, where the server knows. */
  commitLogins: Map<string, string>;
};

export type Permissions = Record<string, string>;

export type App = {
  id: number;
  slug: string;
  name: string;
  owner: string;
  publicKey: string;
  webhookSecret: string;
  webhookUrl: string | null;
  permissions: Permissions;
  events: string[];
};

export type Installation = {
  id: number;
  account: string;
  repositoryIds: number[] | "all";
  suspended: boolean;
  createdAt: string;
};

export type Token = {
  token: string;
  installationId: number;
  repositoryIds: number[] | null;
  permissions: Permissions;
  expiresAt: number;
};

export type Delivery = {
  id: number;
  guid: string;
  deliveredAt: string;
  redelivery: boolean;
  duration: number;
  status: string;
  statusCode: number;
  event: string;
  action: string | null;
  installationId: number | null;
  repositoryId: number | null;
  requestHeaders: Record<string, string>;
  payload: Record<string, unknown>;
  responseHeaders: Record<string, string>;
  responseBody: string;
};

/** Something that the fake GitHub did not expect. `request`: the client broke the protocol; `response` and `webhook`: the fake itself did. */
export type Violation = { at: string; kind: "request" | "response" | "webhook"; where: string; message: string };

/** One write that took effect, through the API or by a person. */
export type Effect = {
  id: number;
  at: string;
  epochMs: number;
  operation: string;
  path: string;
  actor: string;
  status: number;
  body: unknown;
};

export type RequestRecord = {
  id: number;
  at: string;
  method: string;
  path: string;
  operation: string | null;
  status: number;
  fault: string | null;
};

/** Who is calling: nobody, the app by its JWT, or an installation by its token. */
export type Caller =
  | { kind: "anonymous" }
  | { kind: "app" }
  | { kind: "installation"; token: Token; installation: Installation };

export type FaultRule = {
  id: number;
  /** Regular expression on the method, e.g. `POST|PATCH`. */
  method: string;
  /** Regular expression on the path below `/api/v3` (`/graphql` for GraphQL, `/git/owner/repo.git/…` for git). */
  path: string;
  /**
   * `status` refuses before anything happens; `applies-then-fails` applies the request and then answers with `status`;
   * `drop` closes the connection before, `applies-then-drops` after applying; `delay` waits `milliseconds`, then answers as usual;
   * `rate-limit` is the primary limit (403, remaining 0), `secondary` the secondary one (`status` 403 or 429 with retry-after).
   */
  kind: "status" | "applies-then-fails" | "drop" | "applies-then-drops" | "delay" | "rate-limit" | "secondary";
  status: number;
  retryAfter: number | null;
  milliseconds: number;
  /** How many requests are still to be hit. */
  times: number;
  hits: number;
};

/** A refusal that is answered in GitHub's form. */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: unknown[] | undefined;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, errors?: unknown[], headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}
