/**
 * What a review says on GitHub beside its check run: one review a head with inline comments, threads of what is fixed closed,
 * and all of it remembered, so that nothing is said twice. Two content-creating calls at most: the check run and the review.
 */
import { FunprmError } from "../domain/errors.ts";
import { type Finding, isSilenced, judgedFindings, type ReviewedPull, type ReviewedRow } from "../domain/finding.ts";
import { signMarker } from "../domain/marker.ts";
import { functionId } from "../domain/outcome.ts";
import { type AdjudicatedFinding, findingPrecision, PRECISION_WINDOW } from "../domain/precision.ts";
import type { PathReview, RepoConfig } from "../domain/repo-config.ts";
import type { ReviewedFunction } from "../domain/review.ts";
import { findingComment, findingMarker, percent, readFindingMarker, reviewBody } from "../domain/review-comment.ts";
import { inlineComments } from "../domain/review-inline.ts";
import type { ReviewRound } from "../domain/review-round.ts";
import type { Clock, GitHost, PullRequestFacts, RepoRef, ReviewStore } from "../ports.ts";

export type PostPorts = {
  host: GitHost;
  reviews: ReviewStore;
  clock: Clock;
  markerKey: string;
};

export type Posting = {
  ref: RepoRef;
  pull: PullRequestFacts;
  config: RepoConfig;
  settingsAt(path: string): PathReview;
  state: ReviewedPull;
  full: boolean;
  round: ReviewRound;
  patches: ReadonlyMap<string, string | null>;
  sketches: ReadonlyMap<string, string>;
  /** Whether a function of a past pull request turned out right, by number, id and body; null while that is not known. */
  outcomes(pullRequest: number, id: string, bodyHash: string): boolean | null;
  isRemoved(login: string): boolean;
  /** `modelVersion` of the scorer. */
  version: string;
};

type NewFinding = Omit<Finding, "createdAt" | "updatedAt">;
type Said = { finding: NewFinding; now: ReviewedFunction };

/** Findings that stand as comments, and what the check run should say about the posting, one line each. */
export async function postReview(
  ports: PostPorts,
  at: Posting,
): Promise<{ commented: ReadonlySet<ReviewedFunction>; notes: string[] }> {
  const { reviews } = ports;
  const { round, config, settingsAt } = at;
  const findings = (await reviews.findings({ repositoryId: at.ref.repositoryId })).filter(
    (one) => one.by === null || !at.isRemoved(one.by),
  );
  const judged = judgedFindings(findings, at.outcomes);
  const muted = mutedBelow(judged);
  const isMuted = (path: string) => muted(settingsAt(path).min_precision);
  const notes = [...quietNotes(round), ...precisionNotes(judged, config)];
  const wanted = inlineComments(round.fresh, at.patches, (path) => {
    const { counted, max_inline, rounds } = settingsAt(path);
    return { setting: counted, most: isMuted(path) || !hasRound(at, rounds) ? 0 : max_inline };
  });
  const inline = new Set(wanted.map(({ one }) => one));
  const fresh = round.fresh.map(
    (now): Said => ({ finding: newFinding(at, now, isMuted(now.path), inline.has(now)), now }),
  );
  // Before the rows: a function that is remembered without its finding could never gain it.
  for (const { finding } of fresh) await reviews.saveFinding(finding);
  await reviews.saveReviewed(reviewedRows(ports, at));
  const standing = await stillThere(ports, at);
  const said = [...standing, ...fresh];
  const refused = await comment(ports, at, said, (one) =>
    findings.some(
      (before) =>
        before.pullRequest === at.pull.number &&
        before.path === one.path &&
        before.name === one.name &&
        isSilenced(before),
    ),
  );
  if (refused !== null) notes.push(refused);
  notes.push(...(await closeFixed(ports, at)));
  notes.push(...roundNotes(at));
  await reviews.savePull(at.state);
  return { commented: new Set(said.flatMap(({ finding, now }) => (finding.commentId === null ? [] : [now]))), notes };
}

