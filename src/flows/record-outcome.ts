/**
 * What became of pull requests → facts in the log (architecture.md, how one outcome flows back). Unknown stays unknown:
 * labels are derived when the log is read. Every fact has an id of its own, so that the same job twice changes nothing.
 */
import { FunprmError } from "../domain/errors.ts";
import { type RecordOutcomePayload, recordJob } from "../domain/job-payloads.ts";
import { linkedIssues } from "../domain/linked-issues.ts";
import { readMarker } from "../domain/marker.ts";
import {
  DELETED_ACCOUNT,
  type EventOf,
  type JudgedCandidate,
  type OutcomeEvent,
  ofKind,
  type SeenCheck,
  SURVIVAL_WINDOW,
} from "../domain/outcome.ts";
import type { ParsedRepoConfig, RepoConfig } from "../domain/repo-config.ts";
import type { Job, NewJob, Run } from "../domain/run.ts";
import type {
  Checkout,
  GitHost,
  Judge,
  PullRequestEnd,
  PullRequestFacts,
  PullRequestKey,
  RepoRef,
  RunStore,
} from "../ports.ts";
import {
  applyStored,
  functionsOfCandidate,
  functionsOfPull,
  inShadow,
  judgeCandidatesOf,
  judgeShadow,
  type MergedTests,
  type PullRun,
  reviewedFiles,
  testPull,
} from "./judge-pull.ts";
import { hasArtifactResults, type RecordArtifactsPorts, recordArtifacts } from "./record-artifacts.ts";
import { landedCommits } from "./record-landed.ts";
import { issuesOf } from "./review-pull.ts";

export type RecordOutcomePorts = RecordArtifactsPorts & {
  runs: RunStore;
  judge: Judge | null;
  parseConfig(text: string | null): ParsedRepoConfig;
  environment(name: string): string;
  markerKey: string;
};

/** Login under which the app's own measurements stand in the log. */
const OWN = "funprm[bot]";
const OWN_CHECKS = /^FunPRM\b/;
/** The check that our own run of the merged head's tests is (`judgePull`). */
const SANDBOX_CHECK = "tests in the sandbox";
/** What the sweep reads again: lost webhooks of three days (product.md 4.6), and one more. */
const SWEPT_MS = 4 * 86_400_000;

export async function recordOutcome(ports: RecordOutcomePorts, job: Job, signal: AbortSignal): Promise<void> {
  const { saw, installationId, repositoryId, owner, repo } = job.payload as RecordOutcomePayload;
  const ref: RepoRef = { installationId, repositoryId, owner, repo };
  if (saw.kind === "pull") return await recordPull(ports, ref, saw.number, signal);
  if (saw.kind === "shadow") return await recordShadow(ports, ref, saw.run, signal);
  const { learning } = ports;
  // A repository without a pull request in the log has nothing that such a fact could speak of.
  if (!(await learning.repositories()).some((one) => one.repositoryId === repositoryId)) return;
  const place = { installationId, repositoryId, pullRequest: null };
  if (saw.kind === "checks") {
    const seen = saw.checks ?? (await ports.host.checks(ref, saw.sha));
    await learning.append(place, checkEvents(saw.sha, seen, new Set()));
    if (saw.workflow) await readArtifacts(ports, ref, await learning.pullRequestsAt(repositoryId, saw.sha), signal);
    return;
  }
  if (saw.kind === "branch_renamed") {
    const { from, to, at } = saw;
    await learning.append(place, [
      { id: `renamed:${from}:${to}`, at, actor: OWN, kind: "default_branch_renamed", from, to },
    ]);
    return;
  }
  if (saw.kind === "pushed") return await recordPushed(ports, ref, saw, signal);
  await sweep(ports, ref, signal);
}

/** Pull requests whose repository the nightly sweep looks at again: merged so lately that an edit still counts. */
export async function repositoriesToSweep({
  learning,
  clock,
}: Pick<RecordOutcomePorts, "learning" | "clock">): Promise<RepoRef[]> {
  const since = new Date(clock.now().getTime() - SURVIVAL_WINDOW - SWEPT_MS);
  const recent = new Set((await learning.pullRequests({ since })).map((key) => key.repositoryId));
  return (await learning.repositories()).filter((ref) => recent.has(ref.repositoryId));
}

