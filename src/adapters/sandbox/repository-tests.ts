/** A repository's own tests, on a private copy of its tree, with no network and nothing installed from the patch. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, sep } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import type { RepositoryTestRun } from "../../domain/judge.ts";
import { isTestOrRunnerFile } from "../../domain/repository-tests.ts";
import type { RepositoryTestRequest } from "../../ports.ts";
import { confinedChild } from "./confined.ts";
import { asRoot, type LaunchSpec, launch, PYTHON } from "./launch.ts";
import { hasPytest, packagesOf } from "./pytest.ts";
import type { Machine } from "./sandbox.ts";
import { openSession, type Reply } from "./session.ts";

const MEMORY_MB = 2048;
const LOG_TAIL = 4000;
const MOST_BYTES = 200 * 2 ** 20;

type Runner = { argv: string[]; shown: string[]; results: "junit" | "unittest" | "none" };

export async function runRepositoryTests(
  machine: Machine,
  request: RepositoryTestRequest,
  signal?: AbortSignal,
): Promise<RepositoryTestRun> {
  const inside = machine.report.tier === 1;
  const { environment } = request;
  if (environment !== null && asRoot && (statSync(environment).mode & 0o005) !== 0o005) {
    return notRun(machine, request.command ?? [], "the environment's folder is closed to others: chmod o+rx it");
  }
  const runner = findRunner(request, inside, machine.staging.runtime);
  if ("reason" in runner) return notRun(machine, request.command ?? [], runner.reason);
  const once = () => oneRun(machine, runner, request, signal);
  let run = await once();
  // What the machine did says nothing about the tests.
  if (run.verdict === "INFRA") run = await once();
  if (request.repeat !== undefined) {
    const runs = [run];
    while (runs.length < request.repeat && run.status === "ran" && run.tests.length > 0) runs.push(await once());
    return runs.every((one) => sameOutcomes(run, one)) ? run : withFlaky(runs);
  }
  if (run.verdict !== "WRONG" || run.tests.length === 0) return run;
  // A failure counts when it comes again; three runs tell what is flaky.
  const again = await once();
  return sameOutcomes(run, again) ? run : withFlaky([run, again, await once()]);
}

/** On a copy of its own: nothing that a run leaves behind meets the next. */
async function oneRun(
  machine: Machine,
  runner: Runner,
  request: RepositoryTestRequest,
  signal: AbortSignal | undefined,
): Promise<RepositoryTestRun> {
  const staged = stageTree(machine, request);
  if ("reason" in staged) return notRun(machine, runner.shown, staged.reason);
  const spec = specOf(machine, staged, request);
  const session = openSession(
    confinedChild(launch(spec)),
    spec.scratch === null ? null : { path: spec.scratch, mb: spec.limits.tmpMb },
  );
  const stop = () => void session.close();
  signal?.addEventListener("abort", stop);
  try {
    const reply = await session.request(
      (nonce) => `${JSON.stringify({ nonce, argv: runner.argv, trace: request.trace ?? null })}\n`,
      {
        cpuMs: request.timeoutSeconds * 1000,
        memoryMb: MEMORY_MB,
        frameBytes: 17 * 2 ** 20,
      },
    );
    if (signal?.aborted) throw new FunprmError("INTERRUPTED", "the repository's tests were stopped");
    return toRun(machine, runner, reply, request.root);
  } finally {
    signal?.removeEventListener("abort", stop);
    await session.close();
    staged.remove();
  }
}

function sameOutcomes(a: RepositoryTestRun, b: RepositoryTestRun): boolean {
  const key = (run: RepositoryTestRun) =>
    run.tests
      .map(({ id, outcome }) => `${id} ${outcome}`)
      .sort()
      .join("\n");
  return a.verdict === b.verdict && key(a) === key(b);
}

