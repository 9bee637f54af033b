/** Everything the fake GitHub knows, and the look-ups on it. */
import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import {
  type App,
  type CheckRun,
  type Comment,
  type Delivery,
  type Effect,
  type FaultRule,
  type Installation,
  type Issue,
  type Pull,
  Refusal,
  type Repo,
  type RequestRecord,
  type Ruleset,
  type Token,
  type User,
  type Violation,
} from "./types.ts";

/** Roles of GitHub itself, and the legacy permission that the API reports for each. */
const LEGACY_PERMISSION: Record<string, "admin" | "write" | "read"> = {
  admin: "admin",
  maintain: "write",
  write: "write",
  triage: "read",
  read: "read",
};

export class World {
  readonly app: App;
  readonly folder: string;
  /** Where this server answers, without a final slash; known once it listens. */
  url = "";
  /** The same of the host that artifacts are on. */
  storageUrl = "";
  readonly users = new Map<string, User>();
  readonly repos: Repo[] = [];
  readonly installations: Installation[] = [];
  readonly tokens = new Map<string, Token>();
  readonly deliveries: Delivery[] = [];
  readonly violations: Violation[] = [];
  readonly effects: Effect[] = [];
  readonly requests: RequestRecord[] = [];
  readonly storageRequests: { path: string; headers: IncomingHttpHeaders }[] = [];
  faults: FaultRule[] = [];
  /** Primary limit per token and hour. */
  readonly rateLimit = 5000;
  readonly rateUsed = new Map<string, number>();
  private lastId = 1000;

  constructor(app: App, folder: string) {
    this.app = app;
    this.folder = folder;
    this.addUser(app.owner, "User");
    this.addUser(this.botLogin, "Bot");
  }

  get botLogin(): string {
    return `${this.app.slug}[bot]`;
  }

  nextId(): number {
    this.lastId += 1;
    return this.lastId;
  }

  now(): string {
    return new Date().toISOString().replace(/\.\d+Z$/, "Z");
  }

  addUser(login: string, type: User["type"] = "User"): User {
    const known = this.users.get(login.toLowerCase());
    if (known !== undefined) return known;
    const user: User = { id: this.nextId(), login, type };
    this.users.set(login.toLowerCase(), user);
    return user;
  }

  user(login: string): User {
    const user = this.users.get(login.toLowerCase());
    if (user === undefined) throw new Refusal(404, `no user ${login}`);
    return user;
  }

  repo(owner: string, name: string): Repo {
    const repo = this.repos.find((r) => same(r.owner, owner) && same(r.name, name));
    if (repo === undefined) throw new Refusal(404, "Not Found");
    return repo;
  }

  repoById(id: number): Repo {
    const repo = this.repos.find((r) => r.id === id);
    if (repo === undefined) throw new Refusal(404, "Not Found");
    return repo;
  }

  newGitDir(owner: string, name: string): string {
    return join(this.folder, owner.toLowerCase(), `${name.toLowerCase()}.git`);
  }

  issue(repo: Repo, number: number): Issue {
    const issue = repo.issues.find((i) => i.number === number);
    if (issue === undefined) throw new Refusal(404, "Not Found");
    return issue;
  }

  pull(repo: Repo, number: number): { issue: Issue; pull: Pull } {
    const issue = this.issue(repo, number);
    if (issue.pull === null) throw new Refusal(404, "Not Found");
    return { issue, pull: issue.pull };
  }

  comment(repo: Repo, id: number): { issue: Issue; comment: Comment } {
    for (const issue of repo.issues) {
      const comment = issue.comments.find((c) => c.id === id);
      if (comment !== undefined) return { issue, comment };
    }
    throw new Refusal(404, "Not Found");
  }

  checkRun(repo: Repo, id: number): CheckRun {
    const run = repo.checkRuns.find((r) => r.id === id);
    if (run === undefined) throw new Refusal(404, "Not Found");
    return run;
  }

  nextNumber(repo: Repo): number {
    return Math.max(0, ...repo.issues.map((i) => i.number)) + 1;
  }

  /** Creates the label with GitHub's default look when the repository has none of that name. */
  label(repo: Repo, name: string, color = "ededed", description: string | null = null) {
    const known = repo.labels.find((l) => same(l.name, name));
    if (known !== undefined) return known;
    const label = { id: this.nextId(), name, color, description };
    repo.labels.push(label);
    return label;
  }

  installationOf(repo: Repo): Installation | null {
    return this.installations.find((i) => same(i.account, repo.owner) && covers(i.repositoryIds, repo.id)) ?? null;
  }

  installation(id: number): Installation {
    const found = this.installations.find((i) => i.id === id);
    if (found === undefined) throw new Refusal(404, "Not Found");
    return found;
  }

  reposOf(installation: Installation): Repo[] {
    return this.repos.filter((r) => same(r.owner, installation.account) && covers(installation.repositoryIds, r.id));
  }

  /** Role name and legacy permission of a login; `none` for a stranger to a private repository. */
  role(repo: Repo, login: string): { permission: "admin" | "write" | "read" | "none"; roleName: string } {
    const roleName = same(login, repo.owner) ? "admin" : repo.roles.get(login.toLowerCase());
    if (roleName === undefined)
      return repo.private ? { permission: "none", roleName: "none" } : { permission: "read", roleName: "read" };
    return { permission: LEGACY_PERMISSION[roleName] ?? repo.customRoles.get(roleName) ?? "read", roleName };
  }

  /** Shape of today's installation tokens: `ghs_APPID_JWT`, longer than 40 characters. */
  newToken(): string {
    const part = (bytes: number) => randomBytes(bytes).toString("base64url");
    return `ghs_${this.app.id}_${part(24)}.${part(60)}.${part(32)}`;
  }

  violation(kind: Violation["kind"], where: string, message: string): void {
    this.violations.push({ at: this.now(), kind, where, message });
  }
}

export function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function covers(ids: number[] | "all", id: number): boolean {
  return ids === "all" || ids.includes(id);
}

/** The rule of a ruleset that forbids this on the branch, or null. */
export function forbidden(repo: Repo, branch: string, rule: Ruleset["rules"][number]): Ruleset | null {
  return repo.rulesets.find((set) => set.rules.includes(rule) && matches(set.pattern, branch)) ?? null;
}

export function matches(pattern: string, branch: string): boolean {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === "**" ? ".*" : part === "*" ? "[^/]*" : part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")))
    .join("");
  return new RegExp(`^${source}$`).test(branch);
}
