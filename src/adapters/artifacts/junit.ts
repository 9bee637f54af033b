/** JUnit XML, as pytest, unittest-xml-reporting, Surefire and others write it. There is no standard: what is unknown is left out. */
import type { FunctionAtLine, ReportedTest, TestReport } from "../../domain/test-report.ts";
import { readXml } from "./xml.ts";

/** Of one artifact. */
const MOST_TESTS = 50_000;
const LONGEST_ID = 500;
/** Of one failure in characters; a traceback is at its end. */
const FAILURE_TAIL = 64 * 1024;
const LONGEST_LINE = 1_000;
const MOST_FRAMES = 200;
/** Controls and marks that show nothing, or turn what follows: names stand in reasons that people read. */
const UNSEEN = /[\p{Cc}\p{Cf}]/gu;

const OUTCOMES: Record<string, ReportedTest["outcome"]> = {
  failure: "failed",
  error: "error",
  skipped: "skipped",
  // Surefire and pytest-rerunfailures: it ended the other way when it was run again.
  flakyFailure: "flaky",
  flakyError: "flaky",
  rerunFailure: "flaky",
  rerunError: "flaky",
  rerun: "flaky",
};

/** Adds to `report`. Throws on XML that is not well formed or declares a document type, and on too many tests. */
export async function readJunit(
  chunks: AsyncIterable<string>,
  report: TestReport,
  functionAt: FunctionAtLine,
): Promise<void> {
  let test: { id: string; outcome: ReportedTest["outcome"]; text: string; at: number } | null = null;
  let within: string | null = null;
  await readXml(
    chunks,
    {
      open(name, attributes, depth) {
        if (name === "testcase" && test === null) {
          if (report.tests.length >= MOST_TESTS) throw new Error(`more than ${MOST_TESTS} tests`);
          const id = [attributes["classname"], attributes["name"]].filter(Boolean).join(".");
          test = { id: id.slice(0, LONGEST_ID).replace(UNSEEN, "?"), outcome: "passed", text: "", at: depth };
        } else if (test !== null && Object.hasOwn(OUTCOMES, name)) {
          const said = OUTCOMES[name]!;
          // An error while tearing down comes beside the failure itself.
          if (test.outcome === "passed" || said === "flaky") test.outcome = said;
          within = name;
          test.text += "\n";
        }
      },
      text(text) {
        if (test !== null && (within === "failure" || within === "error"))
          test.text = (test.text + text).slice(-FAILURE_TAIL);
      },
      close(name, depth) {
        if (name === within) within = null;
        if (test === null || depth !== test.at) return;
        const { id, outcome, text } = test;
        if (id !== "") report.tests.push({ id, outcome, traceback: framesOf(text, functionAt) });
        test = null;
      },
    },
    { allowDoctype: false },
  );
}

/** pytest writes `src/a.py:3: ValueError`, Python `File "src/a.py", line 3, in f`. Line by line: no pattern spans two. */
function framesOf(failure: string, functionAt: FunctionAtLine): string[] {
  const found = new Set<string>();
  const lines = failure.split("\n").filter((line) => line.length <= LONGEST_LINE);
  const frames = lines.flatMap((line) => {
    const match =
      /^([^\s:"]{1,400}\.py):(\d{1,7}):/.exec(line) ?? /^\s{0,8}File "([^"]{1,400}\.py)", line (\d{1,7})\b/.exec(line);
    return match === null ? [] : [{ path: match[1]!, line: Number(match[2]) }];
  });
  for (const { path, line } of frames.slice(-MOST_FRAMES)) {
    const id = functionAt(path, line);
    if (id !== null) found.add(id);
  }
  return [...found];
}
