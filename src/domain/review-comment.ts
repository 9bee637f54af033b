/** Comments of reviews (product.md 3.3): short, with machine-made evidence, and no number that nothing stands behind. */
import type { Finding } from "./finding.ts";
import { BODY_LIMIT, code, details, plain, type Section, table, withinLimit } from "./markdown.ts";
import { type Marker, type MarkerPlace, readMarker, signMarker } from "./marker.ts";
import { functionId } from "./outcome.ts";
import type { ReviewEvidence, ReviewedFunction } from "./review.ts";

const KIND = "fn";
const EVIDENCE: Record<ReviewEvidence["kind"], string> = {
  "before-after": "Reward against base",
  parse: "Parser",
  tests: "Tests",
  neighbours: "Similar functions with known outcomes",
  population: "Candidates sampled for the issue",
};

/** What a comment carries to be found again: path and name, body, model, calibration. */
export function findingMarker(
  key: string,
  one: Pick<Finding, "path" | "name" | "bodyHash" | "modelVersion">,
  calibration: number | null,
  place: MarkerPlace,
): string {
  const fields = {
    id: functionId(one.path, one.name),
    hash: one.bodyHash,
    prm: one.modelVersion,
    ...(calibration === null ? {} : { cal: `${calibration}` }),
  };
  return signMarker(key, { kind: KIND, fields }, place);
}

/** The finding that a comment of the app speaks of; null for any other text. */
export function readFindingMarker(
  key: string,
  body: string,
  place: MarkerPlace,
): { id: string; bodyHash: string; modelVersion: string } | null {
  const marker: Marker | null = readMarker(key, body, place);
  const { id, hash, prm } = marker?.kind === KIND ? marker.fields : {};
  return id === undefined || hash === undefined || prm === undefined ? null : { id, bodyHash: hash, modelVersion: prm };
}

/** `declined`: a person wanted silence about an earlier body of it. */
export function findingComment(marker: string, one: ReviewedFunction, scored: number, declined: boolean): string {
  const since = declined ? ", changed since you declined" : "";
  const sections: Section[] = [
    {
      name: "marker",
      text: `${marker}\n**Low reward · ${code(one.name)}** — ${rating(one, scored)}${since}`,
      keep: true,
    },
    { name: "why", text: `Why: ${one.evidence.map(({ text }) => plain(text)).join("; ")}.` },
    {
      name: "evidence",
      text: details(
        "Evidence",
        table(
          ["From", "What it says"],
          [
            ...one.evidence.map(({ kind, text }) => [EVIDENCE[kind], plain(text)]),
            ["Reward", `${number(one.reward)}, attribution ${number(one.attribution)} (1 changes nothing)`],
            ...(one.evidence.some(({ kind }) => kind === "tests") ? [] : [["Tests", "not run by this app; see CI."]]),
          ],
        ),
      ),
    },
    {
      name: "commands",
      text: "<sub>Reply `/funprm right` or `/funprm wrong`: comments stop where findings prove wrong · `/funprm ignore` hides this function until it changes</sub>",
      keep: true,
    },
  ];
  return withinLimit(sections, BODY_LIMIT, "The check run has every function.");
}

/** Never a number unless the repository's own outcomes stand behind it. `**` is the caller's to keep closed. */
function rating(one: ReviewedFunction, scored: number): string {
  return one.calibration !== "repository" || one.estimate === null
    ? `rank ${one.rank} of ${scored}, ${stateOf(one)}`
    : `estimated chance it is correct: **${percent(one.estimate.probability)}** (${bucketLine(one.estimate.bucket)}; ${stateOf(one)})`;
}

/** The state by name, with the number of labels behind it (product.md 3.3). */
export function stateOf({ calibration, estimate }: Pick<ReviewedFunction, "calibration" | "estimate">): string {
  if (calibration === "uncalibrated" || estimate === null) return "uncalibrated";
  return `calibrated on ${calibration === "repository" ? "this repository" : "benchmark programs"} (${estimate.labels})`;
}

export function bucketLine(bucket: NonNullable<ReviewedFunction["estimate"]>["bucket"]): string {
  const range = `bucket ${Math.round(100 * bucket.low)}–${Math.round(100 * bucket.high)} %`;
  if (bucket.total === 0) return `${range}: no past function in it`;
  const [low, high] = bucket.wilson;
  return `${range}: ${bucket.total - bucket.correct} of ${bucket.total} past functions were wrong in this repo, 95 % interval ${percent(1 - high)} to ${percent(1 - low)}`;
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Body of the one review of a head. */
export function reviewBody(marker: string, commented: number, more: number): string {
  const rest = more === 0 ? "" : ` ${more} more ${more === 1 ? "stands" : "stand"} in the check run's table.`;
  return `${marker}\n${commented} changed ${commented === 1 ? "function has" : "functions have"} a low reward.${rest} This is an app's estimate, not a proof: the check run has every function.`;
}

function number(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}