async function recordPushed(
  ports: RecordOutcomePorts,
  ref: RepoRef,
  push: { branch: string; before: string | null; after: string; at: number | null; by: string | null },
  signal: AbortSignal,
): Promise<void> {
  const { learning, clock } = ports;
  const recent = await learning.pullRequests({
    repositoryId: ref.repositoryId,
    since: new Date(clock.now().getTime() - SURVIVAL_WINDOW - SWEPT_MS),
  });
  if (recent.length === 0) return;
  const pushed = ofKind(await learning.events(ref.repositoryId, null), "pushed");
  const known = new Map(pushed.map((event) => [event.id, event.at]));
  const since = clock.now().getTime() - SWEPT_MS;
  const events = await landedCommits(ports, ref, { ...push, since }, known, signal);
  await learning.append({ ...placeOf(ref), pullRequest: null }, events);
}

/** Pushes and checks whose webhooks never came, of pull requests within the survival window. */
async function sweep(ports: RecordOutcomePorts, ref: RepoRef, signal: AbortSignal): Promise<void> {
  const { host, learning, clock } = ports;
  const { defaultBranch } = await host.repository(ref);
  const after = await host.branchSha(ref, defaultBranch);
  if (after !== null)
    await recordPushed(ports, ref, { branch: defaultBranch, before: null, after, at: null, by: null }, signal);
  const now = clock.now().getTime();
  const unread: PullRequestKey[] = [];
  for (const key of await learning.pullRequests({ repositoryId: ref.repositoryId })) {
    const events = await learning.events(ref.repositoryId, key.pullRequest);
    const merged = ofKind(events, "merged")[0];
    if (merged === undefined || now > merged.at + SURVIVAL_WINDOW + SWEPT_MS) continue;
    if (now <= merged.at + SWEPT_MS && !hasArtifactResults(events, merged.head)) unread.push(key);
    const checks = ofKind(events, "check").filter((check) => check.name !== SANDBOX_CHECK);
    if (checks.length > 0 && checks.every((check) => check.conclusion !== null)) continue;
    signal.throwIfAborted();
    for (const sha of [merged.head, ...merged.final])
      await learning.append(
        { ...placeOf(ref), pullRequest: null },
        checkEvents(sha, await host.checks(ref, sha), new Set()),
      );
  }
  await readArtifacts(ports, ref, unread, signal);
}

/** Of the newest pull requests where many grew from one commit. */
const MOST_READ = 20;

async function readArtifacts(
  ports: RecordOutcomePorts,
  ref: RepoRef,
  pulls: readonly PullRequestKey[],
  signal: AbortSignal,
): Promise<void> {
  if (pulls.length === 0) return;
  const config = await configOf(ports, ref, (await ports.host.repository(ref)).defaultBranch);
  if (config === null || config.learn.collect === "none") return;
  for (const { pullRequest } of pulls.slice(-MOST_READ))
    await recordArtifacts(ports, ref, pullRequest, config.learn.artifacts, signal);
}

async function recordPull(ports: RecordOutcomePorts, ref: RepoRef, number: number, signal: AbortSignal): Promise<void> {
  const { host, learning, log } = ports;
  const pull = await host.pullRequest(ref, number);
  const end = await host.pullRequestEnd(ref, number);
  const facts = await host.repository(ref);
  if (pull.baseRef !== facts.defaultBranch) return;
  const found = await runsOf(ports, ref, pull, end);
  const own = found.runs.find((run) => run.pullRequest?.number === number) ?? null;
  if (own === null && pull.author.toLowerCase() === DELETED_ACCOUNT) return;
  const config = await configOf(ports, ref, facts.defaultBranch);
  if (config === null || config.learn.collect === "none" || (config.learn.collect === "app" && found.runs.length === 0))
    return;
  await learning.saveRepository(ref);
  const base = baseOf(pull, end);
  const key: PullRequestKey = { ...placeOf(ref), pullRequest: number };
  const opened: OutcomeEvent = {
    id: "opened",
    at: Date.parse(end.createdAt),
    actor: own?.startedBy ?? pull.author,
    kind: "opened",
    number,
    head: pull.headSha,
    base,
    defaultBranch: facts.defaultBranch,
  };
  // With whoever opened it each time: they may be removed while the tests run, and then nothing more may be written.
  const append: Append = (events) => learning.append(key, [opened, ...events]);
  await append([
    ...found.runs.map(
      (run): OutcomeEvent => ({
        id: `linked:${run.id}`,
        at: Date.parse(end.createdAt),
        actor: OWN,
        kind: "linked",
        run: run.id,
        issue: run.issueNumber,
        by: found.by,
      }),
    ),
    ...(await endEvents(ports, ref, pull, end)),
  ]);
  // The log refuses what a removed person opened: then nothing else of it may stand, its code least of all.
  if (ofKind(await learning.events(ref.repositoryId, number), "opened").length === 0) return;
  if (end.mergedAt === null) return;
  await recordChecks(ports, ref, key, pull, base);
  const merged = { pull, base, runs: found.runs, own, config, cloneUrl: facts.cloneUrl };
  await recordMerged(ports, ref, key, merged, append, signal);
  await recordArtifacts(ports, ref, number, config.learn.artifacts, signal).catch((error: unknown) => {
    // The nightly sweep asks again; the tests need not run once more for it.
    if (!(error instanceof FunprmError)) throw error;
    log.warn("artifacts of CI not read yet", { repository: ref.repositoryId, message: error.message });
  });
  log.info("outcome recorded", { repository: ref.repositoryId, pullRequest: number, runs: found.runs.length });
}

