/** Commits that land on the default branch: reverts and later fixes of what was merged (product.md 4.9). */
import {
  type DefaultBranchCommit,
  functionId,
  type OutcomeEvent,
  saysFixOrRevert,
  UNKNOWN_ACTOR,
} from "../domain/outcome.ts";
import { type ReviewedFile, reviewedLanguage, scopeOfReview } from "../domain/review-scope.ts";
import type { CommitFacts, GitHost, LearningStore, RepoRef, Syntax } from "../ports.ts";
import { VALIDATED_LANGUAGES } from "./review-change.ts";

export type LandedPorts = { host: GitHost; learning: LearningStore; syntax: Syntax };

/** A push brings more only when it imports a history; those are no fixes of anything. */
const MOST_COMMITS = 100;
const MOST_FILES = 50;

/**
 * Facts of the commits on a branch's own line (first parents) from `after` back to `before`, to `since`, or to one that is
 * known. Commits of a merged branch belong to the merge: they are not later than themselves.
 */
export async function landedCommits(
  { host, syntax }: LandedPorts,
  ref: RepoRef,
  push: { branch: string; after: string; before: string | null; since: number; at: number | null; by: string | null },
  known: ReadonlyMap<string, number>,
  signal: AbortSignal,
): Promise<OutcomeEvent[]> {
  const events: OutcomeEvent[] = [];
  let sha: string | undefined = push.after;
  while (sha !== undefined && events.length < MOST_COMMITS) {
    signal.throwIfAborted();
    if (sha === push.before || known.has(landedId(sha))) break;
    const commit: CommitFacts = await host.commit(ref, sha);
    if (Date.parse(commit.at) < push.since) break;
    const message = ownReverts(ref, await messageOf(host, ref, commit));
    // The author is whoever a git e-mail address names: nobody's label may rest on that.
    const actor = push.by ?? commit.author;
    const said: DefaultBranchCommit = {
      sha,
      message,
      functions: actor !== null && saysFixOrRevert(message) ? await functionsOf(host, syntax, ref, commit) : null,
    };
    events.push({
      id: landedId(sha),
      // A commit may be written long before it lands: a push says when.
      at: push.at ?? Date.parse(commit.at),
      actor: actor ?? UNKNOWN_ACTOR,
      kind: "pushed",
      branch: push.branch,
      commits: [said],
    });
    sha = commit.parents[0];
  }
  // GitHub counts pushes in seconds. What reverts is later than what it reverts: commits follow each other and the one they stand on.
  const below = sha === undefined ? undefined : known.get(landedId(sha));
  return events.reverse().map((event, index) => ({ ...event, at: Math.max(event.at, (below ?? 0) + 1) + index }));
}

export function landedId(sha: string): string {
  return `pushed:${sha}`;
}

/** A merge commit says in its subject only that it merges: its own title and the messages that it brings say what. */
async function messageOf(host: GitHost, ref: RepoRef, commit: CommitFacts): Promise<string> {
  const number = /^Merge pull request #(\d+)/.exec(commit.message)?.[1];
  if (commit.parents.length < 2 || number === undefined) return commit.message;
  const title = commit.message.split("\n").slice(1).join("\n").trim();
  const { commits } = await host.pullRequestEnd(ref, Number(number));
  return [`${title} (#${number})`, ...commits.map((one) => one.message)].join("\n\n");
}

/** GitHub's revert button writes "Reverts owner/repo#N", which in the log is "Reverts #N" where it names this repository. */
function ownReverts({ owner, repo }: RepoRef, message: string): string {
  return message.replace(/^Reverts ([\w.-]+\/[\w.-]+)(?=#\d)/gm, (said, name: string) =>
    name.toLowerCase() === `${owner}/${repo}`.toLowerCase() ? "Reverts " : said,
  );
}

/** Null where a file cannot be read on both sides: then nobody knows which functions it changed. */
async function functionsOf(host: GitHost, syntax: Syntax, ref: RepoRef, commit: CommitFacts): Promise<string[] | null> {
  const sources = commit.files.filter((file) => reviewedLanguage(file.path) !== null);
  const parent = commit.parents[0];
  if (sources.length > MOST_FILES || parent === undefined) return null;
  const files: ReviewedFile[] = [];
  for (const file of sources) {
    const [added, removed] = [file.status === "added", file.status === "removed"];
    const before = added ? null : await host.readFile(ref, file.previousPath ?? file.path, parent);
    const after = removed ? null : await host.readFile(ref, file.path, commit.sha);
    if ((!added && before === null) || (!removed && after === null)) return null;
    files.push({ path: file.path, previousPath: file.previousPath, before, after, unreadable: null });
  }
  const scope = scopeOfReview(files, (source, language) => syntax.outline(source, language), {
    validated: VALIDATED_LANGUAGES,
    ignored: () => false,
  });
  const ids = scope.functions.flatMap((one) => {
    const now = functionId(one.path, one.name);
    return one.before === null ? [now] : [functionId(one.before.path, one.before.name), now];
  });
  return [...new Set(ids)].sort();
}
