/**
 * What became of a pull request (product.md 4.9): a pure fold over the events of its life. Events may arrive late, twice and
 * in any order. Unknown is never a negative, pending stays pending.
 */
import type { Verdict } from "./candidate.ts";
import { isRunnerFile } from "./repository-tests.ts";

/** How long after the merge a revert or a fix still counts, in milliseconds: 30 days. */
export const SURVIVAL_WINDOW = 30 * 24 * 3600 * 1000;

/** A function as it stands at one commit. `id` is `functionId`, `hash` the `bodyHash` of review-scope.ts: its text as rendered. */
export type FunctionAt = {
  id: string;
  hash: string;
  /** Hash of the text that it replaces; absent for one that is new. */
  before?: string;
};

/** The one name of a function in the log, in labels and in reviews: `src/a.py#Class.method`. */
export function functionId(path: string, qualifiedName: string): string {
  return `${path}#${qualifiedName}`;
}

/** GitHub's conclusions of check runs, suites and workflow runs; a status maps success, failure|error and pending onto them. */
export type Conclusion =
  | "success"
  | "failure"
  | "neutral"
  | "skipped"
  | "cancelled"
  | "timed_out"
  | "startup_failure"
  | "action_required"
  | "stale";

/** A check as GitHub shows it. `attempt` grows with every attempt of one name; `at` is milliseconds since 1970. */
export type SeenCheck = { name: string; attempt: number; conclusion: Conclusion | null; at: number };

export type TestResult = {
  id: string;
  /** `error`: it could not be loaded or set up, as on a base without the name it imports. */
  outcome: "passed" | "failed" | "error" | "skipped";
  /** Ids of the functions it executed, measured; empty without coverage. */
  executes: readonly string[];
  /** Ids of the functions in the traceback of its failure. */
  traceback: readonly string[];
};

export type DefaultBranchCommit = {
  sha: string;
  message: string;
  /** Ids of the functions it changed; null when that is not known. */
  functions: readonly string[] | null;
};

/** What running the merged tests on one stored candidate said. */
export type JudgedCandidate = {
  /** Id of the stored run, and the candidate's index in it. */
  run: string;
  candidate: number;
  /**
   * `merge`: with the tests of the merged head. `shadow`: the two best by reward, with the tests of base, when the run ended:
   * no label, but it says whether the better one was ranked first.
   */
  occasion: "merge" | "shadow";
  /** Its score by reward when the run ranked it, and by which model, `name@version`. */
  score: number | null;
  modelVersion: string | null;
  /** Commit whose tests judged it. */
  sha: string;
  verdict: Verdict;
  /** 1 passes what the merged head passes, 0 does not; null: no label, `reason` says why. */
  label: 0 | 1 | null;
  reason: string;
  /** Of the sandbox that ran it (security.md section 3), and how far its word is to be believed. */
  tier: number;
  attested: "in-process";
  logSha256: string;
  /** The functions it writes, in chain order. */
  functions: readonly FunctionAt[];
  results: readonly TestResult[];
};

type EventBody =
  /** `actor` opened it; for a pull request of the app, the person who asked for it. */
  | { kind: "opened"; number: number; head: string; base: string; defaultBranch: string }
  /** The functions as the app proposed them; absent for a person's pull request. */
  | { kind: "proposed"; functions: readonly FunctionAt[] }
  /** A push to the pull request's branch, forced or not. */
  | { kind: "head_moved"; head: string; base: string }
  /** What one head changes against its base. */
  | { kind: "changes"; head: string; paths: readonly string[]; functions: readonly FunctionAt[] }
  | { kind: "queued"; sha: string }
  | { kind: "dequeued"; sha: string }
  | { kind: "closed" }
  | { kind: "reopened" }
  /** `final`: what stands on the default branch: one commit, or several after a rebase. */
  | { kind: "merged"; head: string; testMerge: string | null; final: readonly string[] }
  /** `attempt` counts from 1; `conclusion` null = still running. The base's checks come as events of the base's SHA. */
  | { kind: "check"; sha: string; name: string; attempt: number; conclusion: Conclusion | null; required: boolean }
  /** One run of the tests at one commit; `run` with `attempt` names it. */
  | { kind: "tests"; sha: string; run: string; attempt: number; results: readonly TestResult[] }
  | { kind: "thread_resolved"; function: string }
  /** `/funprm right|wrong` on a finding, by someone with write access. */
  | { kind: "verdict"; function: string; verdict: "right" | "wrong" }
  | { kind: "pushed"; branch: string; commits: readonly DefaultBranchCommit[] }
  | { kind: "default_branch_renamed"; from: string; to: string }
  | { kind: "fork_deleted" }
  /** The pull request closes the issue of a stored run; `by` says how it was found. */
  | { kind: "linked"; run: string; issue: number; by: "run" | "trailer" | "marker" | "closes" }
  | ({ kind: "judged" } & JudgedCandidate);