function reviewedRows(ports: PostPorts, at: Posting): ReviewedRow[] {
  return at.round.report.functions.flatMap((one) =>
    one.reward === null || one.attribution === null
      ? []
      : [
          {
            repositoryId: at.ref.repositoryId,
            installationId: at.ref.installationId,
            pullRequest: at.pull.number,
            head: at.pull.headSha,
            function: functionId(one.path, one.name),
            bodyHash: one.bodyHash,
            language: one.language,
            modelVersion: at.version,
            value: one.reward,
            attribution: one.attribution,
            baseAttribution: one.baseAttribution,
            finding: one.finding,
            sketch: at.sketches.get(one.bodyHash) ?? "",
            reviewedAt: ports.clock.now().toISOString(),
          },
        ],
  );
}

function newFinding(at: Posting, one: ReviewedFunction, muted: boolean, inline: boolean): NewFinding {
  return {
    repositoryId: at.ref.repositoryId,
    installationId: at.ref.installationId,
    pullRequest: at.pull.number,
    path: one.path,
    name: one.name,
    bodyHash: one.bodyHash,
    modelVersion: at.version,
    state: muted ? "muted" : "posted",
    head: at.pull.headSha,
    attribution: one.attribution!,
    estimate: one.calibration === "repository" ? (one.estimate?.probability ?? null) : null,
    inline,
    commentId: null,
    threadId: null,
    verdict: null,
    judgedAt: null,
    by: null,
    reason: null,
  };
}

/** Findings of earlier heads; one whose body came back is open again, and so is its thread. */
async function stillThere({ host, reviews }: PostPorts, { round, ref, pull }: Posting): Promise<Said[]> {
  const said: Said[] = [];
  for (const { finding, now } of round.standing) {
    const back: Finding = { ...finding, state: finding.state === "fixed" ? "posted" : finding.state };
    if (back.state !== finding.state) {
      if (finding.threadId !== null)
        await orRefused(() => host.setThreadResolved(ref, pull.number, finding.threadId!, false));
      await reviews.saveFinding(back);
    }
    said.push({ finding: back, now });
  }
  return said;
}

/** The head's one review. Comments of an attempt that died before it are among those that are due. */
async function comment(
  ports: PostPorts,
  at: Posting,
  said: readonly Said[],
  wasDeclined: (one: ReviewedFunction) => boolean,
): Promise<string | null> {
  const { host, reviews, markerKey } = ports;
  const { ref, pull, version } = at;
  const place = { repositoryId: ref.repositoryId, number: pull.number };
  const due = said.filter(
    ({ finding }) => finding.inline && finding.commentId === null && finding.head === pull.headSha,
  );
  const anchored = inlineComments(
    due.map(({ now }) => now),
    at.patches,
    () => ({ setting: "", most: due.length }),
  );
  if (anchored.length === 0) return null;
  const scored = at.round.report.coverage.scored;
  const marker = signMarker(markerKey, { kind: "review", fields: { head: pull.headSha, prm: version } }, place);
  if (!at.state.rounds.includes(pull.headSha)) {
    at.state.rounds = [...at.state.rounds, pull.headSha];
    await reviews.savePull(at.state);
  }
  try {
    await host.ensureReview(ref, pull.number, {
      marker,
      commitSha: pull.headSha,
      body: reviewBody(marker, anchored.length, said.length - anchored.length),
      comments: anchored.map(({ one, startLine, line }) => ({
        path: one.path,
        line,
        startLine,
        side: "RIGHT",
        body: findingComment(
          findingMarker(markerKey, { ...one, modelVersion: version }, one.calibrationVersion, place),
          one,
          scored,
          wasDeclined(one),
        ),
      })),
    });
  } catch (error) {
    if (!(error instanceof FunprmError && error.code === "GITHUB_REFUSED")) throw error;
    return `Comments could not be posted (${error.message}): the findings stand here only.`;
  }
  await rememberThreads(ports, at, due);
  return null;
}

async function rememberThreads({ host, reviews, markerKey }: PostPorts, at: Posting, due: readonly Said[]) {
  const place = { repositoryId: at.ref.repositoryId, number: at.pull.number };
  for (const thread of await host.reviewThreads(at.ref, at.pull.number)) {
    const about = readFindingMarker(markerKey, thread.body, place);
    const one = due.find(
      ({ finding }) =>
        about?.id === functionId(finding.path, finding.name) &&
        about.bodyHash === finding.bodyHash &&
        about.modelVersion === finding.modelVersion,
    );
    if (one === undefined) continue;
    Object.assign(one.finding, { commentId: thread.commentId, threadId: thread.id });
    await reviews.saveFinding(one.finding);
  }
}

