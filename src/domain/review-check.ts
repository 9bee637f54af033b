/** The check run of a reviewed pull request (product.md 3.4): a table of every function, and a conclusion that does not lie. */
import { BODY_LIMIT, code, plain, tableWithin, withinLimit } from "./markdown.ts";
import type { ReviewedFunction, ReviewReport } from "./review.ts";
import { bucketLine, percent, stateOf } from "./review-comment.ts";

const LOWEST_SHOWN = 20;
const MOST_ANNOTATIONS = 30;
const TITLE_LENGTH = 255;
/** Files that are named for hidden text. */
const MOST_HIDDEN = 20;
/** Of a body: what the table of functions leaves to the notes, and to the functions that were not scored. */
const TABLE_SHARE = 0.6;
const WHOLE = "`funprm review` in a clone prints everything.";

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
  // Functions of one language share a fit; of several the weakest state is said.
  const weakest = ["uncalibrated", "benchmark", "repository"].flatMap(
    (state) => scored.find((one) => one.calibration === state) ?? [],
  )[0];
  const state = weakest ? stateOf(weakest) : "uncalibrated";
  const benchmark = weakest?.calibration === "benchmark";
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
    summary: withinLimit(
      [
        { name: "ledger", text: plain(ledgerOf(report)), keep: true },
        { name: "functions", text: functionTable(functions.slice(0, LOWEST_SHOWN), TABLE_SHARE * BODY_LIMIT) },
        {
          name: "state",
          text: `${
            report.calibrated
              ? `Estimates are ${state}: past functions whose outcome is known.`
              : `${benchmark ? `C${state.slice(1)}` : "Uncalibrated"}: functions stand in the order of what the change did to their attribution, against base where they stood there${benchmark ? "; too few outcomes of this repository are known for a number." : ". These are no probabilities."}`
          } Tests: not run by this app; see CI.`,
          keep: true,
        },
        { name: "hidden text", text: hiddenLines(report).map(plain).join("\n\n"), keep: true },
        { name: "notes", text: notes.map(plain).join("\n\n"), keep: true },
      ],
      BODY_LIMIT,
      WHOLE,
    ),
    text: functions.length > LOWEST_SHOWN || coverage.notScored.length > 0 ? wholeTable(report) : null,
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

/** Every function, and every one that was not scored: rows that do not fit are counted, and neither table crowds out the other. */
function wholeTable({ functions, coverage: { notScored } }: ReviewReport): string {
  const room = BODY_LIMIT - 2 * WHOLE.length;
  const listed = (limit: number) =>
    notScored.length === 0
      ? ""
      : `Not scored:\n\n${tableWithin(
          ["Function", "Reason"],
          notScored.map((one) => [code(`${one.path}: ${one.name}`), plain(one.reason)]),
          limit,
        )}`;
  const rest = Math.min(listed(room).length, (1 - TABLE_SHARE) * room);
  const scored = functionTable(functions, room - rest);
  const parts = [scored, listed(room - scored.length)].filter((text) => text !== "");
  return [...parts, ...(parts.some((text) => /\d rows? omitted\.$/.test(text)) ? [WHOLE] : [])].join("\n\n");
}

function ledgerOf(report: ReviewReport): string {
  return `Coverage: ${report.ledger}${otherFilesLine(report)}. Changes outside functions are not scored.`;
}

/** Files whose added lines hold what people do not see as it is, one line each. */
export function hiddenLines({ hidden }: Pick<ReviewReport, "hidden">): string[] {
  const shown = hidden.slice(0, MOST_HIDDEN).map(({ path, line, what, lines }) => {
    const more = lines === 1 ? "" : `, and ${lines - 1} more ${lines === 2 ? "line holds" : "lines hold"} such`;
    return `Hidden text: line ${line} of ${path} holds ${what}${more}.`;
  });
  return hidden.length > MOST_HIDDEN ? [...shown, `Hidden text in ${hidden.length - MOST_HIDDEN} more files.`] : shown;
}

/** Behind the ledger: documentation, data, and whatever else is no source of a known language. */
export function otherFilesLine({ otherFiles }: Pick<ReviewReport, "otherFiles">): string {
  if (otherFiles === 0) return "";
  return `; ${otherFiles} other ${otherFiles === 1 ? "file was" : "files were"} not looked into`;
}

/** Never a probability unless it rests on the repository's own outcomes. */
function ratingOf(one: ReviewedFunction, scored: number): string {
  const estimate = shownEstimate(one);
  return estimate === null
    ? `rank ${one.rank} of ${scored}, ${stateOf(one)}`
    : `estimated chance that it is correct: ${estimate} (${bucketLine(one.estimate!.bucket)}; ${stateOf(one)})`;
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

function functionTable(functions: readonly ReviewedFunction[], limit: number): string {
  if (functions.length === 0) return "";
  const numbers = functions.some((one) => shownEstimate(one) !== null);
  return tableWithin(
    [
      "Rank",
      ...(numbers ? ["Estimate", "Rests on"] : []),
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
      ...(numbers
        ? [shownEstimate(one) ?? "–", shownEstimate(one) === null ? stateOf(one) : bucketLine(one.estimate!.bucket)]
        : []),
      code(`${one.path}: ${one.name}`),
      `${one.startLine}–${one.endLine}`,
      one.change,
      one.reason === null ? number(one.reward) : plain(one.reason),
      number(one.attribution),
      number(one.baseAttribution),
      one.evidence.map(({ text }) => plain(text)).join("; "),
    ]),
    limit,
  );
}

function number(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}