/** `id` names the fact, not its delivery: a redelivery has the same. `at` is milliseconds since 1970, `actor` a login. */
export type OutcomeEvent = { id: string; at: number; actor: string } & EventBody;
export type EventOf<K extends OutcomeEvent["kind"]> = Extract<OutcomeEvent, { kind: K }>;

export type ChecksVerdict = {
  /** `unknown`: none ran, still running, no conclusion that says anything, flaky, or already red on base. */
  state: "green" | "red" | "unknown";
  /** One line: why. */
  reason: string;
  events: string[];
};

export type LaterEdit = { commit: string; actor: string; event: string; functions: readonly string[] | null };

export type Outcome = {
  state: "pending" | "merged" | "closed" | "reverted";
  /** Whether nothing later can change the state: closed, reverted, or merged and the survival window is over. */
  settled: boolean;
  number: number | null;
  /** Who answers for it; null when that is not known, and nothing then is a label. */
  author: string | null;
  head: string | null;
  base: string | null;
  mergedAt: number | null;
  /** The commits at which checks and tests speak for what was merged: head, test merge, queue, final. */
  shas: string[];
  checks: ChecksVerdict;
  /** Whether the head changes what decides its own checks; null when its changes are not known. */
  ciChanged: boolean | null;
  /** Reverts of it that still stand, and later commits with a fix keyword, both within the window. */
  reverts: LaterEdit[];
  fixes: LaterEdit[];
  /** Ids of the events on which the state rests. */
  evidence: string[];
};

/**
 * State at `now` (milliseconds): events after `now` are not seen. Equal for every order of delivery and for redeliveries.
 */
export function outcomeOf(delivered: readonly OutcomeEvent[], now: number): Outcome {
  const events = history(delivered, now);
  const opened = lastOf(events, "opened");
  const merged = ofKind(events, "merged")[0] ?? null;
  const end = merged ?? events.findLast((event) => event.kind === "closed" || event.kind === "reopened");
  const moved = lastOf(events, "head_moved");
  const head = merged?.head ?? moved?.head ?? opened?.head ?? null;
  const base = ofKind(events, "head_moved").findLast((event) => event.head === head)?.base ?? opened?.base ?? null;
  const shas = head === null ? [] : commitsOf(events, head, merged);
  const changes = ofKind(events, "changes").findLast((event) => event.head === head);
  const later = merged === null ? { reverts: [], fixes: [] } : laterEdits(events, merged, opened);
  const state =
    merged === null
      ? end?.kind === "closed"
        ? "closed"
        : "pending"
      : later.reverts.length > 0
        ? "reverted"
        : "merged";
  return {
    state,
    settled: state === "closed" || (merged !== null && now >= merged.at + SURVIVAL_WINDOW),
    number: opened?.number ?? null,
    author: opened === null || opened.actor.toLowerCase() === DELETED_ACCOUNT ? null : opened.actor,
    head,
    base,
    mergedAt: merged?.at ?? null,
    shas,
    checks: checksVerdict(ofKind(events, "check"), shas, base),
    ciChanged: changes === undefined ? null : changes.paths.some(decidesChecks),
    ...later,
    evidence: [...new Set([...(end ? [end.id] : []), ...later.reverts.map((edit) => edit.event)])],
  };
}

