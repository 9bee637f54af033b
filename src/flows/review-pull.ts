/**
 * Review of a person's pull request: every changed function scored alone, one check run a head and at most one review. No LLM,
 * no GPU; code of the pull request is parsed and never executed.
 */

import { FunprmError } from "../domain/errors.ts";
import { type Finding, modelVersion, type ReviewedPull } from "../domain/finding.ts";
import type { Language } from "../domain/function-step.ts";
import { sanitizeIssueText } from "../domain/issue-text.ts";
import { type ReviewPullPayload, reactionTarget } from "../domain/job-payloads.ts";
import { linkedIssues } from "../domain/linked-issues.ts";
import { plain } from "../domain/markdown.ts";
import { functionId } from "../domain/outcome.ts";
import { type ParsedRepoConfig, type PathReview, type RepoConfig, reviewSettings } from "../domain/repo-config.ts";
import type { Calibration, ReviewReport } from "../domain/review.ts";
import { calibrationOf, type StoredCalibration } from "../domain/review-calibration.ts";
import { type CheckSettings, type ReviewCheck, reviewCheck } from "../domain/review-check.ts";
import { readFindingMarker } from "../domain/review-comment.ts";
import { reviewedKey, reviewRound } from "../domain/review-round.ts";
import type { Job } from "../domain/run.ts";
import type {
  Clock,
  GitHost,
  LearningStore,
  PullRequestFacts,
  ReactionContent,
  RepoRef,
  ReviewStore,
  RewardModel,
  RunStore,
  Syntax,
} from "../ports.ts";
import { cachedRewards } from "./cached-rewards.ts";
import { chooseReward, type Scorers } from "./choose-judges.ts";
import { gatherReviewEvidence } from "./gather-review-evidence.ts";
import { postReview } from "./post-review.ts";
import { readPullFiles } from "./read-pull-files.ts";
import { reviewChange, VALIDATED_LANGUAGES } from "./review-change.ts";

export type ReviewPullPorts = {
  host: GitHost;
  syntax: Syntax;
  model: RewardModel;
  /** A bundle that ships with funprm, opened when it is first asked for. */
  bundled: Scorers["bundled"];
  reviews: ReviewStore;
  /** Outcomes of past pull requests, for labelled neighbours. */
  learning: LearningStore;
  /** Candidates that were sampled for an issue, for what the pull request is compared with. */
  runs: Pick<RunStore, "latestRun" | "candidates">;
  clock: Clock;
  markerKey: string;
  parseConfig(text: string | null): ParsedRepoConfig;
  matches(glob: string, path: string): boolean;
};

const CHECK_NAME = "FunPRM / functions";
const RESCORE = { label: "Re-score", description: "Score every changed function again", identifier: "rescore" };
const IGNORE_ALL = {
  label: "Ignore all",
  description: "Hide these findings until they change",
  identifier: "ignore-all",
};
/** Newer heads that a review goes on with. */
const RESTARTS = 3;
/** Issues that a pull request says it closes, beside its own text in the statement. */
const MOST_ISSUES = 3;