type Append = (events: readonly OutcomeEvent[]) => Promise<unknown>;

type Merged = {
  pull: PullRequestFacts;
  base: string;
  runs: Run[];
  /** The run whose pull request this is; null for a person's. */
  own: Run | null;
  config: RepoConfig;
  cloneUrl: string;
};

async function recordMerged(
  ports: RecordOutcomePorts,
  ref: RepoRef,
  key: PullRequestKey,
  { pull, base, runs, own, config, cloneUrl }: Merged,
  append: Append,
  signal: AbortSignal,
): Promise<void> {
  const { host, learning, workspace, syntax, judge, clock, log } = ports;
  const files = await host.pullRequestFiles(ref, pull.number);
  const at = clock.now().getTime();
  const open: Checkout[] = [];
  const checkout = async (sha: string): Promise<Checkout> => {
    const known = open.find((one) => one.sha === sha);
    if (known) return known;
    const tree = await workspace.checkout({ kind: "remote", cloneUrl, sha, token: await host.readToken(ref) }, signal);
    open.push(tree);
    return tree;
  };
  try {
    const trees = { base: await checkout(base), head: await checkout(pull.headSha) };
    const issues = await issuesOf(host, ref, pull);
    const said = [pull.title, pull.body, ...issues.flatMap(({ title, body }) => [title, body])];
    const { functions, texts } = functionsOfPull(syntax, said, await reviewedFiles(files, trees.base, trees.head));
    const paths = files.flatMap((file) => [file.path, ...(file.previousPath === null ? [] : [file.previousPath])]);
    await append([
      { id: `changes:${pull.headSha}`, at, actor: OWN, kind: "changes", head: pull.headSha, paths, functions },
    ]);
    await learning.saveTexts(key, texts);
    if (own !== null) await recordProposal(ports, append, own, await checkout(own.baseSha ?? base), at);
    if (config.tests.runner !== "sandbox" || judge === null) return;
    const settings = testSettings(ports, config);
    const tested = await testPull(judge, trees, files, functions, settings, signal);
    if ("reason" in tested) {
      log.info("the merged tests cannot run", { pullRequest: pull.number, reason: tested.reason });
      return;
    }
    await append(testEvents(pull.headSha, base, tested, at));
    for (const run of runs) {
      const stored = (await ports.runs.candidates(run.id)).map(({ candidate }) => candidate);
      const onRun = { base: await checkout(run.baseSha ?? base), head: trees.head };
      const { judged, texts: chains } = await judgeCandidatesOf(
        { judge, syntax },
        run,
        stored,
        onRun,
        files,
        settings,
        signal,
      );
      await learning.saveTexts(key, chains);
      await append(judgedEvents(judged, at));
    }
  } finally {
    for (const tree of open) await tree.dispose();
  }
}

/** The job for a run that has ended and is one of the share; null for the others. */
export function shadowJob(run: Run): NewJob | null {
  const { id, installationId, repositoryId, owner, repo, finishedAt } = run;
  const config = configOfRun(run);
  if (finishedAt === null || config === null || !inShadow(id, config.learn.shadow)) return null;
  return recordJob({ installationId, repositoryId, owner, repo, saw: { kind: "shadow", run: id } });
}