function withFlaky(runs: RepositoryTestRun[]): RepositoryTestRun {
  const first = runs[0]!;
  const outcomesOf = (id: string) =>
    new Set(runs.map((run) => run.tests.find((test) => test.id === id)?.outcome ?? "missing"));
  const tests = first.tests.map((test) =>
    outcomesOf(test.id).size === 1 ? test : { ...test, outcome: "flaky" as const },
  );
  return {
    ...first,
    tests,
    verdict: "FLAKY",
    reason: `${tests.filter((test) => test.outcome === "flaky").length} tests differ between ${runs.length} equal runs`,
  };
}

function notRun(machine: Machine, command: string[], reason: string): RepositoryTestRun {
  return {
    status: "cannot-run",
    reason,
    command,
    exitCode: null,
    tests: [],
    cpuMs: 0,
    wallMs: 0,
    verdict: "NOT_RUN",
    attested: "in-process",
    tier: machine.report.tier,
    logSha256: createHash("sha256").update("").digest("hex"),
    logTail: "",
  };
}

type StagedTree = ReturnType<Machine["staging"]["folder"]>;

/** Every file of the checkout but git's own and links, the candidate's laid over it. */
function stageTree(machine: Machine, request: RepositoryTestRequest): StagedTree | { reason: string } {
  const folder = machine.staging.folder({}, machine.report.tier === 2);
  const tree = join(folder.path, "tree");
  const bytes = copyReadable(request.root, tree);
  if (bytes > MOST_BYTES) {
    folder.remove();
    return { reason: "the repository holds more than 200 MB: too much to copy into the sandbox" };
  }
  for (const { path, content } of request.tests ?? []) {
    const target = join(tree, path);
    if (!target.startsWith(`${tree}${sep}`) || path.split("/").includes(".git") || crossesLink(tree, path)) continue;
    if (content === null) {
      rmSync(target, { recursive: true, force: true });
      continue;
    }
    makeFolders(tree, dirname(path));
    writeFileSync(target, content);
    chmodSync(target, 0o644);
  }
  for (const { path, content } of request.overlay) {
    const target = join(tree, path);
    if (isTestOrRunnerFile(path) || !target.startsWith(`${tree}${sep}`) || path.split("/").includes(".git")) continue;
    // A link on the way, or in the file's place, would lead out of the copy and onto this machine's files.
    if (crossesLink(tree, path)) continue;
    makeFolders(tree, dirname(path));
    writeFileSync(target, content);
    chmodSync(target, 0o644);
  }
  for (const { path, content } of request.added ?? []) {
    const target = join(tree, path);
    if (!target.startsWith(`${tree}${sep}`) || existsSync(join(tree, path)) || crossesLink(tree, path)) {
      folder.remove();
      return { reason: `${path} exists in the repository already` };
    }
    makeFolders(tree, dirname(path));
    writeFileSync(target, content);
    chmodSync(target, 0o644);
  }
  return folder;
}

function crossesLink(tree: string, path: string): boolean {
  const parts = path.split("/");
  return parts.some((_, index) => {
    const at = join(tree, ...parts.slice(0, index + 1));
    return lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  });
}

/** Modes are set apart from making: the umask may be anything. */
function makeFolders(tree: string, folder: string): void {
  if (folder === "." || existsSync(join(tree, folder))) return;
  makeFolders(tree, dirname(folder));
  mkdirSync(join(tree, folder));
  chmodSync(join(tree, folder), 0o755);
}

/** Copies all but git's own, readable for the sandbox's uid whatever the checkout's modes are. Bytes; stops above the limit. */
function copyReadable(from: string, to: string): number {
  let bytes = 0;
  mkdirSync(to);
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.name === ".git" || bytes > MOST_BYTES) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) bytes += copyReadable(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (entry.isFile()) {
      const { mode, size } = statSync(source);
      bytes += size;
      copyFileSync(source, target);
      chmodSync(target, (mode & 0o111) === 0 ? 0o644 : 0o755);
    }
  }
  return bytes;
}