export async function reviewPull(
  ports: ReviewPullPorts,
  job: Job,
  signal: AbortSignal,
  restarts = RESTARTS,
): Promise<void> {
  const payload = job.payload as ReviewPullPayload;
  const { host } = ports;
  const ref = refOf(payload);
  const pull = await host.pullRequest(ref, payload.issueNumber);
  const closed = pull.state === "closed";
  const moved = payload.head !== null && payload.head !== pull.headSha;
  // An earlier attempt may have left its check run in progress.
  if ((closed || moved) && job.attempts > 1 && payload.head !== null)
    await checkOf(host, ref, { ...pull, headSha: payload.head })(CANCELLED);
  if (closed) {
    await answer(host, ref, payload, "confused");
    return;
  }
  if (!(await mayAsk(host, ref, payload))) return;
  const settings = await settingsOf(ports, ref);
  if (moved && hasItsOwn(settings.config, payload)) return;
  const check = checkOf(host, ref, pull);
  if (settings.config === null) {
    await check({
      conclusion: "neutral",
      title: "not reviewed: .github/funprm.yml cannot be read",
      summary: plain(settings.problem),
    });
    await answer(host, ref, payload, "confused");
    return;
  }
  const { config, notes } = settings;
  const model = await chooseReward(config, ports);
  const place = {
    repositoryId: ref.repositoryId,
    installationId: ref.installationId,
    pullRequest: pull.number,
  };
  const state = await ports.reviews.pull(place);
  // Who runs all checks again of a pull request that the app opened asks for those that stand there.
  if (payload.trigger === "suite" ? isOurs(pull) : !payload.asked && !wanted(pull, config, payload.trigger)) return;
  if (state.pausedBy !== null && !payload.asked) {
    await check({
      conclusion: config.check.neutral_as,
      title: "not reviewed: paused",
      summary: `Reviews of this pull request are paused. \`/funprm resume\` goes on, \`/funprm review\` reviews once.`,
    });
    return;
  }
  await check(null);
  const settingsAt = reviewSettings(config, ports.matches);
  let done: Awaited<ReturnType<typeof reviewed>>;
  try {
    done = await reviewed({ ...ports, model }, { ref, pull, config, settingsAt, state, full: payload.full }, signal);
    const checks = { neutral_as: config.check.neutral_as, failOn: (path: string) => settingsAt(path).fail_on };
    await check(
      done === null ? CANCELLED : reviewCheck(done.report, [...notes, ...done.notes], checks, done.commented),
    );
  } catch (error) {
    const again = !(error instanceof FunprmError && error.kind !== "transient") && job.attempts < job.maxAttempts;
    // One left in progress would hold a pull request that requires it for ever; the next attempt of a review that was asked for
    // may be one of a newer head. What failed is told by the job.
    if ((!again || payload.head === null) && !signal.aborted) await check(failedCheck(config.check)).catch(() => {});
    if (!again && !signal.aborted) await answer(host, ref, payload, "confused").catch(() => {});
    throw error;
  }
  if (done !== null) await answer(host, ref, payload, "+1");
  if (done === null && restarts > 0 && !hasItsOwn(config, payload))
    await reviewPull(ports, { ...job, payload: { ...payload, head: null } }, signal, restarts - 1);
}

/** Whether a head that was pushed meanwhile is reviewed by its own event; else whoever is here goes on with it. */
function hasItsOwn(config: RepoConfig | null, { asked, trigger }: ReviewPullPayload): boolean {
  return !asked && (trigger === "synchronize" || config === null || config.review.on_push);
}

/** A review whose worker died at every attempt: its check run must not stay in progress. */
export async function noteDeadReview(ports: Pick<ReviewPullPorts, "host">, job: Job): Promise<void> {
  if (job.kind !== "review-pull") return;
  const payload = job.payload as ReviewPullPayload;
  const ref = refOf(payload);
  const pull = await ports.host.pullRequest(ref, payload.issueNumber);
  if (pull.state === "closed") return;
  const check = checkOf(ports.host, ref, payload.head === null ? pull : { ...pull, headSha: payload.head });
  await check(failedCheck({ neutral_as: "neutral" }));
}

const CANCELLED: SaidCheck = {
  conclusion: "cancelled",
  title: "superseded by a newer head",
  summary: "The pull request was closed, or a newer commit pushed, while this one was scored.",
};

function failedCheck({ neutral_as }: Pick<CheckSettings, "neutral_as">): SaidCheck {
  return {
    conclusion: neutral_as,
    title: "not reviewed: the review failed",
    summary: "The operator's log says why. Re-score tries again.",
  };
}

type Reviewing = {
  ref: RepoRef;
  pull: PullRequestFacts;
  config: RepoConfig;
  settingsAt(path: string): PathReview;
  state: ReviewedPull;
  full: boolean;
};

