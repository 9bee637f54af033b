/** The check run of a reviewed pull request (product.md 3.4): a table of every function, and a conclusion that does not lie. */
import { code, plain, table, withinLimit } from "./markdown.ts";
import type { ReviewedFunction, ReviewReport } from "./review.ts";
import { bucketLine, percent } from "./review-comment.ts";

const LOWEST_SHOWN = 20;
const MOST_ANNOTATIONS = 30;
const TITLE_LENGTH = 255;

export type ReviewCheck = {
  conclusion: "success" | "neutral" | "skipped" | "failure" | "action_required";
  title: string;
  summary: string;
  text: string | null;
  annotations: {
    path: string;
    startLine: number;
    endLine: number;
    level: "notice" | "warning" | "failure";
    title: string;
    message: string;
  }[];
};

/** `failOn` of a file. */
export type CheckSettings = {
  failOn(path: string): "none" | "finding";
  neutral_as: "neutral" | "action_required";
};

/**
 * `notes`: what a person should know about how the review was made, one line each. `said`: findings that stand as comments,
 * which get no annotation beside them.
 */
export function reviewCheck(
  report: ReviewReport,
  notes: readonly string[],
  settings: CheckSettings = { failOn: () => "none", neutral_as: "neutral" },
  said: ReadonlySet<ReviewedFunction> = new Set(),
): ReviewCheck {
  const { coverage, functions } = report;
  const scored = functions.filter((one) => one.rank !== null);
  const findings = scored.filter((one) => one.finding);
  const first = scored[0];
  const whole = coverage.notScored.length === 0;
  const benchmark = scored.some((one) => one.calibration === "benchmark");
  const state = report.calibrated ? "calibrated" : benchmark ? "calibrated on benchmarks only" : "uncalibrated";
  const title =
    coverage.inScope === 0
      ? "no function in scope"
      : [
          `${coverage.scored}/${coverage.inScope} functions scored`,
          ...(findings.length > 0 ? [`${findings.length} low`] : []),
          state,
          ...(first ? [firstOf(first)] : []),
        ].join(" · ");
  const failing = new Set(findings.filter((one) => settings.failOn(one.path) === "finding"));
  return {
    // Success is only for a whole and calibrated look that found nothing: an uncalibrated number turns nothing green.
    conclusion:
      coverage.inScope === 0
        ? "skipped"
        : failing.size > 0
          ? "failure"
          : whole && report.calibrated && findings.length === 0
            ? "success"
            : settings.neutral_as,
    title: title.length <= TITLE_LENGTH ? title : `${title.slice(0, TITLE_LENGTH - 1)}…`,
    summary: withinLimit([
      { name: "ledger", text: plain(ledgerOf(report)), keep: true },
      { name: "functions", text: functionTable(functions.slice(0, LOWEST_SHOWN)) },
      {
        name: "state",
        text: `${
          report.calibrated
            ? "Estimates are calibrated on this repository's own outcomes."
            : benchmark
              ? "Calibrated on benchmarks only: functions stand in the order of what the change did to their attribution, against base where they stood there; too few outcomes of this repository are known for a number."
              : "Uncalibrated: functions stand in the order of what the change did to their attribution, against base where they stood there. These are no probabilities."
        } Tests: not run by this app; see CI.`,
        keep: true,
      },
      { name: "notes", text: notes.map(plain).join("\n\n"), keep: true },
    ]),
    text:
      functions.length > LOWEST_SHOWN || coverage.notScored.length > 0
        ? withinLimit([
            { name: "functions", text: functionTable(functions) },
            {
              name: "not scored",
              text:
                coverage.notScored.length === 0
                  ? ""
                  : `Not scored:\n\n${table(
                      ["Function", "Reason"],
                      coverage.notScored.map((one) => [code(`${one.path}: ${one.name}`), plain(one.reason)]),
                    )}`,
            },
          ])
        : null,
    annotations: [
      ...findings
        .filter((one) => !said.has(one))
        .map((one) => ({
          path: one.path,
          startLine: one.startLine,
          endLine: one.endLine,
          level: failing.has(one) ? ("failure" as const) : ("warning" as const),
          title: `Low reward: ${one.name}`,
          message: `${ratingOf(one, scored.length)}. ${one.evidence.map(({ text }) => text).join("; ")}.`,
        })),
      ...functions
        .filter((one) => one.reason !== null)
        .map((one) => ({
          path: one.path,
          startLine: one.startLine,
          endLine: one.endLine,
          level: "notice" as const,
          title: `Not scored: ${one.name}`,
          message: `${one.reason}.`,
        })),
    ].slice(0, MOST_ANNOTATIONS),
  };
}

function ledgerOf(report: ReviewReport): string {
  const other = report.otherFiles === 0 ? "" : `; ${report.otherFiles} other files hold no functions`;
  return `Coverage: ${report.ledger}${other}. Changes outside functions are not scored.`;
}

/** Never a probability unless it rests on the repository's own outcomes. */
function ratingOf(one: ReviewedFunction, scored: number): string {
  const estimate = shownEstimate(one);
  return estimate === null
    ? `rank ${one.rank} of ${scored}, ${one.calibration === "benchmark" ? "calibrated on benchmarks only" : "uncalibrated"}`
    : `estimated chance that it is correct: ${estimate} (${bucketLine(one.estimate!.bucket)})`;
}

/** Without an estimate the first is not the lowest: it is what the change lowered most. */
function firstOf(one: ReviewedFunction): string {
  const estimate = shownEstimate(one);
  if (estimate !== null) return `lowest ${one.name} ${estimate}`;
  const base = one.baseAttribution === null ? "" : `${number(one.baseAttribution)} → `;
  return `first ${one.name} ${base}${number(one.attribution)}`;
}

function shownEstimate(one: ReviewedFunction): string | null {
  return one.calibration === "repository" && one.estimate !== null ? percent(one.estimate.probability) : null;
}

function functionTable(functions: readonly ReviewedFunction[]): string {
  if (functions.length === 0) return "";
  const numbers = functions.some((one) => shownEstimate(one) !== null);
  return table(
    [
      "Rank",
      ...(numbers ? ["Estimate"] : []),
      "Function",
      "Lines",
      "Change",
      "Reward",
      "Attribution",
      "On base",
      "Evidence",
    ],
    functions.map((one) => [
      one.rank === null ? "–" : `${one.rank}`,
      ...(numbers ? [shownEstimate(one) ?? "–"] : []),
      code(`${one.path}: ${one.name}`),
      `${one.startLine}–${one.endLine}`,
      one.change,
      one.reason === null ? number(one.reward) : plain(one.reason),
      number(one.attribution),
      number(one.baseAttribution),
      one.evidence.map(({ text }) => plain(text)).join("; "),
    ]),
  );
}

function number(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}