function findRunner(request: RepositoryTestRequest, inside: boolean, runtime: string): Runner | { reason: string } {
  const drivers = inside ? "/rt" : runtime;
  const ours = `${drivers}/unittest_runner.py`;
  const pytest = request.trace === undefined ? ["-m", "pytest"] : [`${drivers}/pytest_runner.py`];
  const junit = ["-p", "no:cacheprovider", "--junitxml={results}"];
  const { command } = request;
  if (command !== null) {
    const words = /^(python|python3)$/.test(command[0] ?? "") && command[1] === "-m" ? command.slice(2) : command;
    if (words[0] === "pytest") {
      if (!hasPytest(request.environment)) return { reason: noPytest };
      return { argv: [PYTHON, "-B", ...pytest, ...words.slice(1), ...junit], shown: command, results: "junit" };
    }
    if (words.join(" ") === "npm test") {
      const script = testScript(join(request.root, "package.json"));
      if (script === null) return { reason: "npm test: package.json names no test script" };
      return npmTest(script);
    }
    if (words[0] === "unittest")
      return { argv: [PYTHON, "-B", ours, ...words.slice(1)], shown: command, results: "unittest" };
    if (command.length === 0) return { reason: "the test command is empty" };
    return { argv: command, shown: command, results: "none" };
  }
  const files = [...pathsBelow(request.root, "")];
  const tests = files.filter((path) => /(^|\/)(test_[^/]*|[^/]*_test)\.py$/.test(path));
  if (tests.length > 0) {
    if (hasPytest(request.environment)) {
      return {
        argv: [PYTHON, "-B", ...pytest, "-q", ...junit],
        shown: ["python3", "-m", "pytest", "-q"],
        results: "junit",
      };
    }
    const needs = tests.some((path) =>
      /^\s*(import|from) pytest\b|^def test_/m.test(readFileSync(join(request.root, path), "utf8")),
    );
    if (needs) return { reason: noPytest };
    const top = tests.every((path) => path.startsWith("tests/")) ? ["-s", "tests", "-t", "."] : [];
    const usable = top.length === 0 || files.includes("tests/__init__.py") ? top : ["-s", "tests"];
    return {
      argv: [PYTHON, "-B", ours, "discover", ...usable],
      shown: ["python3", "-m", "unittest", "discover", ...usable],
      results: "unittest",
    };
  }
  if (files.includes("package.json")) {
    const script = testScript(join(request.root, "package.json"));
    if (script !== null && !existsSync("/usr/bin/npm"))
      return { reason: "npm is not in the sandbox; install it system-wide (/usr/bin/npm)" };
    if (script !== null) return npmTest(script);
  }
  return {
    reason: "no test runner found (pytest, unittest, npm test); name one in .github/funprm.yml under tests.command",
  };
}

/** Null when there is none, or the file is no JSON. */
function testScript(path: string): string | null {
  try {
    const { scripts } = JSON.parse(readFileSync(path, "utf8")) as { scripts?: { test?: unknown } };
    return typeof scripts?.test === "string" ? scripts.test : null;
  } catch {
    return null;
  }
}

/** Node's own runner writes JUnit beside what it prints; of other runners only the exit code is known. */
function npmTest(script: string): Runner {
  const shown = ["npm", "test"];
  if (!/(^|\s|\/)node\s(.*\s)?--test(\s|$)/.test(script) || /--test-reporter/.test(script))
    return { argv: shown, shown, results: "none" };
  const reporters = "--test-reporter=spec --test-reporter-destination=stdout --test-reporter=junit";
  return {
    argv: ["env", `NODE_OPTIONS=${reporters} --test-reporter-destination={results}`, ...shown],
    shown,
    results: "junit",
  };
}

const noPytest =
  "the tests need pytest, which is not in the sandbox; name an environment that holds it (tests.environment) or install python3-pytest";

function* pathsBelow(root: string, at: string): Generator<string> {
  for (const entry of readdirSync(join(root, at), { withFileTypes: true })) {
    if (entry.name === ".git" || entry.name === "node_modules") continue;
    const path = at === "" ? entry.name : `${at}/${entry.name}`;
    if (entry.isDirectory()) yield* pathsBelow(root, path);
    else if (entry.isFile()) yield path;
  }
}