/** Scores, compares with what was said before, posts. Null when the pull request was closed or pushed to meanwhile. */
async function reviewed(ports: ReviewPullPorts, at: Reviewing, signal: AbortSignal) {
  const { host, reviews, model } = ports;
  const { ref, pull, config } = at;
  const key = { repositoryId: ref.repositoryId, pullRequest: pull.number };
  const version = modelVersion(model.info);
  const { files, patches, unlisted } = await readPullFiles(host, ref, pull, signal);
  const issues = await issuesOf(host, ref, pull);
  const texts = [pull.title, pull.body, ...issues.flatMap(({ title, body }) => [title, body])];
  const earlier = await reviews.reviewed(key);
  const evidence = await gatherReviewEvidence(ports, ref, pull, issues);
  const report = await reviewChange(
    { syntax: ports.syntax, model: at.full ? model : cachedRewards(model, reviews, ref.installationId) },
    {
      statement: sanitizeIssueText(texts.join("\n\n")).text,
      files,
      unlisted,
      ignored: (path) => config.review.ignore_paths.some((glob) => ports.matches(glob, path)),
      calibration: await calibrations(reviews, ref, version, (path) => at.settingsAt(path).min_precision),
      evidence: evidence.of,
    },
    signal,
  );
  const round = reviewRound(report, {
    findings: await knownFindings(ports, at, report),
    reviewed: new Set(
      earlier.filter((row) => row.modelVersion === version).map((row) => reviewedKey(row.function, row.bodyHash)),
    ),
    full: at.full,
  });
  const now = await host.pullRequest(ref, pull.number);
  if (now.state === "closed" || now.headSha !== pull.headSha) return null;
  const posted = await postReview(ports, { ...at, round, patches, version, ...evidence });
  return { ...posted, report: round.report };
}

async function calibrations(
  reviews: ReviewStore,
  ref: RepoRef,
  version: string,
  minPrecisionAt: (path: string) => number,
): Promise<(one: { language: Language; path: string }) => Calibration | null> {
  const known = new Map<Language, { stored: StoredCalibration; at: Map<number, Calibration> }>();
  for (const language of VALIDATED_LANGUAGES) {
    const stored = await reviews.calibration({ repositoryId: ref.repositoryId, language, modelVersion: version });
    if (stored !== null) known.set(language, { stored, at: new Map() });
  }
  return ({ language, path }) => {
    const one = known.get(language);
    if (one === undefined) return null;
    const wanted = minPrecisionAt(path);
    const calibration = one.at.get(wanted) ?? calibrationOf(one.stored, wanted);
    one.at.set(wanted, calibration);
    return calibration;
  };
}

/**
 * What was said before about the functions that are here. A thread that a person resolved is a finding that they declined
 * (product.md section 2, pain 3); one that the store does not know any more (restored, or older than the retention) is taken up
 * again rather than said twice.
 */
async function knownFindings(ports: ReviewPullPorts, at: Reviewing, report: ReviewReport): Promise<Finding[]> {
  const { reviews, host, markerKey } = ports;
  const { ref, pull, config } = at;
  const place = { repositoryId: ref.repositoryId, installationId: ref.installationId, pullRequest: pull.number };
  const known = await reviews.findings(place);
  const mayComment = config.review.max_inline > 0 || config.paths.some((one) => (one.review?.max_inline ?? 0) > 0);
  if (!mayComment && !known.some((one) => one.threadId !== null)) return known;
  const threads = await host.reviewThreads(ref, pull.number).catch((error: unknown) => {
    // Where the app may not read threads it still reviews.
    if (error instanceof FunprmError && error.code === "GITHUB_REFUSED") return [];
    throw error;
  });
  for (const thread of threads) {
    const finding = known.find((one) => one.threadId === thread.id);
    if (finding?.state === "posted" && thread.resolved)
      await reviews.saveFinding({ ...finding, state: "dismissed", reason: "its thread was resolved" });
    const about = readFindingMarker(markerKey, thread.body, { repositoryId: ref.repositoryId, number: pull.number });
    const isIt = (one: { path: string; name: string; bodyHash: string }) =>
      functionId(one.path, one.name) === about?.id && one.bodyHash === about.bodyHash;
    const here = report.functions.find((one) => one.attribution !== null && isIt(one));
    if (about === null || here === undefined || known.some(isIt)) continue;
    await reviews.saveFinding({
      ...place,
      ...{ path: here.path, name: here.name, bodyHash: here.bodyHash, modelVersion: about.modelVersion },
      ...{ state: thread.resolved ? "dismissed" : "posted", commentId: thread.commentId, threadId: thread.id },
      ...{ head: pull.headSha, attribution: here.attribution!, estimate: null, inline: true },
      ...{ verdict: null, judgedAt: null, by: null, reason: null },
    });
  }
  return await reviews.findings(place);
}

