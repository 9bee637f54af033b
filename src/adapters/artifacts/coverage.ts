/**
 * Coverage in the forms that tools write: Cobertura XML and lcov say which lines ran, and what `coverage json --show-contexts`
 * of coverage.py writes says in which tests.
 */
import { addRanBy, type FunctionAtLine, type TestReport } from "../../domain/test-report.ts";
import { readXml } from "./xml.ts";

const MOST_SOURCES = 50;
const LONGEST_LINE = 4_096;
const DEEPEST_JSON = 16;
const LARGEST_JSON = 16 * 1024 * 1024;

/** File names are relative to one of the `source` folders that come before them, and where there are none to the repository. */
export async function readCobertura(
  chunks: AsyncIterable<string>,
  report: TestReport,
  functionAt: FunctionAtLine,
): Promise<void> {
  const sources: string[] = [];
  let source: string | null = null;
  let paths: string[] = [];
  await readXml(
    chunks,
    {
      open(name, attributes) {
        if (name === "source") {
          if (sources.length >= MOST_SOURCES) throw new Error(`more than ${MOST_SOURCES} sources`);
          source = "";
        } else if (name === "class") paths = pathsOf(attributes["filename"] ?? "", sources);
        else if (name === "line" && Number(attributes["hits"]) > 0) {
          const line = Number(attributes["number"]);
          const found = new Set(paths.map((path) => functionAt(path, line)).filter((id) => id !== null));
          // Two folders that both have such a file: which of them ran is not known.
          if (found.size === 1) for (const id of found) report.ran.add(id);
        }
      },
      text(text) {
        if (source !== null) source = (source + text).slice(0, LONGEST_LINE);
      },
      close(name) {
        if (name === "class") paths = [];
        if (name !== "source" || source === null) return;
        const folder = source.trim().replace(/[\\/]+$/, "");
        if (folder !== "" && folder !== ".") sources.push(folder);
        source = null;
      },
    },
    { allowDoctype: true },
  );
}

function pathsOf(filename: string, sources: readonly string[]): string[] {
  if (filename === "") return [];
  if (sources.length === 0 || /^([\\/]|[A-Za-z]:)/.test(filename)) return [filename];
  return sources.map((folder) => `${folder}/${filename}`);
}

/** `SF:` names a file, `DA:line,hits` a line of it. What else there is (functions, branches, tests' names) is left out. */
export async function readLcov(
  chunks: AsyncIterable<string>,
  report: TestReport,
  functionAt: FunctionAtLine,
): Promise<void> {
  let path = "";
  let records = 0;
  for await (const line of linesOf(chunks)) {
    if (line.startsWith("SF:")) path = line.slice(3);
    else if (line === "end_of_record") {
      path = "";
      records += 1;
    } else if (path !== "" && line.startsWith("DA:")) {
      const [at, hits] = line.slice(3).split(",", 2);
      const id = Number(hits) > 0 ? functionAt(path, Number(at)) : null;
      if (id !== null) report.ran.add(id);
    }
  }
  if (records === 0) throw new Error("no record of lcov ends in it");
}

async function* linesOf(chunks: AsyncIterable<string>): AsyncIterable<string> {
  let left = "";
  for await (const chunk of chunks) {
    const lines = (left + chunk).split("\n");
    left = lines.pop()!;
    if (left.length > LONGEST_LINE) throw new Error(`a line of more than ${LONGEST_LINE} characters`);
    for (const line of lines) yield line.trimEnd();
  }
  if (left !== "") yield left.trimEnd();
}

/** Contexts are pytest-cov's `tests/test_a.py::TestF::test_ok[1]|run` or coverage.py's own `tests.test_a.TestF.test_ok`. */
export async function readCoverageJson(
  chunks: AsyncIterable<string>,
  report: TestReport,
  functionAt: FunctionAtLine,
): Promise<void> {
  let text = "";
  for await (const chunk of chunks) {
    text += chunk;
    if (text.length > LARGEST_JSON) throw new Error(`more than ${LARGEST_JSON} characters of JSON`);
  }
  refuseDepth(text);
  const files = (JSON.parse(text) as { files?: unknown } | null)?.files;
  if (!isRecord(files)) throw new Error("it is not what coverage json writes: no table of files");
  const named = new Map<string, Set<string>>();
  const anonymous = new Set<string>();
  for (const [path, file] of Object.entries(files)) {
    if (!isRecord(file) || !Array.isArray(file["executed_lines"])) continue;
    const contexts = isRecord(file["contexts"]) ? file["contexts"] : {};
    for (const line of file["executed_lines"]) {
      const id = Number.isSafeInteger(line) ? functionAt(path, line as number) : null;
      if (id === null) continue;
      const tests = (Object.hasOwn(contexts, `${line}`) ? [contexts[`${line}`]].flat() : []).filter(
        (one): one is string => typeof one === "string" && one !== "",
      );
      if (tests.length === 0) anonymous.add(id);
      const known = named.get(id) ?? new Set();
      for (const test of tests) known.add(testOf(test));
      if (known.size > 0) named.set(id, known);
    }
  }
  for (const [id, tests] of named) addRanBy(report, id, tests);
  // Where tests have names, a line without one ran while modules were imported.
  if (named.size === 0) for (const id of anonymous) report.ran.add(id);
}

/** A test by the name that JUnit has for it. */
function testOf(context: string): string {
  const id = context.replace(/\|(run|setup|teardown)$/, "");
  const bracket = id.indexOf("[");
  const [name, parameters] = bracket < 0 ? [id, ""] : [id.slice(0, bracket), id.slice(bracket)];
  const [file = "", ...rest] = name.split("::");
  return rest.length === 0 ? id : [file.replace(/\.py$/, "").replaceAll("/", "."), ...rest].join(".") + parameters;
}

/** Sixteen million brackets are a gigabyte of arrays. */
function refuseDepth(text: string): void {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === "\\") at += 1;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") depth -= 1;
    if (depth > DEEPEST_JSON) throw new Error(`nested deeper than ${DEEPEST_JSON}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