/** The events up to `now`, each fact once, in the order in which they happened. */
export function history(delivered: readonly OutcomeEvent[], now: number): OutcomeEvent[] {
  const facts = new Map<string, { event: OutcomeEvent; text: string }>();
  for (const event of delivered) {
    if (event.at > now) continue;
    const text = JSON.stringify(event);
    const known = facts.get(event.id);
    // Two deliveries of one fact which differ: the later one, else the greater text, so that the order of delivery never decides.
    if (known === undefined || event.at > known.event.at || (event.at === known.event.at && text > known.text))
      facts.set(event.id, { event, text });
  }
  return [...facts.values()]
    .map(({ event }) => event)
    .sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

export function ofKind<K extends OutcomeEvent["kind"]>(events: readonly OutcomeEvent[], kind: K): EventOf<K>[] {
  return events.filter((event): event is EventOf<K> => event.kind === kind);
}

/** Commits that a fact speaks of: a check or test run of one of them speaks of the same pull request. */
export function commitsNamed(event: OutcomeEvent): string[] {
  switch (event.kind) {
    case "opened":
    case "head_moved":
      return [event.head, event.base];
    case "changes":
      return [event.head];
    case "merged":
      return [event.head, ...(event.testMerge === null ? [] : [event.testMerge]), ...event.final];
    case "queued":
    case "dequeued":
    case "check":
    case "tests":
    case "judged":
      return [event.sha];
    default:
      return [];
  }
}

/**
 * The login under which GitHub shows every account that was deleted. It is many people, so it answers for nothing: with one cap
 * for all, each would use up the others'; with one apiece, whoever deletes accounts would have none; and who had their labels
 * removed would come back under it.
 */
export const DELETED_ACCOUNT = "ghost";
/** In place of a login; none has brackets around it. */
export const UNKNOWN_ACTOR = "(unknown)";
const REMOVED_ACTOR = "(removed)";
/** Facts that say what `actor` thinks of code; the others only say that something took place. */
const OPINIONS: ReadonlySet<OutcomeEvent["kind"]> = new Set(["pushed", "verdict", "thread_resolved"]);

/**
 * One pull request's facts as if `actor` had neither opened it nor pushed, reverted or judged anything: what is left names
 * them nowhere. Empty when they opened it. Logins are compared without case.
 */
export function withoutActor(events: readonly OutcomeEvent[], actor: string): OutcomeEvent[] {
  const isTheirs = (event: OutcomeEvent) => event.actor.toLowerCase() === actor.toLowerCase();
  if (events.some((event) => event.kind === "opened" && isTheirs(event))) return [];
  return events.flatMap((event) =>
    !isTheirs(event) ? [event] : OPINIONS.has(event.kind) ? [] : [{ ...event, actor: REMOVED_ACTOR }],
  );
}

function lastOf<K extends OutcomeEvent["kind"]>(events: readonly OutcomeEvent[], kind: K): EventOf<K> | null {
  return ofKind(events, kind).at(-1) ?? null;
}

function commitsOf(events: readonly OutcomeEvent[], head: string, merged: EventOf<"merged"> | null): string[] {
  const left = new Set(ofKind(events, "dequeued").map((event) => event.sha));
  const queued = ofKind(events, "queued").findLast((event) => !left.has(event.sha));
  const all = [head, merged?.testMerge, merged === null ? null : queued?.sha, ...(merged?.final ?? [])];
  return [...new Set(all.filter((sha) => sha !== null && sha !== undefined))];
}

const CI_PATHS = [
  /^\.github\/(workflows|actions)\//,
  /^\.(circleci|buildkite|gitlab)\//,
  /^\.(gitlab-ci|travis|drone|cirrus)\.ya?ml$/,
  /^(azure-pipelines|appveyor|bitbucket-pipelines)\.ya?ml$/,
  /(^|\/)(Jenkinsfile|GNUmakefile|[Mm]akefile|\.pre-commit-config\.ya?ml)$/,
  // Its `tests` say what our own check runs.
  /^\.github\/funprm\.yml$/,
];

function decidesChecks(path: string): boolean {
  return isRunnerFile(path) || CI_PATHS.some((pattern) => pattern.test(path));
}

function checksVerdict(
  checks: readonly EventOf<"check">[],
  shas: readonly string[],
  base: string | null,
): ChecksVerdict {
  const ours = checks.filter((check) => shas.includes(check.sha));
  const required = ours.filter((check) => check.required);
  const counted = required.length > 0 ? required : ours;
  const events = counted.map((check) => check.id);
  const states = [...new Set(counted.map((check) => check.name))].sort().map((name) => {
    const mine = counted.filter((check) => check.name === name);
    const onBase = checks.filter((check) => check.name === name && check.sha === base);
    return { name, ...checkState(mine, onBase) };
  });
  const decisive =
    states.find(({ state }) => state === "red") ?? states.find(({ state }) => state === "unknown") ?? null;
  if (decisive !== null) return { state: decisive.state, reason: `${decisive.name}: ${decisive.reason}`, events };
  if (!states.some(({ ran }) => ran)) return { state: "unknown", reason: "no check ran", events };
  return { state: "green", reason: `${states.length} checks passed`, events };
}

type CheckState = { state: ChecksVerdict["state"]; reason: string; ran: boolean };

/** One check over all its attempts and commits. */
function checkState(mine: readonly EventOf<"check">[], onBase: readonly EventOf<"check">[]): CheckState {
  const seen = new Set(mine.map((check) => check.conclusion));
  const unknown = (reason: string): CheckState => ({ state: "unknown", reason, ran: true });
  if (seen.has("success") && seen.has("failure")) return unknown("passed and failed on the same code");
  if (seen.has("failure")) {
    const before = new Set(onBase.map((check) => check.conclusion));
    if (before.has("failure")) return unknown("failed on base too");
    // An old failure must not blame new code, so red needs a base known to be green.
    return before.has("success")
      ? { state: "red", reason: "failed, passed on base", ran: true }
      : unknown("base unknown");
  }
  const open = mine.filter((one) => one.conclusion === null);
  const running = open.some(
    (one) => !mine.some((other) => other.conclusion !== null && other.sha === one.sha && other.attempt >= one.attempt),
  );
  if (running) return unknown("still running");
  if (seen.has("success")) return { state: "green", reason: "passed", ran: true };
  const silent = [...seen].filter((conclusion) => conclusion !== null && !["neutral", "skipped"].includes(conclusion));
  return silent.length > 0 ? unknown(silent.sort().join(", ")) : { state: "green", reason: "not needed", ran: false };
}

const FIX_KEYWORDS = /\b(fix(es|ed|ing)?|hot-?fix|bug|bugfix|regression|broken)\b/i;

/** `reverts`: the SHAs, perhaps shortened, and numbers (`#7`) that its message says it reverts. */
type Landed = { commit: DefaultBranchCommit; event: EventOf<"pushed">; number: number | null; reverts: string[] };
const SHORTEST_SHA = 7;

function laterEdits(
  events: readonly OutcomeEvent[],
  merged: EventOf<"merged">,
  opened: EventOf<"opened"> | null,
): { reverts: LaterEdit[]; fixes: LaterEdit[] } {
  if (opened === null) return { reverts: [], fixes: [] };
  const branches = namesOf(opened.defaultBranch, ofKind(events, "default_branch_renamed"));
  const landed = new Map<string, Landed>();
  for (const event of ofKind(events, "pushed"))
    if (branches.has(event.branch) && event.at >= merged.at)
      for (const commit of event.commits)
        if (!landed.has(commit.sha))
          landed.set(commit.sha, {
            commit,
            event,
            number: numberOf(commit.message),
            reverts: revertedBy(commit.message),
          });
  const others = [...landed.values()].filter(({ commit }) => !merged.final.includes(commit.sha));
  const standing = standingOf(others);
  const inWindow = ({ event }: Landed) => event.at <= merged.at + SURVIVAL_WINDOW;
  const ours = new Set([...merged.final.flatMap(prefixesOf), `#${opened.number}`]);
  const edit = ({ commit, event }: Landed): LaterEdit => ({
    commit: commit.sha,
    actor: event.actor,
    event: event.id,
    functions: commit.functions,
  });
  return {
    reverts: standing.filter((one) => inWindow(one) && one.reverts.some((name) => ours.has(name))).map(edit),
    fixes: standing.filter((one) => inWindow(one) && isFix(one.commit.message)).map(edit),
  };
}

/**
 * The commits that no later standing commit reverts, oldest first: a revert which was itself reverted has no effect. From the
 * newest back, so that each is looked at once, whatever the messages name.
 * @param landed oldest first.
 */
function standingOf(landed: readonly Landed[]): Landed[] {
  const reverted = new Set<string>();
  const standing: Landed[] = [];
  for (const one of landed.toReversed()) {
    const names = [...prefixesOf(one.commit.sha), ...(one.number === null ? [] : [`#${one.number}`])];
    if (names.some((name) => reverted.has(name))) continue;
    standing.push(one);
    for (const name of one.reverts) reverted.add(name);
  }
  return standing.toReversed();
}

/** The ways to write a commit's SHA in a message. */
function prefixesOf(sha: string): string[] {
  return Array.from({ length: Math.max(0, sha.length - SHORTEST_SHA + 1) }, (_, i) => sha.slice(0, SHORTEST_SHA + i));
}

/** Every name the default branch has had: pushes before and after a rename are pushes to the same branch. */
function namesOf(name: string, renames: readonly EventOf<"default_branch_renamed">[]): Set<string> {
  const names = new Set([name]);
  for (let size = 0; size < names.size; ) {
    size = names.size;
    for (const { from, to } of renames)
      if (names.has(from) || names.has(to)) {
        names.add(from);
        names.add(to);
      }
  }
  return names;
}

/** Whether a commit can be a revert or a fix of an earlier one: only then is it worth knowing which functions it changes. */
export function saysFixOrRevert(message: string): boolean {
  return isFix(message) || /\breverts?\b/i.test(message);
}

function isFix(message: string): boolean {
  return !message.startsWith("Revert ") && FIX_KEYWORDS.test(message.split("\n", 1)[0]!);
}

/** git writes "This reverts commit SHA", GitHub's revert button "Reverts #N", which stands for this repository's own. */
function revertedBy(message: string): string[] {
  const shas = [...message.matchAll(/\breverts commits? ([0-9a-f]{7,40})\b/gi)].map((match) => match[1]!.toLowerCase());
  const numbers = [...message.matchAll(/^Reverts #(\d+)\b/gm)].map((match) => `#${Number(match[1])}`);
  return [...shas, ...numbers];
}

/** GitHub ends the subject of a squashed pull request with its number. */
function numberOf(message: string): number | null {
  const match = /\(#(\d+)\)\s*$/.exec(message.split("\n", 1)[0]!);
  return match === null ? null : Number(match[1]);
}