export async function issuesOf(host: GitHost, ref: RepoRef, pull: PullRequestFacts) {
  const issues: { number: number; title: string; body: string }[] = [];
  for (const number of linkedIssues(pull.body).slice(0, MOST_ISSUES)) {
    try {
      const issue = await host.issue(ref, number);
      if (!issue.isPullRequest) issues.push(issue);
    } catch (error) {
      // Whoever wrote the body may name what is not there.
      if (!(error instanceof FunprmError && error.code === "GITHUB_GONE")) throw error;
    }
  }
  return issues;
}

async function settingsOf(
  ports: ReviewPullPorts,
  ref: RepoRef,
): Promise<{ config: RepoConfig; notes: string[] } | { config: null; problem: string }> {
  const facts = await ports.host.repository(ref);
  const base = await ports.host.branchSha(ref, facts.defaultBranch);
  const bytes = base === null ? null : await ports.host.readFile(ref, ".github/funprm.yml", base);
  try {
    const { config, problems } = ports.parseConfig(bytes === null ? null : new TextDecoder().decode(bytes));
    return { config, notes: problems.map(({ line, message }) => `.github/funprm.yml line ${line}: ${message}`) };
  } catch (error) {
    if (!(error instanceof FunprmError && error.kind === "user")) throw error;
    return { config: null, problem: error.message };
  }
}

/** A command needs write access, as every command does; GitHub shows buttons to nobody else. */
async function mayAsk(host: GitHost, ref: RepoRef, payload: ReviewPullPayload): Promise<boolean> {
  if (payload.command === null) return true;
  const role = await host.role(ref, payload.command.by);
  const may = role === "admin" || role === "write";
  await answer(host, ref, payload, may ? "eyes" : "-1");
  return may;
}

async function answer(host: GitHost, ref: RepoRef, { command }: ReviewPullPayload, content: ReactionContent) {
  if (command === null) return;
  await host.setReaction(ref, reactionTarget(command), content).catch((error: unknown) => {
    // A comment that was deleted meanwhile needs no answer.
    if (!(error instanceof FunprmError && error.code === "GITHUB_GONE")) throw error;
  });
}

/** Whether an event of the pull request starts a review by itself. */
function wanted(pull: PullRequestFacts, config: RepoConfig, trigger: ReviewPullPayload["trigger"]): boolean {
  const { review } = config;
  if (review.auto === "never" || (pull.draft && !review.drafts)) return false;
  if (trigger === "synchronize" && !review.on_push) return false;
  const author = pull.author.toLowerCase();
  return !isOurs(pull) && !review.ignore_authors.some((login) => login.toLowerCase() === author);
}

/** What the app opened carries its rewards already; a person's branch of that name does not. No person's login has brackets. */
function isOurs(pull: PullRequestFacts): boolean {
  return pull.headRef.startsWith("funprm/") && pull.author.endsWith("[bot]");
}

type SaidCheck = Pick<ReviewCheck, "title" | "summary"> &
  Partial<Pick<ReviewCheck, "text" | "annotations">> & { conclusion: ReviewCheck["conclusion"] | "cancelled" };

/** The head's one check run: in progress, or what it says in the end. */
function checkOf(host: GitHost, ref: RepoRef, pull: PullRequestFacts) {
  return async (said: SaidCheck | null): Promise<void> => {
    await host.ensureCheckRun(ref, {
      name: CHECK_NAME,
      headSha: pull.headSha,
      // Without the model's version: who ends a dead review does not know which model the repository had chosen.
      externalId: `review-${pull.number}`,
      detailsUrl: null,
      status: said === null ? "in_progress" : "completed",
      conclusion: said?.conclusion ?? null,
      output: said && {
        title: said.title,
        summary: said.summary,
        text: said.text ?? null,
        annotations: said.annotations ?? [],
      },
      actions: said === null ? [] : [RESCORE, IGNORE_ALL],
    });
  };
}

function refOf({ installationId, repositoryId, owner, repo }: ReviewPullPayload): RepoRef {
  return { installationId, repositoryId, owner, repo };
}