/** Settings that the run was frozen with; null where it has none, or those of a program that knew no `learn`. */
function configOfRun({ settings }: Run): RepoConfig | null {
  const config = (settings as { config?: RepoConfig } | null)?.config;
  return config?.learn === undefined ? null : config;
}

/** Facts of a run stand under its issue's number, which no pull request of the repository has. */
async function recordShadow(ports: RecordOutcomePorts, ref: RepoRef, id: string, signal: AbortSignal): Promise<void> {
  const { host, runs, learning, workspace, judge, syntax, clock } = ports;
  const run = await runs.run(id);
  const config = run && configOfRun(run);
  if (judge === null || !run?.baseSha || !config) return;
  const { cloneUrl } = await host.repository(ref);
  const token = await host.readToken(ref);
  const base = await workspace.checkout({ kind: "remote", cloneUrl, sha: run.baseSha, token }, signal);
  try {
    const stored = (await runs.candidates(id)).map(({ candidate }) => candidate);
    const judged = await judgeShadow({ judge, syntax }, run, stored, base, testSettings(ports, config), signal);
    await learning.append(
      { ...placeOf(ref), pullRequest: run.issueNumber },
      judgedEvents(judged, clock.now().getTime()),
    );
  } finally {
    await base.dispose();
  }
}

function testSettings(ports: RecordOutcomePorts, { tests }: RepoConfig): MergedTests {
  return {
    command: tests.command,
    environment: tests.environment === null ? null : ports.environment(tests.environment),
    timeoutSeconds: tests.timeout_s,
  };
}

function judgedEvents(judged: readonly JudgedCandidate[], at: number): OutcomeEvent[] {
  return judged.map((one) => ({
    id: `judged:${one.run}:${one.candidate}:${one.occasion}`,
    at,
    actor: OWN,
    kind: "judged",
    ...one,
  }));
}

/** What the app proposed, function by function: a person may have rewritten it before the merge. */
async function recordProposal(
  { runs, syntax }: RecordOutcomePorts,
  append: Append,
  run: Run,
  base: Checkout,
  at: number,
): Promise<void> {
  const chosen = (await runs.candidates(run.id)).find(({ candidate }) => candidate.index === run.selected)?.candidate;
  const files = chosen === undefined ? null : await applyStored(syntax, chosen, base);
  if (files === null) return;
  await append([
    { id: `proposed:${run.id}`, at, actor: OWN, kind: "proposed", functions: functionsOfCandidate(syntax, files) },
  ]);
}

/** Facts of one judged run of the merged head's tests. */
export function testEvents(head: string, base: string, tested: PullRun, at: number): OutcomeEvent[] {
  const tests = (sha: string, results: EventOf<"tests">["results"], attempt: number): OutcomeEvent => ({
    id: `tests:${sha}:${attempt}`,
    at,
    actor: OWN,
    kind: "tests",
    sha,
    run: "sandbox",
    attempt,
    results,
  });
  const check = (sha: string, passed: boolean): OutcomeEvent => ({
    id: `check:${sha}:${SANDBOX_CHECK}:1`,
    at,
    actor: OWN,
    kind: "check",
    sha,
    name: SANDBOX_CHECK,
    attempt: 1,
    conclusion: passed ? "success" : "failure",
    required: false,
  });
  return [
    // Two runs that ended alike; what differed between them is in neither.
    tests(head, tested.head, 1),
    tests(head, tested.head, 2),
    tests(base, tested.base, 1),
    check(head, tested.broke.length === 0),
    // It is held against base already: what base fails is left out of it.
    check(base, true),
  ];
}

async function recordChecks(
  { host, learning }: RecordOutcomePorts,
  ref: RepoRef,
  key: PullRequestKey,
  pull: PullRequestFacts,
  base: string,
): Promise<void> {
  const required = new Set(await host.requiredChecks(ref, pull.baseRef));
  const merged = ofKind(await learning.events(ref.repositoryId, pull.number), "merged")[0];
  for (const sha of new Set([base, pull.headSha, ...(merged?.final ?? [])]))
    await learning.append({ ...key, pullRequest: null }, checkEvents(sha, await host.checks(ref, sha), required));
}

function checkEvents(sha: string, checks: readonly SeenCheck[], required: ReadonlySet<string>): OutcomeEvent[] {
  return checks
    .filter((check) => !OWN_CHECKS.test(check.name))
    .map((check) => ({
      id: `check:${sha}:${check.name}:${check.attempt}`,
      at: check.at,
      actor: "github",
      kind: "check",
      sha,
      name: check.name,
      attempt: check.attempt,
      conclusion: check.conclusion,
      required: required.has(check.name),
    }));
}

