/**
 * Findings of reviews and what became of them. A finding is known by path, qualified name and normalised body, so that
 * nothing is said twice (product.md section 2, pains 2 to 4).
 */
import type { Language } from "./function-step.ts";
import type { ModelInfo } from "./model.ts";
import { functionId } from "./outcome.ts";
import type { AdjudicatedFinding } from "./precision.ts";

/** Names the scorer in stored rows: rewards of different models are never compared. */
export function modelVersion(info: Pick<ModelInfo, "name" | "version">): string {
  return `${info.name}@${info.version}`;
}

/**
 * `posted`: said and open · `muted`: said in the check run only, because past findings were too often wrong · `dismissed`: a
 * person wants silence until the body changes · `right`, `wrong`: a person's verdict on the finding · `fixed`: the body it
 * speaks of is gone from the head.
 */
export type FindingState = "posted" | "muted" | "dismissed" | "right" | "wrong" | "fixed";

export type Finding = {
  repositoryId: number;
  installationId: number;
  pullRequest: number;
  path: string;
  name: string;
  bodyHash: string;
  modelVersion: string;
  state: FindingState;
  /** The head at which it was found. */
  head: string;
  attribution: number;
  /** Estimated chance in [0,1] that the function is correct; null unless calibrated on the repository. */
  estimate: number | null;
  /** Meant for an inline comment; `commentId` says that it stands there. */
  inline: boolean;
  commentId: number | null;
  threadId: string | null;
  /** A person's last word on the finding, and when (ISO 8601). It stays when the function is mended. */
  verdict: "right" | "wrong" | null;
  judgedAt: string | null;
  /** Who dismissed or judged it, and with which words; null while nobody did. */
  by: string | null;
  reason: string | null;
  /** ISO 8601 in UTC with milliseconds. */
  createdAt: string;
  updatedAt: string;
};

/** One changed function as one head of a pull request had it. No source: a hash and a sketch. */
export type ReviewedRow = {
  repositoryId: number;
  installationId: number;
  pullRequest: number;
  head: string;
  /** `functionId` of outcome.ts. */
  function: string;
  bodyHash: string;
  language: Language;
  modelVersion: string;
  value: number;
  attribution: number;
  /** Attribution of the version on base, where there is one. */
  baseAttribution: number | null;
  finding: boolean;
  /** `sketchOf` its text: finds similar functions without keeping them. */
  sketch: string;
  reviewedAt: string;
};

/** What a pull request's reviews have in common. */
export type ReviewedPull = {
  repositoryId: number;
  installationId: number;
  pullRequest: number;
  /** Login of who paused it; null while it is not. */
  pausedBy: string | null;
  /** Heads on which inline comments were posted, in order. */
  rounds: string[];
};

export const LIVE_STATES: readonly FindingState[] = ["posted", "muted", "right"];

/** Silent until the body changes. */
export function isSilenced(finding: Pick<Finding, "state">): boolean {
  return finding.state === "dismissed" || finding.state === "wrong";
}

export function sameFunction(
  a: Pick<Finding, "path" | "name" | "bodyHash">,
  b: Pick<Finding, "path" | "name" | "bodyHash">,
): boolean {
  return a.path === b.path && a.name === b.name && a.bodyHash === b.bodyHash;
}

/**
 * The findings that a command speaks of: of its thread, of a name given first (qualified, simple, or with its path), all for
 * `pr`, or the only open one. None when that is not clear. `reason` is what else was written, null for nothing.
 */
export function meantFindings(
  findings: readonly Finding[],
  command: { verb: string; text: string },
  threadComment: number | null,
): { findings: Finding[]; reason: string | null } {
  const reason = (text: string) => (text === "" ? null : text);
  if (threadComment !== null)
    return { findings: findings.filter((one) => one.commentId === threadComment), reason: reason(command.text) };
  const [word = "", ...rest] = command.text.replaceAll("`", "").split(" ");
  if (command.verb === "ignore" && word.toLowerCase() === "pr") return { findings: [...findings], reason: null };
  const named = findings.filter((one) =>
    [one.name, one.name.split(".").at(-1), `${one.path}:${one.name}`, `${one.path}#${one.name}`].includes(word),
  );
  if (word !== "" && named.length > 0) return { findings: named, reason: reason(rest.join(" ")) };
  return { findings: findings.length === 1 ? [...findings] : [], reason: reason(command.text) };
}

/**
 * What people, else outcomes, said of findings: the input of `findingPrecision`. Silence is no verdict, nor is the wish for it.
 * `wasRight` says whether a function of a past pull request turned out right; null while that is not known.
 */
export function judgedFindings(
  findings: readonly Finding[],
  wasRight: (pullRequest: number, id: string, bodyHash: string) => boolean | null = () => null,
): AdjudicatedFinding[] {
  return findings.flatMap((one) => {
    const outcome = wasRight(one.pullRequest, functionId(one.path, one.name), one.bodyHash);
    if (one.verdict === null && outcome === null) return [];
    return [
      {
        id: JSON.stringify([one.pullRequest, one.path, one.name, one.bodyHash]),
        at: Date.parse(one.judgedAt ?? one.createdAt),
        correct: one.verdict === null ? !outcome : one.verdict === "right",
      },
    ];
  });
}