function specOf(machine: Machine, staged: StagedTree, request: RepositoryTestRequest): LaunchSpec {
  const inside = machine.report.tier === 1;
  const home = inside ? "/tmp" : staged.scratch;
  const tree = `${staged.path}/tree`;
  const mounts = [
    { from: machine.staging.runtime, to: "/rt" },
    { from: tree, to: "/box/tree" },
  ];
  const environment: Record<string, string> = { PATH: "/usr/bin", LANG: "C.UTF-8", HOME: home, TMPDIR: home, CI: "1" };
  if (request.environment !== null) {
    const at = inside ? "/env" : request.environment;
    mounts.push({ from: request.environment, to: "/env" });
    environment["PYTHONPATH"] = `${at}${packagesOf(request.environment)}`;
    environment["PATH"] = `/usr/bin:${at}/bin:${at}/node_modules/.bin`;
    environment["FUNPRM_MODULES"] = `${at}/node_modules`;
  }
  const runtime = inside ? "/rt" : machine.staging.runtime;
  return {
    tier: inside ? 1 : 2,
    argv: [PYTHON, "-s", "-B", `${runtime}/repository_runner.py`, inside ? "/box/tree" : tree, home],
    limits: {
      cpuSeconds: request.timeoutSeconds,
      memoryMb: MEMORY_MB,
      processes: 128,
      limitAddressSpace: false,
      fileMb: 64,
      tmpMb: 512,
    },
    mounts,
    environment,
    workingDirectory: home,
    scratch: inside ? null : staged.scratch,
    uid: staged.uid,
  };
}

function toRun(machine: Machine, runner: Runner, reply: Reply, root: string): RepositoryTestRun {
  const log = reply.frames.find((frame) => frame.kind === "log")?.payload ?? Buffer.alloc(0);
  const reported = reply.frames.find((frame) => frame.kind === "results")?.payload.toString("utf8") ?? "";
  const end = reply.frames.find((frame) => frame.kind === "end");
  const exitCode = end ? Number((JSON.parse(end.payload.toString("latin1")) as { status: number }).status) : null;
  const traced = reply.frames.find((frame) => frame.kind === "trace")?.payload.toString("utf8") ?? "";
  const tests = withTrace(
    runner.results === "junit" ? readJunit(reported) : runner.results === "unittest" ? readOutcomes(reported) : [],
    traced,
  );
  const stopped = {
    time: "TIME_LIMIT",
    memory: "MEMORY_LIMIT",
    output: "OUTPUT_LIMIT",
    exit: "RUNTIME_ERROR",
    infra: "INFRA",
    tampered: "TAMPERED",
  } as const;
  const failed = tests.some((test) => test.outcome === "failed" || test.outcome === "error");
  // A runner that reports by name and named no test was ended by what it ran.
  const silent = runner.results !== "none" && tests.length === 0;
  const passed = exitCode === 0 && !failed && !silent;
  const ended = passed ? "PASS" : failed || (exitCode === 1 && runner.results === "none") ? "WRONG" : "RUNTIME_ERROR";
  const base = { ...notRun(machine, runner.shown, ""), reason: null };
  if (exitCode === 127) return { ...base, status: "cannot-run", reason: `${runner.shown[0]} is not in the sandbox` };
  const reason = reply.stopped === null ? whyNoneRan(log.toString("utf8"), tests, root) : null;
  if (reason !== null) return { ...base, status: "cannot-run", reason, exitCode, logTail: tailOf(log) };
  return {
    ...base,
    status: "ran",
    reason: reply.detail ?? (silent ? "the runner was ended before it reported a test" : null),
    exitCode,
    tests,
    cpuMs: Math.round(reply.cpuMs),
    wallMs: Math.round(reply.wallMs),
    verdict: reply.stopped === null ? ended : stopped[reply.stopped],
    logSha256: createHash("sha256").update(log).digest("hex"),
    logTail: tailOf(log),
  };
}

const tailOf = (log: Buffer) => log.toString("utf8").slice(-LOG_TAIL);