async function endEvents(
  { host, clock }: RecordOutcomePorts,
  ref: RepoRef,
  pull: PullRequestFacts,
  end: PullRequestEnd,
): Promise<OutcomeEvent[]> {
  if (end.mergedAt !== null)
    return [
      {
        id: "merged",
        at: Date.parse(end.mergedAt),
        actor: end.mergedBy ?? DELETED_ACCOUNT,
        kind: "merged",
        head: pull.headSha,
        testMerge: null,
        final: await finalCommits(host, ref, end),
      },
    ];
  if (end.closedAt !== null)
    return [{ id: `closed:${end.closedAt}`, at: Date.parse(end.closedAt), actor: "github", kind: "closed" }];
  return [{ id: `reopened:${pull.headSha}`, at: clock.now().getTime(), actor: "github", kind: "reopened" }];
}

/** A rebase leaves a copy of each commit on the default branch; GitHub names the last one only. */
async function finalCommits(host: GitHost, ref: RepoRef, end: PullRequestEnd): Promise<string[]> {
  const final: string[] = [];
  for (let sha = end.mergeCommitSha; sha !== null && final.length < end.commits.length; ) {
    const commit = await host.commit(ref, sha);
    const copied = end.commits.at(-1 - final.length)!;
    if (commit.message !== copied.message || commit.parents.length !== 1) break;
    final.unshift(commit.sha);
    sha = commit.parents[0] ?? null;
  }
  return final.length === end.commits.length && final.length > 0
    ? final
    : end.mergeCommitSha === null
      ? []
      : [end.mergeCommitSha];
}

/** The commit that the branch was made from; GitHub's own base may have moved on since. */
function baseOf(pull: PullRequestFacts, end: PullRequestEnd): string {
  const linear = end.commits.every((commit) => commit.parents.length === 1);
  return (linear ? end.commits[0]?.parents[0] : undefined) ?? pull.baseSha;
}

/** Runs whose issue the pull request closes: by the stored run, the commit trailer, the signed marker, or its closing words. */
async function runsOf(
  { runs, markerKey }: RecordOutcomePorts,
  ref: RepoRef,
  pull: PullRequestFacts,
  end: PullRequestEnd,
): Promise<{ runs: Run[]; by: EventOf<"linked">["by"] }> {
  const stored = await runs.listRuns({ repositoryId: ref.repositoryId });
  const ofIssue = (number: number) => stored.filter((run) => run.issueNumber === number);
  const own = stored.find((run) => run.pullRequest?.number === pull.number);
  if (own) return { runs: ofIssue(own.issueNumber), by: "run" };
  const messages = end.commits.map((commit) => commit.message);
  const trailer = messages.map((message) => /^FunPRM-Run: (\w{26})$/m.exec(message)?.[1]).find(Boolean);
  const byTrailer = stored.find((run) => run.id === trailer);
  if (byTrailer) return { runs: ofIssue(byTrailer.issueNumber), by: "trailer" };
  const issues = [pull.body, ...messages].flatMap(linkedIssues);
  const marked = issues.find(
    (number) => readMarker(markerKey, pull.body, { repositoryId: ref.repositoryId, number })?.kind === "pr",
  );
  if (marked !== undefined) return { runs: ofIssue(marked), by: "marker" };
  return { runs: [...new Set(issues)].flatMap(ofIssue), by: "closes" };
}

async function configOf(ports: RecordOutcomePorts, ref: RepoRef, branch: string): Promise<RepoConfig | null> {
  const base = await ports.host.branchSha(ref, branch);
  const bytes = base === null ? null : await ports.host.readFile(ref, ".github/funprm.yml", base);
  try {
    return ports.parseConfig(bytes === null ? null : new TextDecoder().decode(bytes)).config;
  } catch (error) {
    // Nobody is waiting for an answer here: a file that cannot be read switches nothing on.
    ports.log.warn("outcomes not collected: .github/funprm.yml cannot be read", {
      repository: ref.repositoryId,
      message: error instanceof Error ? error.message : String(error),
    });
    return null;
  }
}

function placeOf({ installationId, repositoryId }: RepoRef): { installationId: number; repositoryId: number } {
  return { installationId, repositoryId };
}