/** Rulings 23: where the app may not resolve, one reply says it. */
async function closeFixed(ports: PostPorts, { round, ref, pull }: Posting): Promise<string[]> {
  const { host, reviews, markerKey } = ports;
  for (const finding of round.fixed) {
    // First: a resolved thread whose finding is still posted reads as a person's refusal.
    await reviews.saveFinding({ ...finding, state: "fixed" });
    if (finding.threadId !== null && finding.commentId !== null) {
      const refused = await orRefused(() => host.setThreadResolved(ref, pull.number, finding.threadId!, true));
      if (refused) {
        const marker = signMarker(
          markerKey,
          { kind: "fixed", fields: { comment: `${finding.commentId}`, head: pull.headSha } },
          { repositoryId: ref.repositoryId, number: pull.number },
        );
        await orRefused(() =>
          host.ensureReply(ref, pull.number, finding.commentId!, marker, `${marker}\nfixed in ${pull.headSha}`),
        );
      }
    }
  }
  return round.fixed.length === 0
    ? []
    : [
        `${round.fixed.length} earlier ${round.fixed.length === 1 ? "finding is" : "findings are"} gone from this head.`,
      ];
}

async function orRefused(write: () => Promise<void>): Promise<boolean> {
  try {
    await write();
    return false;
  } catch (error) {
    if (error instanceof FunprmError && (error.code === "GITHUB_REFUSED" || error.code === "GITHUB_GONE")) return true;
    throw error;
  }
}

/** Whether this head is among the first `rounds` that got comments, or may become one. */
function hasRound({ state, pull, full }: Posting, rounds: number): boolean {
  const before = state.rounds.indexOf(pull.headSha);
  return full || (before === -1 ? state.rounds.length : before) < rounds;
}

/** One note for each number of rounds that findings of this head have run out of. */
function roundNotes(at: Posting): string[] {
  const { settingsAt } = at;
  const over = at.round.fresh.filter(({ path }) => !hasRound(at, settingsAt(path).rounds));
  const byRounds = Map.groupBy(over, ({ path }) => settingsAt(path).rounds);
  return [...byRounds].map(
    ([rounds, some]) =>
      `This pull request has had its ${rounds} ${rounds === 1 ? "round" : "rounds"} of comments${some.length < at.round.fresh.length ? ` for ${some.map((one) => one.path).join(", ")}` : ""}: new findings stand here only.`,
  );
}

/** Whether past findings fall short of a precision; each is looked at once. */
function mutedBelow(judged: readonly AdjudicatedFinding[]): (wanted: number) => boolean {
  const known = new Map<number, boolean>();
  return (wanted) => {
    const muted = known.get(wanted) ?? findingPrecision(judged, wanted).muted;
    known.set(wanted, muted);
    return muted;
  };
}

/** One note for each precision that is asked for, by the repository or by one of its paths, and not reached. */
function precisionNotes(judged: readonly AdjudicatedFinding[], config: RepoConfig): string[] {
  const asked = new Map([[config.review.min_precision, [] as string[]]]);
  for (const { match, review } of config.paths)
    if (review?.min_precision !== undefined)
      asked.set(review.min_precision, [...(asked.get(review.min_precision) ?? []), match]);
  return [...asked].flatMap(([wanted, globs]) => {
    const { muted, correct, adjudicated, wilson } = findingPrecision(judged, wanted);
    if (!muted) return [];
    const where = wanted === config.review.min_precision ? "" : ` in ${globs.join(", ")}`;
    return `Inline comments${where} are muted: ${correct} of the last ${adjudicated} judged findings of this repository were right (95 % interval ${percent(wilson[0])} to ${percent(wilson[1])}, wanted ${percent(wanted)}). They come back when findings here prove right over the last ${PRECISION_WINDOW}: answer with /funprm right or /funprm wrong.`;
  });
}

function quietNotes({ silenced }: ReviewRound): string[] {
  if (silenced.length === 0) return [];
  const names = silenced.map((one) => one.name).join(", ");
  return [`Silent until ${silenced.length === 1 ? "it changes" : "they change"}, as asked: ${names}.`];
}