/** A package that the repository does not hold itself is missing and so no test ran; one line, null when tests ran. */
function whyNoneRan(log: string, tests: Tests, root: string): string | null {
  // Node's runner reports a file that does not load as a failed test named by its path.
  const ran = ({ id, outcome }: Tests[number]) =>
    outcome === "passed" || (outcome === "failed" && !/\.[cm]?[jt]s$/.test(id));
  if (tests.some(ran)) return null;
  if (tests.length === 0 && /^(no tests ran|Ran 0 tests) in /m.test(log)) return "the runner found no tests";
  const python = /ModuleNotFoundError: No module named '([\w.]+)'/.exec(log)?.[1]?.split(".")[0];
  const node = /Cannot find (?:module|package) '((?:@[\w.-]+\/)?[\w-][\w.-]*)/.exec(log)?.[1];
  const own = (name: string) =>
    ["", "src", "lib"].some((at) => existsSync(join(root, at, name)) || existsSync(join(root, at, `${name}.py`)));
  const missing = [python, node].find((name) => name !== undefined && !own(name));
  return missing === undefined
    ? null
    : `the tests need ${missing}, which is not in the sandbox; name an environment that holds it (tests.environment)`;
}

type Tests = RepositoryTestRun["tests"];

function readOutcomes(text: string): Tests {
  try {
    const outcomes = JSON.parse(text) as Record<string, unknown>;
    return Object.entries(outcomes).flatMap(([id, found]) => {
      const [outcome, error] = Array.isArray(found) ? (found as unknown[]) : [];
      return outcome === "passed" || outcome === "failed" || outcome === "error" || outcome === "skipped"
        ? [{ id, outcome, error: typeof error === "string" ? error : null }]
        : [];
    });
  } catch {
    return [];
  }
}

/** What the runner's own trace saw of each test; unchanged where it says nothing. */
function withTrace(tests: Tests, text: string): Tests {
  if (text === "") return tests;
  let seen: Record<string, { executes?: unknown; traceback?: unknown }>;
  try {
    seen = JSON.parse(text) as typeof seen;
  } catch {
    return tests;
  }
  const names = (value: unknown) =>
    Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
  return tests.map((test) => ({
    ...test,
    executes: names(seen[test.id]?.executes),
    traceback: names(seen[test.id]?.traceback),
  }));
}

/** `testcase` elements of JUnit XML as pytest writes them. */
export function readJunit(xml: string): Tests {
  const plain = (text: string) =>
    text.replace(/&(lt|gt|quot|apos|amp|#\d+);/g, (_, name: string) =>
      name.startsWith("#")
        ? String.fromCodePoint(Number(name.slice(1)))
        : { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }[name]!,
    );
  const tests: Tests = [];
  for (const piece of xml.split("<testcase ").slice(1)) {
    const head = piece.slice(0, piece.indexOf(">"));
    const attribute = (name: string) => plain(new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(head)?.[1] ?? "");
    const body = head.endsWith("/") ? "" : piece.slice(0, piece.indexOf("</testcase>"));
    const outcome = /<failure[ >]/.test(body)
      ? "failed"
      : /<error[ >]/.test(body)
        ? "error"
        : /<skipped[ />]/.test(body)
          ? "skipped"
          : "passed";
    const message = /<(?:failure|error)\s[^>]*?message="([^"]*)"/.exec(body)?.[1];
    tests.push({
      id: [attribute("classname"), attribute("name")].filter(Boolean).join("."),
      outcome,
      error: message === undefined ? null : errorName(message === "collection failure" ? cause(body) : plain(message)),
    });
  }
  return tests;
}

/** Last line of the error for which a file could not be collected: `E   ImportError: cannot import name …`. */
function cause(body: string): string {
  return [...body.matchAll(/^E\s+(\w+: .*)$/gm)].at(-1)?.[1] ?? "";
}

/** pytest writes `ValueError: …`, bare assertions as `assert …`, `pytest.raises` and `pytest.fail` as `Failed: …`. */
function errorName(message: string): string | null {
  if (/^assert\b|^Failed(:|$)/.test(message)) return "AssertionError";
  return /^([\w.]+)(?::|\s*$)/.exec(message)?.[1]?.split(".").at(-1) ?? null;
}
